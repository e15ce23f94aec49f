// The table of sequences: sorting, searching, choosing; scores follow the map that is shown.
const COLUMNS = [
  { key: "name", title: "sequence", hint: "Name in the data set", value: (i) => meta.names[i] },
  ...(meta.label ? [{ key: "label", title: "label", hint: "True label", value: (i) => meta.label[i], text: (v) => String(v) }] : []),
  { key: "prediction", title: "output", hint: "The explained output", value: (i) => meta.prediction[i], text: (v) => show(v, 2) },
  ...METRICS.map((m) => ({ key: m, title: metricName(m), hint: metricHint(m), value: (i, map) => scoreOf(m, i, map), text: (v) => show(v) })),
];
const searchable = meta.names.map((name, i) =>
  [name, ...meta.instances[i].filter((x) => x[4]).map((x) => x[2])].join(" ").toLowerCase());
const table = { order: [...Array(N).keys()], sort: null, descending: false, rows: [], cells: [], shown: [] };

function buildTable(choose, sorted) {
  const head = $("table").tHead.rows[0], body = $("table").tBodies[0], foot = $("table").tFoot.rows[0];
  for (const column of COLUMNS) {
    const th = document.createElement("th"), button = document.createElement("button");
    th.scope = "col"; button.type = "button"; button.textContent = column.title; button.title = column.hint;
    button.dataset.key = column.key;
    button.addEventListener("click", () => {
      // Numbers are looked at from the largest down.
      table.descending = table.sort === column ? !table.descending : column.key !== "name";
      table.sort = column;
      sorted();
    });
    th.append(button); head.append(th); foot.insertCell();
  }
  for (let i = 0; i < N; i++) {
    const row = document.createElement("tr");
    row.dataset.index = i;
    table.cells.push(COLUMNS.map((column, c) => {
      const cell = row.insertCell();
      cell.append(document.createTextNode(c === 0 ? meta.names[i] : ""));
      return cell;
    }));
    row.cells[0].title = meta.names[i];
    row.addEventListener("click", () => choose(i));
    table.rows.push(row);
  }
  body.append(...table.rows);
}

function fillTable(map) {
  COLUMNS.forEach((column, c) => {
    if (column.key === "name") return;
    for (let i = 0; i < N; i++) {
      const text = column.text(column.value(i, map)), node = table.cells[i][c].firstChild;
      if (node.data !== text) node.data = text;  // in place: no new nodes while the slider moves
    }
  });
  const foot = $("table").tFoot.rows[0];
  COLUMNS.forEach((column, c) => {
    foot.cells[c].textContent = c === 0 ? "mean of all" : METRICS.includes(column.key) ? show(meanScore(column.key, map)) : "";
  });
}

function sortTable(map) {
  const { sort, descending } = table;
  if (sort) {
    const keys = table.order.map((i) => [sort.value(i, map), i]);
    const missing = (v) => typeof v === "number" && Number.isNaN(v);
    keys.sort(([a, i], [b, j]) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b) || i - j;  // missing ones last, either way
      const d = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
      return (descending ? -d : d) || i - j;
    });
    table.order = keys.map(([, i]) => i);
  }
  [...$("table").tHead.rows[0].cells].forEach((th, c) => {
    if (COLUMNS[c] === sort) th.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
  });
  $("table").tBodies[0].append(...table.order.map((i) => table.rows[i]));
  filterTable();
}

function filterTable() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  table.shown = table.order.filter((i) => words.every((word) => searchable[i].includes(word)));
  const keep = new Set(table.shown);
  for (let i = 0; i < N; i++) table.rows[i].hidden = !keep.has(i);
  $("count").textContent = table.shown.length === N ? `${N} sequences` : `${table.shown.length} of ${N}`;
}

function markRow(sequence) {
  for (const row of table.rows) row.removeAttribute("aria-selected");
  table.rows[sequence].setAttribute("aria-selected", "true");
  table.rows[sequence].scrollIntoView({ block: "nearest" });
}

function tableText(map) {
  const lines = [COLUMNS.map((column) => column.key).join("\t")];
  for (const i of table.shown) {
    lines.push(COLUMNS.map((column) => { const v = column.value(i, map); return Number.isNaN(v) ? "" : String(v); }).join("\t"));
  }
  return lines.join("\n") + "\n";
}
