// Score cards: the value now, the value of LRP, and the way between over p.
const SVG = "http://www.w3.org/2000/svg";
const cards = {};

function buildCards() {
  for (const metric of METRICS) {
    const card = document.createElement("div"), title = document.createElement("h3");
    const now = document.createElement("span"), was = document.createElement("span"), svg = document.createElementNS(SVG, "svg");
    card.className = "card"; card.dataset.metric = metric; card.title = metricHint(metric);
    title.textContent = metricName(metric);
    now.className = "now"; was.className = "was";
    svg.setAttribute("viewBox", "0 0 100 40"); svg.setAttribute("preserveAspectRatio", "none"); svg.setAttribute("aria-hidden", "true");
    const lines = ["all", "own", "here"].map((name) => {
      const line = document.createElementNS(SVG, name === "here" ? "line" : "polyline");
      line.setAttribute("class", name); svg.append(line);
      return line;
    });
    if (P === 1) { was.hidden = true; svg.style.display = "none"; }
    card.append(title, now, was, svg); $("scores").append(card);
    cards[metric] = { now, was, lines };
  }
}

function fillCards(state) {
  const indices = meta.p.map((_, k) => mapIndex(state.rule, state.method, k));
  for (const metric of METRICS) {
    const own = indices.map((map) => scoreOf(metric, state.sequence, map));
    const mean = indices.map((map) => meanScore(metric, map));
    const { now, was, lines } = cards[metric];
    const value = own[state.p], base = own[0], change = value - base;
    now.textContent = show(value);
    was.textContent = `${meta.p[0] === 0 ? "LRP" : "p = " + meta.p[0]} ${show(base)}`;
    const gain = metricSign(metric) * change;
    now.classList.toggle("good", gain > 0.0005); now.classList.toggle("bad", gain < -0.0005);
    const known = [...own, ...mean].filter((v) => !Number.isNaN(v));
    const low = Math.min(...known), span = Math.max(...known) - low || 1;
    const px = (k) => P > 1 ? 100 * meta.p[k] / meta.p[P - 1] : 50, py = (v) => 37 - 34 * (v - low) / span;
    const points = (values) => values.map((v, k) => Number.isNaN(v) ? "" : `${px(k).toFixed(1)},${py(v).toFixed(1)}`).join(" ");
    lines[0].setAttribute("points", points(mean)); lines[1].setAttribute("points", points(own));
    for (const [name, v] of [["x1", px(state.p)], ["x2", px(state.p)], ["y1", 0], ["y2", 40]]) lines[2].setAttribute(name, v);
  }
}
