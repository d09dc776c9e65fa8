"use strict";

// The contents stand open at the side, and closed above the text of a narrow page.
const contents = document.querySelector("nav details");
const wide = matchMedia("(min-width: 70rem)");
const fold = () => { contents.open = wide.matches; };
if (contents) {
  wide.addEventListener("change", fold);
  fold();
}

// Tables: a click on a heading sorts by its column, cells without a value last.
for (const heading of document.querySelectorAll("th[data-sorts]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => sort(heading));
}

function sort(heading) {
  const table = heading.closest("table");
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const column = heading.cellIndex;
  const sign = descending ? -1 : 1;
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, two) => compare(one.cells[column], two.cells[column], sign));
  table.tBodies[0].append(...rows);
}

function compare(one, two, sign) {
  const lacking = ("missing" in one.dataset) - ("missing" in two.dataset);
  if (lacking || "missing" in one.dataset) return lacking;
  const [a, b] = [Number(one.dataset.value), Number(two.dataset.value)];
  if (Number.isNaN(a) || Number.isNaN(b)) {
    return sign * one.textContent.localeCompare(two.textContent, "en", { numeric: true });
  }
  return a === b ? 0 : a < b ? -sign : sign;
}

// Figures: the bar hides and shows an activation in all of them at once.
const bar = document.getElementById("bar");
if (bar) {
  const chips = [...bar.querySelectorAll("[data-shows]")];
  const only = bar.querySelector("select");
  const groups = [...document.querySelectorAll("figure [data-activation]")];

  const show = (shown) => {
    for (const chip of chips) chip.setAttribute("aria-pressed", shown.has(chip.dataset.shows));
    for (const group of groups) group.classList.toggle("off", !shown.has(group.dataset.activation));
  };
  const pressed = (chip) => chip.getAttribute("aria-pressed") === "true";
  const shown = () => new Set(chips.filter(pressed).map((chip) => chip.dataset.shows));
  const press = (control, choose) => control.addEventListener("click", () => {
    only.value = "";
    show(choose());
  });

  for (const chip of chips) {
    press(chip, () => {
      const names = shown();
      if (!names.delete(chip.dataset.shows)) names.add(chip.dataset.shows);
      return names;
    });
  }
  press(bar.querySelector("[data-all]"), () => new Set(chips.map((chip) => chip.dataset.shows)));
  press(bar.querySelector("[data-none]"), () => new Set());
  only.addEventListener("change", () => { if (only.value) show(new Set([only.value])); });
  bar.hidden = false;

  // It is out of the way while no figure that it works on is in sight.
  const figures = new Set(groups.map((group) => group.closest("figure")));
  const seen = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) seen.add(target);
      else seen.delete(target);
    }
    bar.classList.toggle("away", seen.size === 0 && !bar.contains(document.activeElement));
  });
  for (const figure of figures) watcher.observe(figure);
}
