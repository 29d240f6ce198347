/**
 * The predictions of a clip by time. A frame is analyzed once; each time the clip is played, the frames that were
 * skipped before are added.
 */

import { iou } from "./geometry.js";

const SAME_FRAME_S = 0.002; // times of one frame differ by rounding only
const NEAR_S = 0.5;
const SAME_FACE_IOU = 0.3;

const rowsOf = ({ faces }) => Math.max(1, faces.length);

export class ClipResults {
  #frames = []; // {timeS, prediction}, by time
  #numbers = new Map(); // the source's number of a face -> its number in the clip; since the last jump
  #nextNumber = 1;
  #rows = 0;

  /** @returns {{timeS: number, prediction: import("./api.js").Prediction}[]} by time */
  get frames() {
    return this.#frames;
  }

  /** The number of rows in the table: one per face, one for a frame without faces. */
  get rows() {
    return this.#rows;
  }

  /** The prediction for the frame at this time, or null. */
  at(timeS) {
    const i = this.#indexOf(timeS - SAME_FRAME_S);
    const frame = this.#frames[i];
    return frame && frame.timeS <= timeS + SAME_FRAME_S ? frame.prediction : null;
  }

  /** Whether the frame at this time is to be analyzed by itself: it was not yet, or its face was tracked only later. */
  open(timeS) {
    const known = this.at(timeS);
    return !known || (known.faces.length === 0 && known.unconfirmed.length > 0);
  }

  /**
   * Adds the prediction for a frame, or replaces it, and returns it with the clip's numbers for its faces: after a jump, a face that
   * overlaps one within half a second before or after has its number, any other a new one.
   */
  add(timeS, prediction) {
    const i = this.#indexOf(timeS - SAME_FRAME_S);
    const replaced = this.at(timeS);
    const numbered = { ...prediction, faces: this.#numbered(prediction.faces, timeS, i) };
    this.#frames.splice(i, replaced ? 1 : 0, { timeS, prediction: numbered });
    this.#rows += rowsOf(numbered) - (replaced ? rowsOf(replaced) : 0);
    return numbered;
  }

  /** The clip goes on elsewhere: the source's numbers mean nothing there. */
  jump() {
    this.#numbers.clear();
  }

  /** The index of the first frame at or after this time. */
  #indexOf(timeS) {
    let low = 0;
    let high = this.#frames.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#frames[middle].timeS < timeS) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #numbered(faces, timeS, i) {
    const near = this.#frames.slice(Math.max(i - 1, 0), i + 2).filter((frame) => frame && Math.abs(frame.timeS - timeS) <= NEAR_S);
    const taken = new Set(faces.map(({ id }) => this.#numbers.get(id)));
    for (const face of faces) {
      if (this.#numbers.has(face.id)) continue;
      const same = near
        .flatMap(({ prediction }) => prediction.faces)
        .find(({ id, box }) => !taken.has(id) && iou(box, face.box) > SAME_FACE_IOU);
      const number = same ? same.id : this.#nextNumber++;
      this.#numbers.set(face.id, number);
      taken.add(number);
    }
    return faces.map((face) => ({ ...face, id: this.#numbers.get(face.id) }));
  }
}
