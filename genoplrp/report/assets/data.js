// What the page knows: sequences, maps and scores; nothing is drawn here.
const meta = JSON.parse(document.getElementById("meta").textContent);
const $ = (id) => document.getElementById(id);
const LENGTH = meta.length, N = meta.names.length, P = meta.p.length;
const MAPS = meta.rules.length * meta.methods.length * P;

function bytes(base64) {
  const text = atob(base64), out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}
function floats(base64) {
  const raw = bytes(base64), view = new DataView(raw.buffer), out = new Float32Array(raw.length / 4);
  for (let i = 0; i < out.length; i++) out[i] = view.getFloat32(4 * i, true);
  return out;
}

const scale = floats(meta.scale);
const METRICS = Object.keys(meta.scores);
const scores = Object.fromEntries(METRICS.map((m) => [m, floats(meta.scores[m])]));
const mapIndex = (rule, method, p) => (rule * meta.methods.length + method) * P + p;
const scoreOf = (metric, sequence, map) => scores[metric][sequence * MAPS + map];

const means = {};
function meanScore(metric, map) {
  const key = metric + map;
  return key in means ? means[key] : (means[key] = meanOf(metric, map));
}
function meanOf(metric, map) {
  let sum = 0, n = 0;
  for (let i = 0; i < N; i++) {
    const value = scoreOf(metric, i, map);
    if (!Number.isNaN(value)) { sum += value; n++; }
  }
  return n ? sum / n : NaN;
}

// Maps of a sequence are unpacked when it is looked at; the last few are kept.
const unpacked = new Map();
function mapsOf(sequence) {
  if (unpacked.has(sequence)) return unpacked.get(sequence);
  const stream = new Blob([bytes($("maps-" + sequence).textContent)]).stream();
  const ready = new Response(stream.pipeThrough(new DecompressionStream("deflate")))
    .arrayBuffer().then((buffer) => new Int8Array(buffer));
  unpacked.set(sequence, ready);
  if (unpacked.size > 24) unpacked.delete(unpacked.keys().next().value);
  return ready;
}
function oneMap(all, sequence, map) {
  const unit = scale[sequence * MAPS + map] / 127, out = new Float32Array(LENGTH);
  const first = map * LENGTH;
  for (let i = 0; i < LENGTH; i++) out[i] = all[first + i] * unit;
  return out;
}

const show = (value, digits = 3) => Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", "−");
const metricName = (metric) => meta.labels[metric][0];
const metricHint = (metric) => meta.labels[metric][1];
const metricSign = (metric) => ({ higher: 1, lower: -1 })[meta.labels[metric][2]] || 0;
