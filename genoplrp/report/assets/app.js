// Joins the parts: state, controls, keys; every change ends in refresh().
const state = { sequence: 0, rule: 0, method: 0, p: 0, from: 0, to: LENGTH, compare: true, flip: true, scheme: "classic", dark: false };
let picture = null, all = null, turn = 0;
const currentMap = () => mapIndex(state.rule, state.method, state.p);
const single = P === 1 && meta.methods.length === 1;  // the map of a store, as it was made
const methodName = () => single ? meta.rules[state.rule] : `${meta.p[state.p] === 0 ? "LRP" : "PLRP-" + meta.methods[state.method]}, p = ${meta.p[state.p].toFixed(2)}`;

function compose() {
  const values = oneMap(all, state.sequence, currentMap());
  const rows = [{ name: methodName(), values }];
  if (state.compare && meta.p[0] === 0 && !single) {
    rows.unshift({ name: "LRP", values: oneMap(all, state.sequence, mapIndex(state.rule, state.method, 0)) });
  }
  return {
    rows, sequence: meta.sequences[state.sequence], instances: meta.instances[state.sequence],
    from: state.from, to: state.to, flip: state.flip,
  };
}

function paint(ratio = window.devicePixelRatio || 1, dark = state.dark) {
  if (!all) return;
  picture = compose();
  const colors = palette(dark, state.scheme);
  let { ctx, width, height } = fit($("logo"), ratio);
  drawLogo(ctx, width, height, picture, colors);
  ({ ctx, width, height } = fit($("overview"), ratio));
  drawOverview(ctx, width, height, picture, colors);
  $("range").textContent = `${Math.round(state.from)}–${Math.round(state.to)} of ${LENGTH} bp`;
  $("logo").setAttribute("aria-label", `Logo of ${meta.names[state.sequence]}, ${methodName()}, positions ${Math.round(state.from)} to ${Math.round(state.to)}`);
}

let asked = false;
function repaint() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; paint(); });
}

function refresh() {
  $("p").value = state.p;
  $("p-value").textContent = meta.p[state.p].toFixed(2);
  $("p").setAttribute("aria-valuetext", `p = ${meta.p[state.p].toFixed(2)}`);
  tableSoon();
  fillCards(state);
  repaint();
  remember();
}
// A long table waits until the slider rests for a moment; the logo does not.
let waiting = 0;
function tableSoon() {
  clearTimeout(waiting);
  if (N <= 100 || !picture) fillTable(currentMap());
  else waiting = setTimeout(() => fillTable(currentMap()), 80);
}

async function choose(sequence) {
  const mine = ++turn;
  const got = await mapsOf(sequence);
  if (mine !== turn) return;  // another was chosen meanwhile
  state.sequence = sequence; all = got;
  $("name").textContent = meta.names[sequence];
  const known = meta.label?.[sequence] ?? null, label = known === null ? "" : `, label ${known}`;
  $("about").textContent = `${meta.task}: output ${show(meta.prediction[sequence], 2)}${label}`;
  markRow(sequence);
  refresh();
}

function step(by) {
  const at = table.shown.indexOf(state.sequence);
  const next = table.shown[Math.min(table.shown.length - 1, Math.max(0, at + by))];
  if (next !== undefined) choose(next);
}
function setP(k) {
  const next = Math.min(P - 1, Math.max(0, k));
  if (next === state.p) return;
  state.p = next; refresh(); speak();
}
function setMethod(k) {
  state.method = k;
  document.querySelectorAll("#methods input").forEach((input, i) => { input.checked = i === k; });
  refresh();
}
function speak() {
  $("spoken").textContent = `${methodName()}: ` + METRICS.map((m) => `${metricName(m)} ${show(scoreOf(m, state.sequence, currentMap()))}`).join(", ");
}

function view(from, to) {
  const span = Math.min(LENGTH, Math.max(Math.min(10, LENGTH), to - from));
  from = Math.min(Math.max(0, from), LENGTH - span);
  state.from = from; state.to = from + span;
  repaint(); remember();
}
function zoom(factor, at = (state.from + state.to) / 2) {
  view(at - (at - state.from) * factor, at + (state.to - at) * factor);
}
function peak() {
  if (!all) return;
  const values = oneMap(all, state.sequence, currentMap()), span = Math.min(LENGTH, 100);
  let sum = 0, best = -1, at = 0;
  for (let i = 0; i < LENGTH; i++) {
    sum += Math.abs(values[i]) - (i >= span ? Math.abs(values[i - span]) : 0);
    if (i >= span - 1 && sum > best) { best = sum; at = i - span + 1; }
  }
  view(at, at + span);
}
const baseAt = (event, canvas) => state.from + (event.offsetX - LEFT) / (canvas.clientWidth - LEFT - RIGHT) * (state.to - state.from);

function pointer() {
  const canvas = $("logo"), strip = $("overview"), tip = $("tip");
  let grabbed = null;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = event.deltaX / canvas.clientWidth * (state.to - state.from);
      view(state.from + by, state.to + by);
    } else zoom(event.deltaY > 0 ? 1.25 : 0.8, baseAt(event, canvas));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    grabbed = { x: event.offsetX, from: state.from, to: state.to };
    canvas.setPointerCapture(event.pointerId); canvas.classList.add("dragged");
  });
  canvas.addEventListener("pointermove", (event) => {
    if (grabbed) {
      const by = (grabbed.x - event.offsetX) / (canvas.clientWidth - LEFT - RIGHT) * (grabbed.to - grabbed.from);
      view(grabbed.from + by, grabbed.to + by);
    }
    const i = Math.floor(baseAt(event, canvas));
    if (!picture || i < 0 || i >= LENGTH || event.offsetX < LEFT) { tip.hidden = true; return; }
    const on = picture.instances.filter((x) => i >= x[0] && i < x[1]).map((x) => x[2]);
    tip.textContent = `${i} ${picture.sequence[i]}  ` + picture.rows.map((row) => `${row.name.split(",")[0]} ${show(row.values[i], 4)}`).join("  ")
      + (on.length ? `  ${on.join(", ")}` : "");
    tip.hidden = false;
    tip.style.top = `${event.offsetY + 14}px`;
    tip.style.left = `${Math.min(event.offsetX + 12, canvas.clientWidth - tip.offsetWidth)}px`;
  });
  const release = () => { grabbed = null; canvas.classList.remove("dragged"); };
  canvas.addEventListener("pointerup", release); canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("dblclick", () => view(0, LENGTH));
  const go = (event) => {
    const at = (event.offsetX - LEFT) / (strip.clientWidth - LEFT - RIGHT) * LENGTH, half = (state.to - state.from) / 2;
    view(at - half, at + half);
  };
  strip.addEventListener("pointerdown", (event) => { strip.setPointerCapture(event.pointerId); go(event); });
  strip.addEventListener("pointermove", (event) => { if (event.buttons) go(event); });
}

function keys() {
  $("logo").addEventListener("keydown", (event) => {
    const by = (state.to - state.from) / 10;
    const act = {
      ArrowLeft: () => view(state.from - by, state.to - by), ArrowRight: () => view(state.from + by, state.to + by),
      "+": () => zoom(0.8), "=": () => zoom(0.8), "-": () => zoom(1.25), 0: () => view(0, LENGTH), Enter: peak,
      Home: () => view(0, state.to - state.from), End: () => view(LENGTH - (state.to - state.from), LENGTH),
    }[event.key];
    if (act && !event.ctrlKey && !event.metaKey) { event.preventDefault(); act(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    if (event.target.matches("input[type=search]")) {
      if (event.key === "Escape") { event.target.value = ""; filterTable(); event.target.blur(); }
      return;
    }
    const act = {
      j: () => step(1), k: () => step(-1), "[": () => setP(state.p - 1), "]": () => setP(state.p + 1),
      m: () => setMethod((state.method + 1) % meta.methods.length), "/": () => $("search").focus(), "?": () => $("help").showModal(),
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob); link.download = name; link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
const fileName = (text) => text.replace(/[^\w.-]+/g, "_");

// The address keeps what is shown: a reload comes back to it.
function remember() {
  const shown = { seq: state.sequence, p: state.p, m: state.method, r: state.rule, from: Math.round(state.from), to: Math.round(state.to) };
  history.replaceState(null, "", "#" + new URLSearchParams(shown));
}
function recall() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = (key, most, otherwise) => {
    const value = asked.has(key) ? Number(asked.get(key)) : NaN;
    return Number.isInteger(value) && value >= 0 && value <= most ? value : otherwise;
  };
  const quarter = meta.p.findIndex((p) => p >= 0.25);
  state.p = number("p", P - 1, quarter < 0 ? P - 1 : quarter);
  state.method = number("m", meta.methods.length - 1, 0);
  state.rule = number("r", meta.rules.length - 1, 0);
  const from = number("from", LENGTH, 0), to = number("to", LENGTH, LENGTH);
  if (to > from) { state.from = from; state.to = to; }
  return number("seq", N - 1, 0);
}

function setDark(dark) {
  state.dark = dark;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", dark);
  repaint();
}

function wire() {
  for (const [name, text] of Object.entries(meta.facts)) {
    const box = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name; dd.textContent = text; box.append(dt, dd); $("facts").append(box);
  }
  for (const note of meta.notes) { const p = document.createElement("p"); p.textContent = note; $("notes").append(p); }
  meta.methods.forEach((method, k) => {
    const label = document.createElement("label"), input = document.createElement("input");
    input.type = "radio"; input.name = "method"; input.value = method; input.checked = k === state.method;
    input.addEventListener("change", () => setMethod(k));
    label.append(input, method === "lambda" ? "λ" : method); $("methods").append(label);
  });
  if (single) document.querySelectorAll(".slide, #methods, #compare-label, #rules-label").forEach((part) => { part.hidden = true; });
  for (const rule of meta.rules) $("rules").append(new Option(rule, rule));
  $("rules").selectedIndex = state.rule;
  $("rules").addEventListener("change", () => { state.rule = $("rules").selectedIndex; refresh(); });
  $("table").classList.toggle("names", METRICS.length < 3);  // room for the coordinates of a window
  $("p").max = P - 1;
  $("p").addEventListener("input", () => { state.p = Number($("p").value); refresh(); });
  $("p").addEventListener("change", () => { sortTable(currentMap()); speak(); });
  $("compare").addEventListener("change", () => { state.compare = $("compare").checked; repaint(); });
  $("flip").addEventListener("change", () => { state.flip = $("flip").checked; repaint(); });
  $("scheme").addEventListener("change", () => { state.scheme = $("scheme").value; repaint(); });
  $("theme").addEventListener("click", () => setDark(!state.dark));
  $("search").addEventListener("input", filterTable);
  $("previous").addEventListener("click", () => step(-1)); $("next").addEventListener("click", () => step(1));
  $("zoom-in").addEventListener("click", () => zoom(0.67)); $("zoom-out").addEventListener("click", () => zoom(1.5));
  $("zoom-all").addEventListener("click", () => view(0, LENGTH)); $("zoom-peak").addEventListener("click", peak);
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("save-table").addEventListener("click", () => save("scores.tsv", new Blob([tableText(currentMap())], { type: "text/tab-separated-values" })));
  $("save-picture").addEventListener("click", () => {
    paint(3, false);
    $("logo").toBlob((blob) => { save(fileName(`${meta.names[state.sequence]}_${methodName()}.png`), blob); paint(); });
  });
  window.addEventListener("resize", repaint);
  window.addEventListener("beforeprint", () => { document.documentElement.dataset.theme = "light"; paint(3, false); });
  window.addEventListener("afterprint", () => setDark(state.dark));
}

async function begin() {
  if (!("DecompressionStream" in window)) {
    $("notes").textContent = "This browser is too old for the report (it lacks DecompressionStream); any of 2023 or later shows it.";
    return;
  }
  const first = recall();
  wire(); pointer(); keys(); buildCards();
  buildTable(choose, () => sortTable(currentMap()));
  sortTable(currentMap());
  const preferred = window.matchMedia("(prefers-color-scheme: dark)");
  setDark(preferred.matches);
  preferred.addEventListener("change", () => setDark(preferred.matches));
  const whole = !location.hash && LENGTH > 400;
  await choose(first);
  if (whole) peak();
  document.documentElement.dataset.ready = "true";
}
begin();
