// Lights up an arm in every chart and table while it is pointed at, or for as long as it is chosen.
"use strict";

const select = document.querySelector("[data-light]");
const parts = new Map(); // number of an arm -> what belongs to it

for (const part of document.querySelectorAll("[data-arm]")) {
  const number = part.dataset.arm;
  if (!parts.has(number)) parts.set(number, []);
  parts.get(number).push(part);
}

let lit = "";

function light(number) {
  if (number === lit) return;
  for (const part of parts.get(lit) || []) part.classList.remove("lit");
  for (const part of parts.get(number) || []) part.classList.add("lit");
  document.body.classList.toggle("lighting", parts.has(number));
  lit = number;
}

function chosen() {
  return select ? select.value : "";
}

document.addEventListener("pointerover", (event) => {
  const part = event.target.closest("svg [data-arm], tr[data-arm]");
  light(part ? part.dataset.arm : chosen());
});

if (select) {
  select.addEventListener("input", () => light(chosen()));
  select.closest("[hidden]").hidden = false;
}

addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
