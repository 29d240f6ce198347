/** The picture that is shown: the newest of the video, or the one that was answered last; whose faces are hidden. */

import { Overlay } from "./overlay.js";

export class View {
  #overlay;
  #video;
  #shown = null; // {answer, source, size} that was answered last
  #mine = null; // the face that is not to be hidden

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLVideoElement} video
   */
  constructor(canvas, video) {
    this.#overlay = new Overlay(canvas);
    this.#video = video;
  }

  /** The faces that were answered last; null where nothing has been answered. */
  get faces() {
    return this.#shown?.answer.faces ?? null;
  }

  get mine() {
    return this.#mine;
  }

  /** Takes an answer and the picture that it is about. */
  update(answer, source, size = source) {
    this.#shown = { answer, source, size };
  }

  /** Boxes of a moment ago would lie beside the faces. */
  clearPrediction() {
    this.#shown = null;
  }

  clear() {
    this.#shown = null;
    this.#mine = null;
    this.#overlay.clear();
  }

  choose(id) {
    this.#mine = id;
  }

  /** One's own face is the largest until somebody says otherwise. */
  chooseLargest() {
    const area = ({ box }) => box.width * box.height;
    const faces = this.faces ?? [];
    this.#mine ??= faces.length ? faces.reduce((a, b) => (area(b) > area(a) ? b : a)).id : null;
  }

  /**
   * @param {{ahead: boolean, mirror: boolean, blur: boolean}} options `ahead`: the video's picture, which is
   *   a little newer than the boxes; else the one that was answered, in which they lie exactly
   */
  draw({ ahead, mirror, blur }) {
    const options = { mirror, hideAllBut: blur ? this.#mine : undefined };
    const { videoWidth: width, videoHeight: height } = this.#video;
    // Where faces are to be hidden, no picture is shown before it is known where they are in it.
    if (ahead && width && !blur) {
      this.#overlay.draw(this.#video, { width, height }, this.#shown?.answer ?? null, options);
    } else if (this.#shown) {
      this.#overlay.draw(this.#shown.source, this.#shown.size, this.#shown.answer, options);
    }
  }

  snapshot() {
    return this.#overlay.snapshot();
  }
}
