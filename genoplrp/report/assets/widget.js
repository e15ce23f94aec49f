// The widget of a notebook: controls, the logo, the scores; drawing() is logo.js, relevance comes from Python.
const MINUS = "\u2212";
const number = (value, digits = 3) => (value === null || Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", MINUS));

function element(tag, parent, options = {}) {
  const made = Object.assign(document.createElement(tag), options);
  parent.append(made);
  return made;
}
function isDark() {
  const body = document.body;
  return body.dataset.jpThemeLight === "false" || body.classList.contains("vscode-dark");
}

function render({ model, el }) {
  const meta = model.get("meta"), { palette, fit, drawLogo } = drawing(meta);
  const stops = model.get("stops"), length = model.get("letters")[0].length;
  const view = { from: 0, to: length };
  el.classList.add("genoplrp-explore");
  const bar = element("div", el, { className: "bar" });

  const choice = (label, name, options) => {
    const box = element("label", bar, { textContent: label + " " }), select = element("select", box);
    for (const [text, value] of options) element("option", select, { textContent: text, value });
    select.addEventListener("change", () => {
      model.set(name, name === "sequence" ? Number(select.value) : select.value);
      model.save_changes();
    });
    return select;
  };
  const sequence = choice("Sequence", "sequence", model.get("names").map((text, i) => [text, i]));
  const slide = element("label", bar, { className: "slide", textContent: "Pruned share p " });
  const p = element("input", slide, { type: "range", min: 0, max: stops.length - 1, step: 1 });
  const value = element("output", slide);
  const method = choice("Method", "method", model.get("methods").map((m) => [m === "lambda" ? "λ" : m, m]));
  const rules = choice("Rules", "rules", model.get("presets").map((r) => [r, r]));
  const canvas = element("canvas", el, { tabIndex: 0 });
  canvas.setAttribute("role", "img");
  // JupyterLab takes arrows and letters for its own shortcuts, unless the focused control itself says no.
  for (const control of [sequence, p, method, rules, canvas]) control.dataset.lmSuppressShortcuts = "true";
  const scores = element("div", el, { className: "scores" });
  scores.setAttribute("role", "status");

  const stop = () => stops.reduce((best, q, k) => (Math.abs(q - model.get("p")) < Math.abs(stops[best] - model.get("p")) ? k : best), 0);
  const maps = () => {
    const raw = model.get("maps");
    return new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
  };

  function paint() {
    if (!canvas.clientWidth) return;
    const all = maps(), k = stop(), i = model.get("sequence");
    if (all.length !== stops.length * length) return;
    const name = stops[k] === 0 ? "LRP" : `p = ${stops[k].toFixed(2)}`;
    const rows = [{ name, values: all.subarray(k * length, (k + 1) * length) }];
    if (k > 0 && stops[0] === 0) rows.unshift({ name: "LRP", values: all.subarray(0, length) });
    const { ctx, width, height } = fit(canvas, window.devicePixelRatio || 1);
    drawLogo(ctx, width, height, {
      rows, sequence: model.get("letters")[i], instances: meta.instances[i], from: view.from, to: view.to, flip: true,
    }, palette(isDark(), model.get("scheme")));
    canvas.setAttribute("aria-label", `Logo of ${model.get("names")[i]}, ${name}`);
  }

  function write() {
    const k = stop();
    p.value = k; value.textContent = stops[k].toFixed(2);
    sequence.value = model.get("sequence"); method.value = model.get("method"); rules.value = model.get("rules");
    const parts = Object.entries(model.get("scores")).map(([metric, values]) =>
      `${meta.labels[metric] || metric} ${number(values[k])}${k > 0 && stops[0] === 0 ? ` (LRP ${number(values[0])})` : ""}`);
    scores.textContent = [`output ${number(model.get("output"), 2)}`, ...parts].join("  ·  ");
    paint();
  }

  p.addEventListener("input", () => { model.set("p", stops[Number(p.value)]); model.save_changes(); });
  for (const name of ["p", "maps", "scores", "scheme"]) model.on(`change:${name}`, write);

  const look = (from, to) => {
    const span = Math.min(length, Math.max(Math.min(10, length), to - from));
    view.from = Math.min(Math.max(0, from), length - span); view.to = view.from + span;
    paint();
  };
  const at = (event) => view.from + event.offsetX / canvas.clientWidth * (view.to - view.from);
  const zoom = (factor, centre) => look(centre - (centre - view.from) * factor, centre + (view.to - centre) * factor);
  let grabbed = null;
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey && document.activeElement !== canvas) return;  // the page scrolls
    event.preventDefault();
    zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, at(event));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    grabbed = { x: event.offsetX, from: view.from, to: view.to };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grabbed) return;
    const by = (grabbed.x - event.offsetX) / canvas.clientWidth * (grabbed.to - grabbed.from);
    look(grabbed.from + by, grabbed.to + by);
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { grabbed = null; });
  canvas.addEventListener("dblclick", () => look(0, length));
  canvas.addEventListener("keydown", (event) => {
    const by = (view.to - view.from) / 10, middle = (view.from + view.to) / 2;
    const act = {
      ArrowLeft: () => look(view.from - by, view.to - by), ArrowRight: () => look(view.from + by, view.to + by),
      "+": () => zoom(0.8, middle), "=": () => zoom(0.8, middle), "-": () => zoom(1.25, middle), 0: () => look(0, length),
    }[event.key];
    if (act) { event.preventDefault(); event.stopPropagation(); act(); }
  });

  const watcher = new ResizeObserver(paint);
  watcher.observe(canvas);
  write();
  return () => watcher.disconnect();
}
export default { render };
