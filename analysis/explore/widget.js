// A notebook's panel: explore.js, which stands above, as an anywidget.

let plotly = null;

// plotly.js gives itself to the page; a page's loader of modules must not take it, and nobody's Plotly is replaced.
function loaded(source) {
  if (plotly) return plotly;
  const { define, Plotly } = window;
  window.define = undefined;
  const script = document.createElement("script");
  script.textContent = source;
  document.head.append(script);
  script.remove();
  plotly = window.Plotly;
  window.define = define;
  window.Plotly = Plotly;
  return plotly;
}

function render({ model, el }) {
  const block = model.get("numbers");
  const buffer = block.buffer.slice(block.byteOffset, block.byteOffset + block.byteLength);
  const root = document.createElement("div");
  el.append(root);
  const start = { method: model.get("method"), coefficients: model.get("coefficients") };
  let own = false;
  const panel = mount(root, JSON.parse(model.get("about")), buffer, loaded(model.get("plotly")), start, (method, coefficients) => {
    own = true;
    model.set({ method, coefficients });
    model.save_changes();
    own = false;
  });
  const follow = () => own || panel.set(model.get("method"), model.get("coefficients"));
  model.on("change:method change:coefficients", follow);
  return () => model.off("change:method change:coefficients", follow);
}

export default { render };
