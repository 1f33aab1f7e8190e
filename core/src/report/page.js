// A layer over a page that is complete without it: sorting, exact values under the pointer, hiding a method in a figure,
// a filter for the runs.
"use strict";

function onPress(element, act) {
  element.tabIndex = 0;
  element.addEventListener("click", act);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}

// Numbers before texts, both in order; cells without a number hold data-value only where there is one.
function compareCells(a, b) {
  const x = a.dataset.value, y = b.dataset.value;
  if (x !== undefined && y !== undefined) return Number(x) - Number(y);
  if (x !== undefined || y !== undefined) return x !== undefined ? -1 : 1;
  return a.textContent < b.textContent ? -1 : a.textContent > b.textContent ? 1 : 0;
}

for (const table of document.querySelectorAll("table.sorts")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.classList.add("sortable");
    header.setAttribute("aria-sort", "none");
    onPress(header, () => {
      const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of headers) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => sign * compareCells(a.cells[column], b.cells[column])));
    });
  });
}

const tip = document.body.appendChild(document.createElement("div"));
tip.id = "tip";
tip.hidden = true;
tip.setAttribute("role", "status");

function showTip(mark) {
  const box = mark.getBoundingClientRect();
  tip.textContent = mark.dataset.tip;
  tip.hidden = false;
  const x = Math.min(box.right + 8, innerWidth - tip.offsetWidth - 8);
  tip.style.left = Math.max(8, x) + "px";
  tip.style.top = Math.max(8, Math.min(box.top - tip.offsetHeight - 8, innerHeight - tip.offsetHeight - 8)) + "px";
}

for (const mark of document.querySelectorAll("svg .mark")) {
  // The title is the browser's own, slow tooltip; it moves to where this one finds it.
  const title = mark.querySelector("title");
  mark.dataset.tip = title.textContent;
  mark.setAttribute("aria-label", title.textContent);
  title.remove();
  if (!mark.classList.contains("hit")) mark.setAttribute("tabindex", "0");
  for (const name of ["pointerenter", "focus"]) mark.addEventListener(name, () => showTip(mark));
  for (const name of ["pointerleave", "blur"]) mark.addEventListener(name, () => { tip.hidden = true; });
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

for (const svg of document.querySelectorAll("svg")) {
  for (const key of svg.querySelectorAll(".key")) {
    key.setAttribute("role", "button");
    key.setAttribute("aria-pressed", "true");
    key.setAttribute("tabindex", "0");
    onPress(key, () => {
      const off = key.classList.toggle("off");
      key.setAttribute("aria-pressed", String(!off));
      for (const part of svg.querySelectorAll(".of[data-method]")) {
        if (part.dataset.method === key.dataset.method) part.classList.toggle("gone", off);
      }
    });
  }
}

const runs = document.querySelector("table#runs-table");
if (runs) {
  const filter = document.createElement("input");
  filter.type = "search";
  filter.placeholder = "show runs with this text";
  filter.setAttribute("aria-label", filter.placeholder);
  runs.parentElement.before(filter);
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    for (const row of runs.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

// On paper nothing can be unfolded: what is folded is printed, and folded again.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    part.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("details[data-folded]")) {
    part.open = false;
    delete part.dataset.folded;
  }
});
