/** The events of a clip as buttons that lead to their beginnings. */

import { cssColour, percent } from "./emotions.js";
import { clock } from "./video-file.js";

const MOST = 200;

export class EventList {
  #list;
  #note;
  #shown = "";

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} note shown if there is none, or more than the list shows
   */
  constructor(list, note) {
    this.#list = list;
    this.#note = note;
    /** @type {(timeS: number) => void} called when the user chooses an event */
    this.onchoose = () => {};
  }

  /** @param {ReturnType<typeof import("./events.js").findEvents>} events */
  update(events) {
    const key = JSON.stringify(events);
    if (key === this.#shown) return;
    this.#shown = key;
    const focused = [...this.#list.children].findIndex((item) => item.contains(document.activeElement));
    this.#list.replaceChildren(...events.slice(0, MOST).map((event) => this.#item(event)));
    if (focused >= 0) this.#list.children[focused]?.firstChild.focus();
    const more = events.length > MOST ? `The first ${MOST} of ${events.length} events.` : "";
    this.#note.textContent = events.length ? more : "No event so far.";
    this.#note.hidden = !this.#note.textContent;
  }

  #item({ id, emotion, onsetS, offsetS, peak, onsetCensored, offsetCensored }) {
    const button = document.createElement("button");
    button.type = "button";
    button.style.setProperty("--colour", cssColour(emotion));
    const from = `${onsetCensored ? "…" : ""}${clock(onsetS, 1)}`;
    const to = `${clock(offsetS, 1)}${offsetCensored ? "…" : ""}`;
    button.append(document.createElement("i"), `${from} – ${to}  face ${id} ${emotion}, up to ${percent(peak)}`);
    if (onsetCensored || offsetCensored) button.title = "…: the face appears or vanishes there.";
    button.addEventListener("click", () => this.onchoose(onsetS));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }
}
