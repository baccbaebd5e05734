// Tables whose columns sort: a button in each header, ascending, descending, and as it was.

const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
const compareTexts = new Intl.Collator("en", { numeric: true }).compare;

// A number at the start of a cell, as in "0.81 ± 0.02" and "-0.02 [-0.03, 0.01]"; or its text.
function keyOf(row, column, numeric) {
  const text = row.cells[column].textContent.trim();
  if (!numeric) return text || null;
  const value = parseFloat(text.replace("−", "-").replaceAll(",", ""));
  return isNaN(value) ? null : value;
}

// Rows without a value stay last in both directions.
function sorted(rows, column, direction, numeric) {
  const compare = numeric ? (a, b) => a - b : compareTexts;
  const sign = direction === "descending" ? -1 : 1;
  const keyed = rows.map(row => [keyOf(row, column, numeric), row]);
  keyed.sort(([a], [b]) => (a === null || b === null
    ? Number(a === null) - Number(b === null) : sign * compare(a, b)));
  return keyed.map(([, row]) => row);
}

function makeSortable(table) {
  const bodies = [...table.tBodies].map(body => [body, [...body.rows]]);
  const grouping = row => row.classList.contains("group");
  const all = bodies.flatMap(([, rows]) => rows.filter(row => !grouping(row)));
  if (all.length < 2) return;
  const withinGroups = "withinGroups" in table.dataset;
  const headers = [...table.tHead.rows].flatMap(row => [...row.cells]).filter(cell => cell.colSpan === 1);

  function sort(header, direction) {
    for (const other of headers) other.removeAttribute("aria-sort");
    if (direction !== "none") header.setAttribute("aria-sort", direction);
    const column = Number(header.dataset.column ?? header.cellIndex);
    const numeric = header.classList.contains("number");
    const mixed = direction !== "none" && !withinGroups;
    for (const [body, rows] of bodies) {
      const own = rows.filter(row => !grouping(row));
      const lines = direction === "none" ? own : sorted(own, column, direction, numeric);
      body.append(...rows.filter(grouping), ...lines);
      body.hidden = mixed && body !== bodies[0][0];
      for (const row of rows.filter(grouping)) row.hidden = mixed;
    }
    if (mixed) bodies[0][0].append(...sorted(all, column, direction, numeric));
  }

  for (const header of headers) {
    const button = element("button", { type: "button", class: "sort" }, ...header.childNodes);
    const described = header.getAttribute("aria-describedby");
    if (described) {
      button.setAttribute("aria-describedby", described);
      header.removeAttribute("aria-describedby");
    }
    button.addEventListener("click", () => sort(header, NEXT[header.getAttribute("aria-sort") ?? "none"]));
    header.append(button);
  }
}

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
