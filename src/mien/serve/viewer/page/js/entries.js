/** Corrections in words. */

import { clock } from "./lanes.js";

/** A person's name, or number. */
export function nameOf(people, id) {
  const name = people.find((person) => person.id === id)?.name;
  return name ? `${name} (${id})` : `person ${id}`;
}

/** An entry in one line. */
export function describe(entry) {
  const stretch = () => `${clock(entry.from_s)} to ${clock(entry.to_s)}`;
  switch (entry.kind) {
    case "merge":
      return `merge ${entry.people.join(", ")} into ${entry.into}`;
    case "split":
      return `split ${entry.person} at ${clock(entry.at_s)}; from there on ${entry.new}`;
    case "rename":
      return entry.name === null ? `no name for ${entry.person}` : `${entry.person} is ${entry.name}`;
    case "exclude":
      return `exclude ${entry.person === null ? "all" : entry.person}, ${stretch()}`;
    case "mark":
      return `${entry.person} shows ${entry.emotion}, ${stretch()}`;
    case "undo":
      return `undo ${entry.entry}`;
    default:
      return entry.kind;
  }
}

/** Fills the list of a clip's corrections, the newest first; undone ones are struck through. */
export function showEntries(list, entries, undo) {
  const shown = entries.filter(({ kind }) => kind !== "undo").toReversed();
  list.replaceChildren(
    ...shown.map((entry) => {
      const item = document.createElement("li");
      item.className = entry.in_effect ? "entry" : "entry undone";
      const what = document.createElement("span");
      what.className = "what";
      what.textContent = `${entry.number}. ${describe(entry)}`;
      item.append(what);
      if (entry.in_effect) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = "Undo";
        button.setAttribute("aria-label", `Undo correction ${entry.number}`);
        button.addEventListener("click", () => undo(entry.number));
        item.append(button);
      }
      return item;
    }),
  );
}
