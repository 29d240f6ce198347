/** The list of people. */

import { percent } from "./emotions.js";
import { clock } from "./lanes.js";

/** Fills the list; `select` is called with the number of a person who is clicked. */
export function showPeople(list, people, selected, select) {
  list.replaceChildren(...people.map((person) => item(person, person.id === selected, select)));
  const active = list.querySelector('[aria-selected="true"]');
  if (active) {
    list.setAttribute("aria-activedescendant", active.id);
    active.scrollIntoView({ block: "nearest" });
  } else {
    list.removeAttribute("aria-activedescendant");
  }
}

function item(person, selected, select) {
  const element = document.createElement("li");
  element.className = "person";
  element.id = `person-${person.id}`;
  element.setAttribute("role", "option");
  element.setAttribute("aria-selected", String(selected));
  const parts = [
    ["number", String(person.id)],
    ["name", person.name ?? `person ${person.id}`],
    ["quiet", `${person.seconds.toFixed(1)} s`],
    ["about quiet", about(person)],
  ];
  for (const [className, text] of parts) {
    const part = document.createElement("span");
    part.className = className;
    part.textContent = text;
    element.append(part);
  }
  element.addEventListener("click", () => select(person.id));
  return element;
}

function about({ top, uncertain, warned, corrected, first_s: firstS, last_s: lastS }) {
  const parts = [`${clock(firstS)} to ${clock(lastS)}`, `mostly ${top}`];
  if (uncertain >= 0.005) parts.push(`uncertain ${percent(uncertain)}`);
  if (warned >= 0.005) parts.push(`hard to see ${percent(warned)}`);
  if (corrected >= 0.005) parts.push(`set by hand ${percent(corrected)}`);
  return parts.join(", ");
}
