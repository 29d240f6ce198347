/** Tells a screen reader what is seen: when it changes, in a sentence, and not more often than can be listened to. */

import { percent } from "./emotions.js";

const EVERY_MS = 4000;

export class Announcer {
  #node;
  #last = "";
  #at = -EVERY_MS;

  /** @param {HTMLElement} node with role="status" */
  constructor(node) {
    this.#node = node;
  }

  /** At once; for what somebody has just done. */
  announce(text) {
    this.#node.textContent = text;
  }

  /** When something else is seen than was agreed last, and some time has passed. */
  update(faces) {
    const gist = faces.map(({ id, top, uncertain }) => `${id} ${uncertain ? "uncertain" : top}`).join();
    if (gist === this.#last || performance.now() - this.#at < EVERY_MS) return;
    this.#last = gist;
    this.#at = performance.now();
    this.announce(summary(faces));
  }
}

/** The faces in a sentence. */
export function summary(faces) {
  if (!faces.length) return "No face in view.";
  const looks = faces.map(({ id, top, uncertain, emotions }) =>
    uncertain ? `face ${id} uncertain` : `face ${id} looks ${top}, ${percent(emotions[top])}`,
  );
  return `${faces.length === 1 ? "One face" : `${faces.length} faces`}: ${looks.join("; ")}.`;
}
