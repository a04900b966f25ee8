"""What moves in the report: figures enlarge, tables sort. The page reads as well without it."""

SCRIPT = """
"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, fields = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), fields);
  element.append(...children);
  return element;
};

// Links to files beside the page, where it has been taken out of its folder
if (!/\\/report\\/[^/]*$/.test(location.pathname)) document.documentElement.classList.add("away");
if (innerWidth < 992) document.querySelector("nav details").open = false;
addEventListener("beforeprint", () => { document.querySelector("nav details").open = true; });

// Tables: a click sorts upwards, the next downwards, the third as it was; what is no number stays below
const NUMBER = /^[-+−]?[0-9.]+(e[-+]?[0-9]+)?%?( \\[.*\\])?$/i;
const GAP = /^(–|NA|)$/;
const sorter = (text) => {
  const filled = text.filter((cell) => !GAP.test(cell));
  if (filled.every((cell) => NUMBER.test(cell))) return (a, b) => parseFloat(a) - parseFloat(b);
  return (a, b) => a.localeCompare(b, undefined, { numeric: true });
};
for (const table of all(".sorts table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, k) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.replaceChildren(button);
    button.onclick = () => {
      const next = { ascending: "descending", descending: "" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      const cell = (row) => row.cells[k].textContent.trim(), compare = sorter(rows.map(cell));
      const sign = next === "descending" ? -1 : 1;
      const order = (a, b) => GAP.test(cell(a)) - GAP.test(cell(b)) || (GAP.test(cell(a)) ? 0 : sign * compare(cell(a), cell(b)));
      body.append(...(next ? [...rows].sort(order) : rows));
    };
  });
}

// Figures
const pictures = all("figure img"), title = make("b"), large = make("img"), frame = make("div", {}, large);
const dialog = make("dialog", { ariaLabel: "Enlarged figure" });
let shown = 0;
const show = (index) => {
  shown = (index + pictures.length) % pictures.length;
  Object.assign(large, { src: pictures[shown].src, alt: pictures[shown].alt });
  title.textContent = pictures[shown].alt;
  frame.className = innerWidth < 700 ? "natural" : "";
  frame.scrollTo(0, 0);
};
const control = (text, action) => make("button", { type: "button", textContent: text, onclick: action });
large.onclick = () => frame.classList.toggle("natural");
dialog.append(make("p", {}, title, control("Previous", () => show(shown - 1)), control("Next", () => show(shown + 1)),
  control("Fit or full size", large.onclick), Object.assign(control("Close", () => dialog.close()), { autofocus: true })), frame);
dialog.onkeydown = (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && !frame.classList.contains("natural")) show(shown + step);
};
document.body.append(dialog);
pictures.forEach((picture, index) => {
  const button = make("button", { type: "button", className: "enlarge", ariaLabel: `Enlarge ${picture.alt}` });
  picture.replaceWith(button);
  button.append(picture);
  button.onclick = () => { show(index); dialog.showModal(); };
});
"""
