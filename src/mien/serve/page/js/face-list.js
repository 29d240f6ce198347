/** The list of faces with their probabilities as bars; elements are reused while a face is tracked. */

import { cssColour, ordered, percent, ranked } from "./emotions.js";
import { movementLines } from "./movements.js";

export class FaceList {
  #list;
  #empty;
  #cards = new Map(); // id -> card

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} empty shown if there is no face
   */
  constructor(list, empty) {
    this.#list = list;
    this.#empty = empty;
    /** @type {(id: number) => void} called when the user clicks "This is me" */
    this.onown = () => {};
  }

  /**
   * @param {import("./api.js").Face[]|null} predicted null before the first prediction
   * @param {{own: number|null, choose: boolean}} options `choose`: show the buttons to choose one's own face
   */
  update(predicted, { own, choose }) {
    const faces = predicted ?? [];
    const present = new Set(faces.map(({ id }) => id));
    for (const [id, card] of this.#cards) {
      if (present.has(id)) continue;
      card.root.remove();
      this.#cards.delete(id);
    }
    faces.forEach((face, i) => {
      const names = Object.keys(face.emotions);
      let card = this.#cards.get(face.id);
      if (!card || card.names.join() !== ordered(names).join()) {
        card?.root.remove();
        card = this.#make(face.id, ordered(names));
        this.#cards.set(face.id, card);
      }
      if (this.#list.children[i] !== card.root) this.#list.insertBefore(card.root, this.#list.children[i] ?? null);
      fill(card, face);
      card.me.hidden = !choose;
      card.me.setAttribute("aria-pressed", String(face.id === own));
    });
    this.#empty.hidden = faces.length > 0;
    write(this.#empty, predicted ? "No face in view." : "No results yet.");
  }

  #make(id, names) {
    const root = element("li", "face");
    root.dataset.face = String(id);
    const head = element("div", "face-head");
    const me = element("button", "face-me", "This is me");
    me.type = "button";
    me.setAttribute("aria-label", `Face ${id}: this is me`);
    me.addEventListener("click", () => this.onown(id));
    head.append(element("h3", "face-name", `Face ${id}`), me);
    const top = element("p", "face-top");
    const word = element("span", "face-word");
    const note = element("small", "face-note");
    top.append(word, note);
    const bars = element("ul", "bars");
    const rows = new Map(names.map((name) => [name, bar(name)]));
    for (const { row } of rows.values()) bars.append(row);
    const movements = element("p", "face-movements");
    movements.hidden = true;
    const warnings = element("p", "face-warnings");
    const details = element("details", "face-quality");
    const quality = element("dl", "quality");
    details.append(element("summary", "", "Quality"), quality);
    root.append(head, top, warnings, bars, movements, details);
    return { root, me, word, note, rows, names, movements, warnings, details, quality };
  }
}

function bar(name) {
  const row = element("li", "bar");
  row.dataset.emotion = name;
  row.style.setProperty("--colour", cssColour(name));
  const track = element("span", "bar-track");
  track.setAttribute("aria-hidden", "true");
  const filled = element("span", "bar-fill");
  track.append(filled);
  const value = element("span", "bar-value");
  row.append(element("span", "bar-name", name), track, value);
  return { row, filled, value };
}

function fill(card, face) {
  const [first, second] = ranked(face.emotions);
  card.root.classList.toggle("uncertain", face.uncertain);
  write(card.word, face.uncertain ? "uncertain" : first);
  write(card.note, face.uncertain ? `${first} or ${second}` : percent(face.emotions[first]));
  card.movements.hidden = face.movements === undefined;
  write(card.movements, movementLines(face.movements).join("\n"));
  card.warnings.hidden = !face.warnings?.length;
  write(card.warnings, face.warnings?.length ? `Hard to see: ${face.warnings.join(", ")}` : "");
  card.details.hidden = !face.quality;
  if (face.quality && card.details.open) fillQuality(card.quality, face.quality);
  card.details.ontoggle = () => face.quality && fillQuality(card.quality, face.quality);
  for (const [name, { row, filled, value }] of card.rows) {
    row.classList.toggle("first", name === first && !face.uncertain);
    filled.style.width = `${(100 * face.emotions[name]).toFixed(1)}%`;
    write(value, percent(face.emotions[name]));
  }
}

/** Name, format and meaning of each number in a face's quality. */
const QUALITY = [
  ["size", (value) => `${value.toFixed(0)} px`, "size", "Side of the face in the image"],
  ["sharpness", (value) => value.toFixed(2), "sharpness", "Contrast between neighbouring pixels; low is blurred"],
  ["light", percent, "light", "Mean brightness of the face"],
  ["cut_off", percent, "cut off", "Share of the face outside the image"],
  ["roll", degrees, "tilt", "To the side"],
  ["yaw", degrees, "turn", "To the left or right, estimated"],
  ["pitch", degrees, "up or down", "Downwards, estimated"],
  ["covered", percent, "covered", "Score that a part of the face is covered; the limit is 50%"],
  ["moved", percent, "moved", "Score that the face is smeared by motion; the limit is 50%"],
];

function degrees(value) {
  return `${value.toFixed(0)}°`;
}

function fillQuality(list, quality) {
  if (!list.children.length) {
    for (const [, , name, meaning] of QUALITY) {
      const row = element("div", "");
      const term = element("dt", "", name);
      term.title = meaning;
      row.append(term, element("dd", ""));
      list.append(row);
    }
  }
  QUALITY.forEach(([key, format], i) => {
    const value = quality[key];
    write(list.children[i].lastChild, value === null || value === undefined ? "–" : format(value));
  });
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** Writes a text only if it changed, which avoids useless layout. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
