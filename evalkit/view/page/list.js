"use strict";
// The list sorts, filters, and lets two runs be ticked; what is asked for stands in the address, so that a reload keeps it.
(function () {
  const table = by("runs");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows], keep = by("keep"), said = by("said"), compare = by("compare");
  const asked = new URLSearchParams(location.hash.slice(1));
  let sort = asked.get("sort") || "when", down = asked.get("down") !== "0";
  const numbers = new Set(["size", "far", "cost"]);
  const ticks = () => [...body.querySelectorAll("input:checked")];
  const first = said.textContent;

  function write() {
    const now = new URLSearchParams();
    if (keep.value) now.set("keep", keep.value);
    if (sort !== "when" || !down) { now.set("sort", sort); now.set("down", down ? "1" : "0"); }
    history.replaceState(null, "", now.size ? `#${now}` : location.pathname);
  }
  function show() {
    const words = keep.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      const text = `${row.textContent} ${row.className}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      left += !row.hidden;
    }
    const key = (row) => numbers.has(sort) ? Number.parseFloat(row.dataset[sort].replaceAll(",", "")) || 0 : row.dataset[sort].toLowerCase();
    const order = [...rows].sort((a, b) => { const x = key(a), y = key(b); return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); });
    body.append(...order);
    for (const head of table.tHead.querySelectorAll("[data-sort]")) {
      if (head.dataset.sort === sort) head.setAttribute("aria-sort", down ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
    }
    const chosen = ticks();
    compare.disabled = chosen.length !== 2;
    said.textContent = words.length ? `${left} of ${rows.length} runs` : chosen.length ? `${chosen.length} ticked; the older one is the baseline` : first;
  }
  for (const button of table.tHead.querySelectorAll("[data-sort] button")) {
    button.addEventListener("click", () => {
      const wanted = button.parentElement.dataset.sort;
      down = wanted === sort ? !down : numbers.has(wanted) || wanted === "when";
      sort = wanted;
      show();
      write();
    });
  }
  keep.addEventListener("input", () => { show(); write(); });
  body.addEventListener("change", (event) => {
    const chosen = ticks();
    if (chosen.length > 2) chosen.find((one) => one !== event.target).checked = false;
    show();
  });
  keep.value = asked.get("keep") || "";
  show();
})();
