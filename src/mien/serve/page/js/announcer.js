/** Announces the faces to a screen reader: one sentence, when they change, at most every four seconds. */

import { percent } from "./emotions.js";

const INTERVAL_MS = 4000;

export class Announcer {
  #node;
  #last = "";
  #lastMs = -INTERVAL_MS;

  /** @param {HTMLElement} node with role="status" */
  constructor(node) {
    this.#node = node;
  }

  /** Announces a text at once: the result of something the user did. */
  announce(text) {
    this.#node.textContent = text;
  }

  /** Announces the faces if they differ from the last announcement and the interval has passed. */
  update(faces) {
    const key = faces.map(({ id, top, uncertain }) => `${id} ${uncertain ? "uncertain" : top}`).join();
    if (key === this.#last || performance.now() - this.#lastMs < INTERVAL_MS) return;
    this.#last = key;
    this.#lastMs = performance.now();
    this.announce(summary(faces));
  }
}

/** The faces in a sentence. */
export function summary(faces) {
  if (!faces.length) return "No face in view.";
  const expressions = faces.map(({ id, top, uncertain, emotions }) =>
    uncertain ? `face ${id} uncertain` : `face ${id} ${top}, ${percent(emotions[top])}`,
  );
  return `${faces.length === 1 ? "One face" : `${faces.length} faces`}: ${expressions.join("; ")}.`;
}
