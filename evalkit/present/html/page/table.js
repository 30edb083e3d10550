"use strict";
// The table of settings: sorted, filtered, its columns chosen, a row reached by the page's address.
(function () {
  const table = by("cells-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const fixed = 1 + data.parameters.length;
  const usual = heads.slice(fixed).filter((head) => head.dataset.usual === "1").map((head) => head.dataset.key);

  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const name = head.dataset.key;
      change({ sort: state.sort === `-${name}` ? name : state.sort === name ? null : `-${name}` });
    });
  }
  by("rows").addEventListener("input", (event) => change({ rows: event.target.value }));
  const boxes = [...by("columns").querySelectorAll("input")];
  for (const box of boxes) box.addEventListener("change", () => change({ columns: boxes.filter((one) => one.checked).map((one) => one.value) }));
  for (const button of body.querySelectorAll("button.read")) {
    button.addEventListener("click", () => {
      const cell = Number(button.dataset.cell);
      const beside = (state.beside || []).filter((one) => one !== cell);
      change({ cell, beside: [...beside.slice(-2), cell] });
      by("read").scrollIntoView();
    });
  }

  function value(row, name) {
    const cell = Number(row.dataset.cell);
    if (metricOf(name)) return metricOf(name).mean[cell];
    const level = /^p\d+$/.test(name) ? data.cells[cell].levels[Number(name.slice(1))] : cell;
    return level === undefined || level < 0 ? null : level;
  }
  onState(function show() {
    const down = (state.sort || "").startsWith("-");
    const name = (state.sort || "").replace(/^-/, "");
    const sorted = [...rows];
    if (name) sorted.sort((one, other) => {
      const a = value(one, name), b = value(other, name);
      if (a === null || b === null) return (a === null) - (b === null);
      return down ? b - a : a - b;
    });
    body.append(...sorted);
    for (const head of heads) {
      const own = head.dataset.key === name;
      head.setAttribute("aria-sort", own ? (down ? "descending" : "ascending") : "none");
    }
    const columns = new Set(state.columns || usual);
    for (const box of boxes) box.checked = columns.has(box.value);
    heads.forEach((head, at) => {
      if (at < fixed) return;
      const hidden = !columns.has(head.dataset.key);
      head.hidden = hidden;
      for (const row of rows) row.cells[at].hidden = hidden;
    });
    let left = 0;
    for (const row of rows) {
      const cell = Number(row.dataset.cell);
      row.hidden = !kept(cell);
      left += !row.hidden;
      row.classList.toggle("here", cell === state.cell);
    }
    if (by("rows").value !== state.rows) by("rows").value = state.rows;
    by("left").textContent = `${left} of ${data.cells.length} settings`;
  });
})();
