// Draws each figure of the page from the JSON beside it, as wide as its column. One that has a width of its own is drawn
// narrower where its column is, down to a width at which axes and legends still fit; below that its frame scrolls. If its
// texts then stand beyond its edge, it is drawn as wide as its notebook has it.
const LEAST_WIDTH = 700;

for (const frame of document.querySelectorAll(".plotly-figure")) {
  const figure = JSON.parse(frame.querySelector("script").textContent);
  const drawing = frame.querySelector(".drawing");
  const wanted = figure.layout.width;
  const width = () => (wanted ? Math.min(wanted, Math.max(LEAST_WIDTH, frame.clientWidth)) : frame.clientWidth);
  const layout = { ...figure.layout, width: width(), autosize: false };
  drawing.style.width = `${layout.width}px`;
  const resize = (wide) => {
    drawing.style.width = `${wide}px`;
    return Plotly.relayout(drawing, { width: wide });
  };
  const isCutOff = () => {
    const edge = drawing.getBoundingClientRect().right;
    return [...drawing.querySelectorAll("svg text")].some((text) => text.getBoundingClientRect().right > edge + 1);
  };
  const fit = () => wanted && isCutOff() && resize(wanted);
  Plotly.newPlot(drawing, { ...figure, layout, config: { displaylogo: false } }).then(fit);
  window.addEventListener("resize", () => resize(width()).then(fit));
}
