/** The image that is shown: the newest frame of the video, or the frame of the last prediction. */

import { Overlay } from "./overlay.js";
import { applyThresholds } from "./thresholds.js";

export class View {
  #overlay;
  #video;
  #shown = null; // {prediction, source, size} of the last prediction, as predicted
  #visible = null; // its prediction as it is shown
  #thresholds = undefined;
  #own = null; // id of the user's own face, which is not blurred

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLVideoElement} video
   */
  constructor(canvas, video) {
    this.#overlay = new Overlay(canvas);
    this.#video = video;
  }

  /** The faces of the last prediction that are shown; null before the first. */
  get faces() {
    return this.#visible?.faces ?? null;
  }

  get own() {
    return this.#own;
  }

  /** Sets a prediction and its image. */
  update(prediction, source, size = source) {
    this.#shown = { prediction, source, size };
    this.#visible = applyThresholds(prediction, this.#thresholds);
  }

  /** @param {{confidence: number, probability: number}} thresholds */
  setThresholds(thresholds) {
    this.#thresholds = thresholds;
    if (this.#shown) this.#visible = applyThresholds(this.#shown.prediction, thresholds);
  }

  /** Removes the last prediction: its boxes would no longer match the image. */
  clearPrediction() {
    this.#shown = null;
    this.#visible = null;
  }

  clear() {
    this.clearPrediction();
    this.#own = null;
    this.#overlay.clear();
  }

  chooseOwn(id) {
    this.#own = id;
  }

  /** The largest face is the user's own, until the user chooses another. */
  chooseLargest() {
    const area = ({ box }) => box.width * box.height;
    const faces = this.faces ?? [];
    this.#own ??= faces.length ? faces.reduce((a, b) => (area(b) > area(a) ? b : a)).id : null;
  }

  /**
   * @param {{ahead: boolean, mirror: boolean, blur: boolean}} options `ahead`: draw the video's current frame,
   *   which is a little newer than the boxes; otherwise the frame of the prediction, which they fit exactly
   */
  draw({ ahead, mirror, blur }) {
    const options = { mirror, blurAllBut: blur ? this.#own : undefined };
    const { videoWidth: width, videoHeight: height } = this.#video;
    // With blur, a frame is shown only once the positions of its faces are known.
    if (ahead && width && !blur) {
      this.#overlay.draw(this.#video, { width, height }, this.#visible, options);
    } else if (this.#shown) {
      this.#overlay.draw(this.#shown.source, this.#shown.size, this.#visible, options);
    }
  }

  snapshot() {
    return this.#overlay.snapshot();
  }
}
