// Draws each figure of the page from the JSON beside it. A figure wider than its column is drawn narrower, down to a
// width at which axes and legends still fit; below that its frame scrolls.
const LEAST_WIDTH = 700;

for (const frame of document.querySelectorAll(".plotly-figure")) {
  const figure = JSON.parse(frame.querySelector("script").textContent);
  const drawing = frame.querySelector(".drawing");
  const wanted = figure.layout.width || 900;
  const width = () => Math.min(wanted, Math.max(LEAST_WIDTH, frame.clientWidth));
  const layout = { ...figure.layout, width: width(), autosize: false };
  drawing.style.width = `${layout.width}px`;
  Plotly.newPlot(drawing, { ...figure, layout, config: { displaylogo: false } });
  window.addEventListener("resize", () => {
    drawing.style.width = `${width()}px`;
    Plotly.relayout(drawing, { width: width() });
  });
}
