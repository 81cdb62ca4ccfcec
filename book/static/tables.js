/* Tables of class "sortable": their heads sort, a box above them filters. A page's address may ask for some rows:
   runs.html?for=ladder leaves those behind that figure. Without this script they are tables like others. */
"use strict";

const FEW = 5; // rows that need no filter
const WORDS = new Intl.Collator("en");
const NUMBER = /^[+\u2212-]?[\d,]*\.?\d+(?:e[+-]?\d+)?/i;

/* What a cell is sorted by: the number that it begins with, or its text. */
function sortKey(row, column) {
  const text = row.cells[column].textContent.trim();
  const found = text.replace("\u2212", "-").match(NUMBER);
  return { text, number: found ? Number(found[0].replaceAll(",", "")) : NaN };
}

/* Numbers before words, and what is empty last, whichever way a column is sorted. */
function compare(one, other, sign) {
  if (!one.text || !other.text) return !one.text - !other.text;
  const [first, second] = [Number.isNaN(one.number), Number.isNaN(other.number)];
  if (first || second) return first && second ? sign * WORDS.compare(one.text, other.text) : first - second;
  return sign * (one.number - other.number);
}

function sort(table, head) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => [sortKey(row, head.cellIndex), row]);
  keyed.sort((one, other) => compare(one[0], other[0], descending ? -1 : 1));
  body.append(...keyed.map(([, row]) => row));
}

function addSorting(table) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.className = "sorts";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, head));
    head.append(button);
  }
}

/* A box whose words, in any order, are in each row that stays; a line says how many do. */
function addFilter(table, name) {
  const [bar, label, box, told, all] = ["div", "label", "input", "span", "a"].map((tag) => document.createElement(tag));
  bar.className = "filter";
  label.append("Filter rows ", box);
  box.type = "search";
  box.setAttribute("aria-label", `Filter the rows of: ${name}`);
  told.setAttribute("role", "status");
  bar.append(label, told);
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const wanted = new URLSearchParams(location.search).get("for");
  const asked = rows.map((row) => !wanted || !("for" in row.dataset) || row.dataset.for.split(" ").includes(wanted));
  if (asked.includes(false)) {
    all.href = location.pathname.split("/").pop();
    all.textContent = "show all";
    bar.append(`Behind ${wanted.replaceAll("_", " ")} alone: `, all);
  }
  const show = () => {
    const words = box.value.toLowerCase().split(/\s+/);
    let left = 0;
    rows.forEach((row, at) => {
      row.hidden = !(asked[at] && words.every((word) => texts[at].includes(word)));
      left += !row.hidden;
    });
    told.textContent = `${left.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  };
  box.addEventListener("input", show);
  show();
  (table.closest(".wide") || table).before(bar);
}

for (const table of document.querySelectorAll("table.sortable")) {
  addSorting(table);
  if (table.tBodies[0].rows.length > FEW) {
    addFilter(table, table.closest("[aria-label]")?.getAttribute("aria-label") || "table");
  }
}
