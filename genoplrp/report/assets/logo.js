// Drawing on canvas: logo rows, the track of planted motifs, the coordinate axis, the overview strip.
const GLYPHS = Object.fromEntries(Object.entries(meta.glyphs).map(([base, path]) => [base, new Path2D(path)]));
const BAND = ["#77aadd", "#ee8866", "#bbcc33", "#ffaabb", "#99ddff", "#eedd88", "#44bb99", "#aaaa00"];
const MOTIFS = [...new Set(meta.instances.flat().filter((x) => x[4]).map((x) => x[2]))].sort();
const bandOf = (instance) => instance[4] ? BAND[MOTIFS.indexOf(instance[2]) % BAND.length] : "#a0a0a0";
const LEFT = 58, RIGHT = 8, TRACK = 30, AXIS = 26, GAP = 10;

// On dark paper the darker colours of a scheme would drown.
const LIFTED = { "#0000ff": "#6f9bff", "#008000": "#4cc46a", "#ff0000": "#ff6b6b", "#1a1a1a": "#e4e4e4", "#009e73": "#2fd0a2" };
function palette(dark, scheme) {
  const bases = {};
  for (const [base, color] of Object.entries(meta.schemes[scheme])) bases[base] = dark ? LIFTED[color] || color : color;
  return dark
    ? { bases, paper: "#16181b", ink: "#e8eaed", soft: "#a4a9b0", line: "#4a4f56", up: "#ff8a80", down: "#82b1ff", band: 0.30 }
    : { bases, paper: "#ffffff", ink: "#1c1c1e", soft: "#5f6368", line: "#9aa0a6", up: "#b2182b", down: "#2166ac", band: 0.28 };
}

function fit(canvas, ratio) {
  const width = Math.max(1, canvas.clientWidth), height = Math.max(1, canvas.clientHeight);
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { ctx, width, height };
}

function niceStep(span, most) {
  const rough = span / most, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough) || rough;
}

// Short: beside the ticks stands the row's name.
function tickText(value, step) {
  const places = Math.max(0, -Math.floor(Math.log10(step)));
  const text = value === 0 ? "0" : places > 3 || step >= 1e5 ? Number(value.toPrecision(3)).toExponential().replace("e+", "e") : value.toFixed(places);
  return text.replaceAll("-", "−");
}

// picture: {rows: [{name, values}], sequence, instances, from, to, flip}; from, to are edges in bases.
function drawLogo(ctx, width, height, picture, colors) {
  const { rows, sequence, instances, from, to } = picture;
  const x = (edge) => LEFT + (edge - from) / (to - from) * (width - LEFT - RIGHT);
  ctx.fillStyle = colors.paper;
  ctx.fillRect(0, 0, width, height);
  let low = 0, high = 0;
  for (const row of rows) for (const v of row.values) { if (v < low) low = v; else if (v > high) high = v; }
  if (low === high) { low = -1; high = 1; }
  const air = 0.04 * (high - low);
  if (low < 0) low -= air;
  if (high > 0) high += air;
  const top = instances.length ? TRACK : 6;
  const rowHeight = (height - top - AXIS - GAP * (rows.length - 1)) / rows.length;
  ctx.save();
  ctx.beginPath(); ctx.rect(LEFT, 0, width - LEFT - RIGHT, height); ctx.clip();
  for (const instance of instances) {
    ctx.globalAlpha = colors.band; ctx.fillStyle = bandOf(instance);
    ctx.fillRect(x(instance[0]), top, x(instance[1]) - x(instance[0]), height - AXIS - top);
  }
  ctx.restore();
  drawTrack(ctx, instances, x, width, colors);
  rows.forEach((row, i) => {
    const y0 = top + i * (rowHeight + GAP);
    const y = (value) => y0 + (high - value) / (high - low) * rowHeight;
    drawScale(ctx, y, low, high, y0, rowHeight, row.name, width, colors);
    ctx.save();
    ctx.beginPath(); ctx.rect(LEFT, y0, width - LEFT - RIGHT, rowHeight); ctx.clip();
    drawValues(ctx, row.values, sequence, x, y, from, to, picture.flip, colors);
    ctx.restore();
  });
  drawAxis(ctx, x, from, to, height - AXIS, width, colors);
}

function drawValues(ctx, values, sequence, x, y, from, to, flip, colors) {
  const first = Math.max(0, Math.floor(from)), last = Math.min(values.length, Math.ceil(to));
  const wide = x(from + 1) - x(from), zero = y(0);
  if (wide < 1) return drawBins(ctx, values, x, y, first, last, colors);
  for (let i = first; i < last; i++) {
    const v = values[i], base = sequence[i];
    if (v === 0 || !(base in GLYPHS)) continue;
    const tall = y(v) - zero;  // negative: upwards
    ctx.fillStyle = colors.bases[base];
    if (wide < 3) { ctx.fillRect(x(i), Math.min(zero, zero + tall), wide, Math.abs(tall)); continue; }
    ctx.save();
    const onLine = v > 0 || flip;  // the letter's foot stands on the zero line
    ctx.translate(x(i) + 0.025 * wide, onLine ? zero : zero + tall);
    ctx.scale(0.95 * wide, onLine ? tall : -tall);
    ctx.fill(GLYPHS[base]);
    ctx.restore();
  }
}

// Less than a pixel for a base: the extremes in each pixel, so that no peak is lost.
function drawBins(ctx, values, x, y, first, last, colors) {
  const zero = y(0);
  let i = first;
  while (i < last) {
    const pixel = Math.floor(x(i));
    let high = 0, low = 0;
    for (; i < last && Math.floor(x(i)) === pixel; i++) { high = Math.max(high, values[i]); low = Math.min(low, values[i]); }
    ctx.fillStyle = colors.up; ctx.fillRect(pixel, y(high), 1, zero - y(high));
    ctx.fillStyle = colors.down; ctx.fillRect(pixel, zero, 1, y(low) - zero);
  }
}

function drawTrack(ctx, instances, x, width, colors) {
  ctx.textBaseline = "alphabetic"; ctx.font = "11px system-ui, sans-serif";
  const ends = [-Infinity, -Infinity];
  for (const instance of [...instances].sort((a, b) => a[0] - b[0])) {
    const [start, end, motif, strand] = instance;
    const a = Math.max(LEFT, x(start)), b = Math.min(width - RIGHT, x(end));
    if (b <= LEFT || a >= width - RIGHT) continue;
    ctx.fillStyle = bandOf(instance);
    ctx.fillRect(a, TRACK - 5, b - a, 4);
    const text = strand === "-" ? "◂ " + motif : motif + " ▸";
    const half = ctx.measureText(text).width / 2;
    const at = Math.min(Math.max((a + b) / 2, LEFT + half), width - RIGHT - half);
    const lane = ends.findIndex((edge) => at - half > edge + 3);
    if (lane < 0) continue;
    ends[lane] = at + half;
    ctx.fillStyle = instance[4] ? colors.ink : colors.soft; ctx.textAlign = "center";
    ctx.fillText(text, at, TRACK - 8 - 11 * lane);
  }
}

function drawScale(ctx, y, low, high, y0, tall, name, width, colors) {
  ctx.strokeStyle = colors.line; ctx.lineWidth = 1;
  ctx.beginPath(); ctx.moveTo(LEFT, y(0)); ctx.lineTo(width - RIGHT, y(0)); ctx.moveTo(LEFT, y0); ctx.lineTo(LEFT, y0 + tall); ctx.stroke();
  ctx.font = "10px system-ui, sans-serif"; ctx.fillStyle = colors.soft; ctx.textAlign = "right"; ctx.textBaseline = "middle";
  const step = niceStep(high - low, 4);
  for (let k = Math.ceil(low / step); k * step <= high; k++) {
    const text = tickText(k * step, step);
    ctx.fillText(text, LEFT - 6, y(k * step));
    ctx.beginPath(); ctx.moveTo(LEFT - 3, y(k * step)); ctx.lineTo(LEFT, y(k * step)); ctx.stroke();
  }
  ctx.save();
  ctx.translate(11, y0 + tall / 2); ctx.rotate(-Math.PI / 2);
  ctx.textAlign = "center"; ctx.fillStyle = colors.ink; ctx.font = "600 11px system-ui, sans-serif";
  ctx.fillText(name, 0, 0, tall + GAP);
  ctx.restore();
}

function drawAxis(ctx, x, from, to, top, width, colors) {
  ctx.font = "10px system-ui, sans-serif"; ctx.fillStyle = colors.soft; ctx.strokeStyle = colors.line;
  ctx.textAlign = "center"; ctx.textBaseline = "top";
  const step = Math.max(1, niceStep(to - from, Math.max(2, width / 90)));
  for (let i = Math.ceil(from / step) * step; i < to; i += step) {
    const at = x(i + 0.5);
    if (at < LEFT || at > width - RIGHT) continue;
    ctx.beginPath(); ctx.moveTo(at, top); ctx.lineTo(at, top + 4); ctx.stroke();
    ctx.fillText(i.toLocaleString("en-US"), at, top + 6);
  }
}

function drawOverview(ctx, width, height, picture, colors) {
  ctx.clearRect(0, 0, width, height);
  const { values } = picture.rows[picture.rows.length - 1];
  const x = (edge) => LEFT + edge / values.length * (width - LEFT - RIGHT);
  let low = 0, high = 0;
  for (const v of values) { if (v < low) low = v; else if (v > high) high = v; }
  const span = high - low || 1, y = (v) => 4 + (high - v) / span * (height - 8);
  for (const instance of picture.instances) {
    ctx.fillStyle = bandOf(instance); ctx.globalAlpha = 0.45;
    ctx.fillRect(x(instance[0]), 0, Math.max(1, x(instance[1]) - x(instance[0])), height);
  }
  ctx.globalAlpha = 1;
  const wide = Math.max(1, x(1) - x(0));
  if (x(1) - x(0) < 1) drawBins(ctx, values, x, y, 0, values.length, colors);
  else values.forEach((v, i) => {
    if (v === 0) return;
    ctx.fillStyle = v > 0 ? colors.up : colors.down;
    ctx.fillRect(x(i), Math.min(y(v), y(0)), wide, Math.abs(y(v) - y(0)));
  });
  ctx.strokeStyle = colors.ink; ctx.lineWidth = 1.5;
  ctx.strokeRect(x(picture.from), 1, x(picture.to) - x(picture.from), height - 2);
}
