"use strict";
// Sorts the table by the column of a clicked heading; rows without a value stay last.
(() => {
  const body = document.querySelector("tbody");
  const headings = [...document.querySelectorAll("thead th")];
  const isNumber = (text) => text !== "" && !Number.isNaN(Number(text));

  function compare(a, b) {
    return isNumber(a) && isNumber(b) ? a - b : a.localeCompare(b, undefined, { numeric: true });
  }

  headings.forEach((heading, column) => heading.querySelector("button")?.addEventListener("click", () => {
    const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of headings) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => [row.cells[column].dataset.value, row]);
    const known = rows.filter(([value]) => value !== "").sort(([a], [b]) => sign * compare(a, b));
    body.append(...[...known, ...rows.filter(([value]) => value === "")].map(([, row]) => row));
  }));
})();
