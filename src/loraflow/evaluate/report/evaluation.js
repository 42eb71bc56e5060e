// Filters, sorts and pages the long lists. Without it every list is there whole.
"use strict";

// What a row has gained, larger is better; null where there is nothing to compare.
function gainsOf(numbers, metric) {
  const sign = numbers.metrics[metric].larger === false ? -1 : 1;
  return numbers.scores.map((row) => {
    const [base, tuned] = row[metric];
    const value = numbers.paired ? (base === null || tuned === null ? null : tuned - base) : base;
    return value === null ? null : sign * value;
  });
}

// Rows without a number come last, and equal ones stay in their order.
function sorted(rows, gains, order) {
  const key = (row) => (gains[row] === null ? -Infinity : order * gains[row]);
  return rows.slice().sort((one, other) => key(other) - key(one) || one - other);
}

const folded = (text) => text.normalize("NFC").toLowerCase();

function textOf(row) {
  return folded(Array.from(row.querySelectorAll(".find"), (part) => part.textContent).join("\n"));
}

function setUp(root) {
  const numbers = JSON.parse(root.querySelector("[data-numbers]").textContent);
  const holder = root.querySelector("[data-rows]");
  const rows = Array.from(holder.tBodies || holder.children);
  const part = (name) => root.querySelector(`[data-${name}]`);
  const chosen = (name, otherwise) => (part(name) ? part(name).value : otherwise);
  let texts = null; // read when first needed
  let page = 0;

  function found() {
    const wanted = folded(part("filter").value.trim());
    const group = chosen("group", "");
    if (wanted && !texts) texts = rows.map(textOf);
    const places = rows.map((_, place) => place).filter(
      (place) =>
        (!wanted || texts[place].includes(wanted)) &&
        (group === "" || numbers.groups[place] === Number(group)),
    );
    const order = Number(chosen("order", 0));
    return order ? sorted(places, gainsOf(numbers, Number(chosen("metric", 0))), order) : places;
  }

  function show() {
    const size = Number(part("size").value);
    const places = found();
    const pages = Math.max(1, Math.ceil(places.length / size));
    page = Math.min(Math.max(0, page), pages - 1);
    const first = page ? page * size : 0;
    const shown = places.slice(first, first + size).map((place) => rows[place]);
    for (const row of rows) row.remove();
    holder.append(...shown);
    mark(shown);
    report(places.length, first, shown.length, pages);
  }

  function mark(shown) {
    const metric = chosen("metric", "0");
    for (const row of shown) {
      for (const number of row.querySelectorAll("[data-of]")) {
        number.classList.toggle("chosen", number.dataset.of === metric);
      }
    }
  }

  function report(number, first, length, pages) {
    for (const pager of root.querySelectorAll(".pager")) {
      const noun = `${pager.dataset.noun}${number === 1 ? "" : "s"}`;
      const part = length === number ? "" : `${first + 1} to ${first + length} of `;
      const rest = number === rows.length ? "" : ` found, ${rows.length} in all`;
      pager.querySelector("[data-status]").textContent = `${part}${number} ${noun}${rest}`;
      const [back, on] = pager.querySelectorAll("[data-step]");
      back.hidden = on.hidden = pages === 1;
      back.disabled = page === 0;
      on.disabled = page === pages - 1;
    }
  }

  function turn(event) {
    page += Number(event.currentTarget.dataset.step);
    show();
    const top = root.querySelector(".controls");
    if (top.getBoundingClientRect().top < 0) top.scrollIntoView({ block: "start" });
  }

  for (const control of root.querySelectorAll(".controls input, .controls select")) {
    control.addEventListener("input", () => {
      page = 0;
      show();
    });
  }
  for (const button of root.querySelectorAll("[data-step]")) button.addEventListener("click", turn);
  for (const hidden of root.querySelectorAll(".controls, .pager")) hidden.hidden = false;
  show();
}

for (const root of document.querySelectorAll("[data-list]")) setUp(root);
