/** The frames of a clip with their faces, fetched a stretch at a time. */

import * as server from "./server.js";

const STRETCH_S = 20;
const MOST_STRETCHES = 12; // kept
const ROUNDING_S = 0.0005;

export class FrameStore {
  #name;
  #labels;
  #stretches = new Map(); // number -> {frames, toS} or a promise of it

  constructor(name, labels) {
    this.#name = name;
    this.#labels = labels;
  }

  /** The frame that is shown at a time: the last one that begins by then; null before the first. */
  async at(timeS) {
    for (let number = stretchOf(timeS); number >= 0; number -= 1) {
      const { frames } = await this.#stretch(number);
      const found = frames.findLast((frame) => frame.timeS <= timeS + ROUNDING_S);
      if (found) return found;
    }
    return null;
  }

  /** As `at`, without waiting: undefined if the frames are not here yet. */
  known(timeS) {
    const stretch = this.#stretches.get(stretchOf(timeS));
    if (stretch === undefined) void this.#stretch(stretchOf(timeS));
    return stretch?.frames?.findLast((frame) => frame.timeS <= timeS + ROUNDING_S);
  }

  /** Fetches what playing will need soon. */
  ahead(timeS) {
    void this.#stretch(stretchOf(timeS + STRETCH_S / 2));
  }

  /** The frame behind the one shown at a time, or null. */
  async next(timeS) {
    let number = stretchOf(timeS);
    for (;;) {
      const { frames, toS } = await this.#stretch(number);
      const found = frames.find((frame) => frame.timeS > timeS + ROUNDING_S);
      if (found) return found;
      if (toS === null) return null;
      number = Math.max(number + 1, stretchOf(toS));
    }
  }

  /** The frame before the one shown at a time, or null. */
  async previous(timeS) {
    const now = await this.at(timeS);
    return now && this.at(now.timeS - 2 * ROUNDING_S);
  }

  #stretch(number) {
    const kept = this.#stretches.get(number);
    if (kept) return kept.promise ?? kept;
    const promise = this.#fetch(number);
    this.#stretches.set(number, { promise });
    return promise;
  }

  async #fetch(number) {
    try {
      const reply = await server.frames(this.#name, number * STRETCH_S, (number + 1) * STRETCH_S);
      const stretch = { frames: reply.frames.map((frame) => this.#read(frame)), toS: reply.to_s };
      this.#stretches.set(number, stretch);
      while (this.#stretches.size > MOST_STRETCHES) this.#stretches.delete(this.#stretches.keys().next().value);
      return stretch;
    } catch (error) {
      this.#stretches.delete(number);
      throw error;
    }
  }

  #read([number, timeS, faces]) {
    return { number, timeS, faces: faces.map((face) => this.#face(face)) };
  }

  #face([id, x, y, width, height, uncertain, corrected, warnings, ...shares]) {
    const emotions = Object.fromEntries(this.#labels.map((label, i) => [label, shares[i]]));
    const top = this.#labels[shares.indexOf(Math.max(...shares))];
    const box = { x, y, width, height };
    const marks = { uncertain: Boolean(uncertain), corrected: Boolean(corrected) };
    return { id, box, ...marks, warnings: warnings ? warnings.split("; ") : [], emotions, top };
  }
}

function stretchOf(timeS) {
  return Math.max(0, Math.floor((timeS + ROUNDING_S) / STRETCH_S));
}
