/** Numbers for faces from frame to frame: the same while a face overlaps its place of a moment ago. */

import { iou } from "./geometry.js";

const SAME_FACE_IOU = 0.3;
const FORGET_S = 1; // as long as mien.video.stages.track hides a face that is not seen

export class Tracks {
  #tracks = []; // {id, box, seen}: the faces of the last second
  #nextId = 1;

  /**
   * Gives each face its `id`; nobody gets a number twice.
   *
   * @returns {import("./api.js").Box[]} where faces were a moment ago that are not seen now
   */
  number(faces, timeS) {
    const left = this.#tracks.filter(({ seen }) => timeS - seen <= FORGET_S && timeS >= seen);
    for (const face of faces) {
      const best = left.reduce((a, b) => (a && iou(a.box, face.box) >= iou(b.box, face.box) ? a : b), null);
      if (best && iou(best.box, face.box) > SAME_FACE_IOU) {
        face.id = best.id;
        left.splice(left.indexOf(best), 1);
      } else {
        face.id = this.#nextId++;
      }
    }
    this.#tracks = [...left, ...faces.map(({ id, box }) => ({ id, box, seen: timeS }))];
    return left.map(({ box }) => box);
  }

  /** The next frame starts a new scene. */
  restart() {
    this.#tracks = [];
  }
}
