// What do these vectors do at the coefficients of the sliders? Drawn in a browser, from what pack.py packs.
// The page calls mount; a notebook's panel is an anywidget, which calls render. Both know Plotly before.

const FONT = { family: "Arial, sans-serif", size: 12 };
const GRID = "#e5e5e5";
const NOW = { symbol: "star", size: 15, color: "black", line: { color: "white", width: 1 } };

// ---------------------------------------------------------------- answers

// By method and task: numerators [1 + T][n][classes] and Gram matrices [n][1 + T][1 + T], as views of the block.
export function unpack(about, buffer) {
  const values = new Float32Array(buffer);
  const vectors = 1 + about.tasks.length;
  let place = 0;
  const take = (count) => values.subarray(place, (place += count));
  return about.methods.map(() =>
    about.tasks.map((task) => {
      const n = task.labels.length;
      const classes = task.classes.length;
      return { n, classes, numerators: take(vectors * n * classes), gram: take(n * vectors * vectors) };
    }),
  );
}

// Σᵢ aᵢ·numeratorsᵢ, [n][classes], with a₀ = 1: the logits but for the norms, which no prediction needs.
function numerators(data, alpha) {
  const size = data.n * data.classes;
  const sum = Float64Array.from(data.numerators.subarray(0, size));
  alpha.forEach((a, t) => {
    if (a === 0) return;
    const part = data.numerators.subarray((t + 1) * size, (t + 2) * size);
    for (let k = 0; k < size; k++) sum[k] += a * part[k];
  });
  return sum;
}

function largest(values, begin, count) {
  let best = begin;
  for (let k = begin + 1; k < begin + count; k++) if (values[k] > values[best]) best = k;
  return best - begin;
}

export function predictions(data, alpha) {
  const sum = numerators(data, alpha);
  return Array.from({ length: data.n }, (_, i) => largest(sum, i * data.classes, data.classes));
}

// Cosine logits of image i.
function logits(data, alpha, i) {
  const a = [1, ...alpha];
  const size = data.n * data.classes;
  let square = 0;
  for (let j = 0; j < a.length; j++)
    for (let k = 0; k < a.length; k++) square += a[j] * a[k] * data.gram[(i * a.length + j) * a.length + k];
  const norm = Math.sqrt(Math.max(square, 1e-24));
  return Array.from({ length: data.classes }, (_, c) => {
    let sum = 0;
    for (let j = 0; j < a.length; j++) sum += a[j] * data.numerators[j * size + i * data.classes + c];
    return sum / norm;
  });
}

function softmax(values) {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

// The class that image i gets, and how sure: the softmax of its cosine logits.
export function confidence(data, alpha, i) {
  const shares = softmax(logits(data, alpha, i));
  const best = largest(shares, 0, shares.length);
  return { best, share: shares[best] };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
// Of images on which two lists of answers do, or with `alike` false do not, agree.
const share = (ours, theirs, alike = true) => mean(ours.map((value, i) => Number((value === theirs[i]) === alike)));

// Of each task's expert, its vector alone: the answers to the task's images, and the probabilities of their classes.
export function expertsOf(data, temperature) {
  return data.map((each, own) => {
    const alone = data.map((_, t) => Number(t === own));
    const tempered = (_, i) => softmax(logits(each, alone, i).map((value) => value / temperature));
    return { answers: predictions(each, alone), probabilities: Array.from({ length: each.n }, tempered) };
  });
}

// The forecast of a task from a plan's answers, without labels: the plan's accuracy over the expert's, and its interval. What
// analysis/expected_accuracy.py computes: `compared`, and then `Expectation.expect`, whose numbers `about` holds.
export function forecast(found, expert, about) {
  const n = found.length;
  const changed = share(found, expert.answers, false);
  const probability = (answers) => mean(answers.map((answer, i) => expert.probabilities[i][answer]));
  const sure = probability(expert.answers);
  const lost = 1 - probability(found) / sure;
  const expected = 1 - about.slope_changed * changed - about.slope_lost * lost;
  const one = (changed * n + 1) / (n + 2);
  const half = about.reach * Math.sqrt((about.spread * one) ** 2 + (one * (1 - one)) / n);
  const low = about.elsewhere ? Math.min(expected - half, 1 - changed / sure - half) : expected - half;
  const high = about.elsewhere ? Math.max(expected + half, 1) : expected + half;
  return { expected: Math.max(expected, 0), low: Math.max(low, 0), high };
}

// Forecasts of two tasks with their two vectors, the others at 0.
export function pairForecasts(data, experts, pair, alphas, about) {
  const alpha = data.map((_, t) => (t === pair[0] ? alphas[0] : t === pair[1] ? alphas[1] : 0));
  return pair.map((t) => forecast(predictions(data[t], alpha), experts[t], about));
}

// Mean forecast of the two over alphas × alphas: rows by the second coefficient, as a heat map wants them.
export function forecastMap(data, experts, pair, alphas, about) {
  const point = (...at) => mean(pairForecasts(data, experts, pair, at, about).map((each) => each.expected));
  return alphas.map((second) => alphas.map((first) => point(first, second)));
}

// ---------------------------------------------------------------- the panel

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const rounded = (alpha) => Number(alpha.toFixed(4));
const shown = (alpha) => String(Number(alpha.toFixed(2)));
const interval = ({ expected, low, high }) => `${expected.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;

// Builds the panel in root. start: the first method and coefficients; changed(method, coefficients) is told of each
// choice of the user. Returns { set(method, coefficients) }, which answers in the panel what it cannot take.
export function mount(root, about, buffer, Plotly, start = {}, changed = () => {}) {
  root.classList.add("taujp-explore");
  const said = element("p", { role: "status", class: "taujp-said" });
  const missing = about.missing.map((sentence) => element("p", { class: "taujp-missing" }, sentence));
  if (!about.methods.length) {
    root.replaceChildren(...missing);
    return { set() {} };
  }

  const { lowest, highest, step } = about.range;
  const names = about.tasks.map((task) => task.name);
  const data = unpack(about, buffer);
  const experts = data.map((each) => expertsOf(each, about.forecast.temperature));
  const maps = new Map();
  let method = 0;
  let alpha = names.map(() => 1);
  let pair = [0, Math.min(1, names.length - 1)];

  // Controls
  const methods = element(
    "select",
    { "aria-label": "method" },
    ...about.methods.map((each, k) => element("option", { value: k }, each.name)),
    ...about.without.map((name) => element("option", { disabled: "" }, `${name} (no finished run)`)),
  );
  const presets = [
    ["all at 1", () => names.map(() => 1)],
    ["tuned", () => names.map(() => about.methods[method].tuned)],
    ["per-task optimum", () => about.methods[method].optimum],
  ].map(([text, values]) => {
    const button = element("button", { type: "button" }, text);
    button.addEventListener("click", () => choose(values()));
    return button;
  });
  const row = (name, label) => {
    const limits = { min: lowest, max: highest, step };
    const range = element("input", { type: "range", ...limits, "aria-label": `slider of ${label}` });
    const number = element("input", { type: "text", inputmode: "decimal", "aria-label": `coefficient of ${label}` });
    const value = element("span", { "data-accuracy": name });
    const text = element("span", { class: "taujp-vector" }, label);
    const likely = element("span", { "data-forecast": name });
    return { text, range, number, value, likely, cells: [text, range, number, likely, value] };
  };
  const common = row("mean", "all tasks");
  const rows = about.tasks.map((task) => row(task.name, task.name));
  const reason = "Only linearised models answer for every coefficient at once: methods that train the weights cannot be chosen.";
  const says =
    "Forecast: the accuracy divided by that of the task’s vector alone, with its 90 % interval. It reads no labels; the accuracy beside it does." +
    (about.forecast.elsewhere ? " The forecast was learnt on another model, so its intervals are wide." : "");
  rows.forEach(({ text }, t) => text.style.setProperty("border-color", about.tasks[t].colour));
  const head = ["vector of", "coefficient α", "", "forecast", "accuracy"].map((text) => element("b", {}, text));
  const sliders = element("div", { class: "taujp-sliders" }, ...head, ...[common, ...rows].flatMap((r) => r.cells));
  const first = element("select", { "aria-label": "first task of the pair" });
  const second = element("select", { "aria-label": "second task of the pair" });
  for (const select of [first, second])
    select.append(...names.map((name, t) => element("option", { value: t }, name)));
  const both = element("span", { "data-pair": "" });
  const bars = element("div", { class: "taujp-plot" });
  const curve = element("div", { class: "taujp-plot" });
  const map = element("div", { class: "taujp-plot" });
  const pictures = element("div", { class: "taujp-pictures" });
  const pairs = element("p", {}, "Forecast of ", first, " and ", second, " without the other vectors: ", both);
  const control = element("p", {}, "Method ", methods, " ", ...presets.flatMap((button) => [button, " "]));
  const alone = element("p", { class: "taujp-reason" }, "The forecast of two tasks cannot be drawn: there is one task.");
  root.replaceChildren(
    ...missing,
    control,
    element("p", { class: "taujp-reason" }, reason),
    sliders,
    element("p", { class: "taujp-says" }, says),
    said,
    element(
      "div",
      { class: "taujp-grid" },
      bars,
      curve,
      element("div", {}, ...(names.length > 1 ? [pairs, map] : [alone])),
      element("div", {}, element("h4", {}, "Pictures whose answer changes as one coefficient goes from 0 to 1"), pictures),
    ),
  );

  // What is wrong with coefficients, or nothing.
  function refusal(values) {
    if (!Array.isArray(values) || values.length !== names.length)
      return `One coefficient for each of ${names.join(", ")} is needed.`;
    const wrong = values.findIndex((value) => !(Number.isFinite(value) && value >= lowest && value <= highest));
    return wrong < 0
      ? ""
      : `The coefficient of ${names[wrong]} must be from ${lowest} to ${highest}, not ${values[wrong]}.`;
  }

  function choose(values) {
    const inside = values.map((value) => Math.min(highest, Math.max(lowest, value)));
    const beyond = names.filter((_, t) => inside[t] !== values[t]);
    const where = beyond.map((name) => `${name} (${shown(values[names.indexOf(name)])})`).join(", ");
    said.textContent = beyond.length ? `Out of range, and put to its end: ${where}.` : "";
    alpha = inside.map(rounded);
    draw(true);
  }

  // Plots: drawn once a method and pair, then only what moves.
  const axis = (title, more = {}) => ({
    title: { text: title, standoff: 6 }, gridcolor: GRID, zeroline: false, automargin: true, ...more,
  });
  const layout = (title, height, more) => ({
    title: { text: title, x: 0.02, font: { ...FONT, size: 14 } },
    font: FONT, height, margin: { l: 56, r: 14, t: 40, b: 40 },
    legend: { orientation: "h", y: -0.28, yanchor: "top" },
    paper_bgcolor: "white", plot_bgcolor: "white", ...more,
  });
  const options = { displayModeBar: false, responsive: true };
  const colours = about.tasks.map((task) => task.colour);
  const level = { range: [0, 1.03] };

  function drawBars() {
    const { marks } = about.methods[method];
    const marked = (name, values, symbol, size, colour) => ({
      type: "scatter", mode: "markers", x: names, y: values, name,
      marker: { symbol, size, color: colour, line: { color: colour, width: 2 } },
    });
    return Plotly.react(
      bars,
      [
        { type: "bar", x: names, y: names.map(() => 0), marker: { color: colours }, name: "now", showlegend: false },
        marked("zero-shot", marks.zero_shot, "line-ew-open", 14, "black"),
        marked("single-task", marks.single_task, "diamond-open", 14, "black"),
        marked("one-shot (all at 1)", marks.one_shot, "x-thin-open", 9, "black"),
        {
          ...marked("forecast, 90 % interval", [], "circle", 6, "#555"),
          error_y: { type: "data", array: [], arrayminus: [], color: "#555", thickness: 2, width: 6 },
        },
      ],
      layout("Accuracy of each task at the sliders’ coefficients", 330, {
        xaxis: axis("task"), yaxis: axis("validation accuracy<br>(share of images)", level), hovermode: "x",
      }),
      options,
    );
  }

  function drawCurve() {
    const found = about.methods[method].curve;
    const x = found.coefficient;
    const line = (name, y, width, colour, symbol) => ({
      type: "scatter", mode: symbol ? "lines+markers" : "lines", x, y, name, line: { color: colour, width },
      marker: { color: colour, symbol, size: 6, maxdisplayed: 7 },
    });
    return Plotly.react(
      curve,
      [
        ...found.tasks.map((y, t) => line(names[t], y, 1.3, colours[t], about.tasks[t].symbol)),
        line("mean of the tasks, one coefficient for all", x.map((_, k) => mean(found.tasks.map((y) => y[k]))), 4, "black"),
        {
          type: "scatter", mode: "markers", x: [1], y: [0], name: "now, at the mean coefficient", marker: NOW,
        },
      ],
      layout("Accuracy at one coefficient for all tasks", 330, {
        xaxis: axis("coefficient α", { range: [lowest - step, highest + step] }), yaxis: axis("validation accuracy<br>(share of images)", level),
      }),
      options,
    );
  }

  function drawMap() {
    if (names.length < 2) return null;
    const key = [method, ...pair].join();
    if (!maps.has(key)) maps.set(key, forecastMap(data[method], experts[method], pair, about.map, about.forecast));
    const square = (line) => ({ type: "rect", x0: 0, x1: 1, y0: 0, y1: 1, line });
    return Plotly.react(
      map,
      [
        {
          type: "heatmap", x: about.map, y: about.map, z: maps.get(key), zmin: 0, zmax: 1, colorscale: about.colourscale,
          colorbar: { title: { text: "forecast" }, thickness: 12 },
          hovertemplate: "α₁ = %{x}, α₂ = %{y}: %{z:.2f}<extra></extra>",
        },
        {
          type: "scatter", mode: "markers", x: [1], y: [1], showlegend: false, name: "now", marker: NOW,
        },
      ],
      layout("Forecast of the two, a mean (1: as accurate as alone)", 330, {
        xaxis: axis(`coefficient of ${names[pair[0]]}`), yaxis: axis(`coefficient of ${names[pair[1]]}`),
        shapes: [square({ color: "white", width: 3 }), square({ color: "black", width: 1.5, dash: "dash" })],
      }),
      options,
    );
  }

  function drawPictures() {
    pictures.replaceChildren(
      ...about.methods[method].pictures.map(({ task, image, data: source }) => {
        const label = about.tasks[task].classes[about.tasks[task].labels[image]];
        const text = element("span", { "data-picture": `${names[task]}/${image}` });
        const picture = element("img", { src: source, alt: `a picture of ${names[task]}: ${label}` });
        return element("figure", {}, picture, element("figcaption", {}, `${names[task]}: ${label}`, text));
      }),
    );
  }

  // Everything that depends on the coefficients. Tells `changed` where the user has let go.
  async function draw(released, began = performance.now()) {
    const here = data[method];
    const answers = here.map((each) => predictions(each, alpha));
    const found = answers.map((each, t) => share(each, about.tasks[t].labels));
    const likely = answers.map((each, t) => forecast(each, experts[method][t], about.forecast));
    const middle = mean(alpha);
    const single = about.methods[method].marks.single_task;
    common.likely.textContent = mean(likely.map((each) => each.expected)).toFixed(2);
    common.likely.setAttribute("data-value", mean(likely.map((each) => each.expected)));
    rows.forEach((each, t) => {
      each.likely.textContent = interval(likely[t]);
      for (const [name, value] of Object.entries(likely[t])) each.likely.setAttribute(`data-${name}`, value);
    });
    for (const [{ range, number, value }, a, accurate] of [
      [common, middle, mean(found)],
      ...rows.map((each, t) => [each, alpha[t], found[t]]),
    ]) {
      range.value = a;
      number.value = shown(a);
      value.textContent = accurate.toFixed(3);
      value.setAttribute("data-value", accurate);
    }
    const drawn = [
      Plotly.restyle(bars, { y: [found] }, [0]),
      Plotly.restyle(
        bars,
        {
          y: [single.map((alone, t) => alone * likely[t].expected)],
          "error_y.array": [single.map((alone, t) => alone * (likely[t].high - likely[t].expected))],
          "error_y.arrayminus": [single.map((alone, t) => alone * (likely[t].expected - likely[t].low))],
        },
        [4],
      ),
      Plotly.restyle(curve, { x: [[middle]], y: [[mean(found)]] }, [names.length + 1]),
    ];
    if (names.length > 1) {
      const point = pair.map((t) => alpha[t]);
      const two = pairForecasts(here, experts[method], pair, point, about.forecast);
      both.textContent = two.map(interval).join(" and ");
      both.setAttribute("data-value", mean(two.map((each) => each.expected)));
      drawn.push(Plotly.restyle(map, { x: [[point[0]]], y: [[point[1]]] }, [1]));
    }
    about.methods[method].pictures.forEach(({ task, image }, k) => {
      const { best, share: sure } = confidence(here[task], alpha, image);
      const right = best === about.tasks[task].labels[image];
      const text = pictures.children[k].querySelector("span");
      text.textContent = `${right ? "✓" : "✗"} ${about.tasks[task].classes[best]}, ${Math.round(100 * sure)} %`;
      text.className = right ? "taujp-right" : "taujp-wrong";
      text.setAttribute("data-value", sure);
    });
    await Promise.all(drawn);
    if (!released) return;
    changed(about.methods[method].name, [...alpha]);
    requestAnimationFrame(() => {
      root.dataset.milliseconds = performance.now() - began;
      root.dataset.drawn = Number(root.dataset.drawn || 0) + 1;
    });
  }

  // While a slider is dragged, once a frame; a slider that is let go meanwhile is drawn in the same frame.
  let waiting = false;
  let released = 0; // when
  function dragged() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      const began = released;
      waiting = false;
      released = 0;
      draw(began > 0, began || undefined);
    });
  }

  function listen({ range, number }, put) {
    range.addEventListener("input", () => {
      said.textContent = "";
      alpha = put(Number(range.value));
      dragged();
    });
    number.addEventListener("input", () => (said.textContent = ""));
    range.addEventListener("change", () => {
      released = performance.now();
      dragged();
    });
    number.addEventListener("change", () => {
      const value = number.value.trim() === "" ? NaN : Number(number.value.replace(",", "."));
      const values = put(value);
      if (Number.isFinite(value) && !refusal(values)) return choose(values);
      const label = number.getAttribute("aria-label");
      said.textContent = `The ${label} must be a number from ${lowest} to ${highest}, not “${number.value}”.`;
      return draw(false);
    });
  }

  listen(common, (value) => names.map(() => value));
  rows.forEach((each, t) => listen(each, (value) => alpha.map((old, s) => (s === t ? value : old))));
  methods.addEventListener("change", () => {
    method = Number(methods.value);
    said.textContent = "";
    redraw();
  });
  for (const [place, select] of [first, second].entries())
    select.addEventListener("change", () => {
      const chosen = Number(select.value);
      // The two change places where one is chosen twice.
      pair = pair.includes(chosen) ? [pair[1], pair[0]] : pair.map((old, k) => (k === place ? chosen : old));
      first.value = pair[0];
      second.value = pair[1];
      drawMap();
      draw(true);
    });

  async function redraw() {
    methods.value = method;
    first.value = pair[0];
    second.value = pair[1];
    drawPictures();
    await Promise.all([drawBars(), drawCurve(), drawMap()]);
    await draw(true);
  }

  function set(name, values) {
    const place = about.methods.findIndex((each) => each.name === name);
    // A kernel repeats what it was told: nothing is drawn again for that, and no message goes.
    if (root.dataset.drawn && place === method && String(values) === String(alpha)) return null;
    const wrong = refusal(values);
    said.textContent = place < 0 ? `There is no method ${name} here: accepted are ${about.methods.map((m) => m.name).join(", ")}.` : wrong;
    if (place >= 0) method = place;
    if (!wrong) alpha = values.map(rounded);
    return redraw();
  }

  set(start.method ?? about.methods[about.start].name, start.coefficients ?? alpha);
  return { set };
}
