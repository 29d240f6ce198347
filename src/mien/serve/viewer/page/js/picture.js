/** The frame with its boxes. */

import { Overlay } from "./overlay.js";

export class Picture {
  #canvas;
  #overlay;
  #size = { width: 640, height: 360 };
  #blank = document.createElement("canvas");

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#overlay = new Overlay(canvas);
  }

  /** Sets the size of the clip's frames, in which boxes are given. */
  setSize(size) {
    if (size) this.#size = { width: size[0], height: size[1] };
    Object.assign(this.#blank, this.#size);
  }

  /**
   * @param {{source: CanvasImageSource, width: number, height: number}|null} image null: boxes alone
   * @param {{faces: object[]}|null} frame
   * @param {{id: number, name: string|null}[]} people
   * @param {number|null} selected whose box stands out
   */
  draw(image, frame, people, selected) {
    const { source, width, height } = image ?? { source: this.#blank, ...this.#size };
    const names = new Map(people.map(({ id, name }) => [id, name ?? id]));
    const faces = (frame?.faces ?? []).map((face) => ({ ...face, id: names.get(face.id) ?? face.id }));
    const options = { mirror: false, blurAllBut: undefined };
    this.#overlay.draw(source, { width, height }, { faces, unconfirmed: [], ...this.#size }, options);
    const mine = frame?.faces.find(({ id }) => id === selected);
    if (mine) this.#highlight(mine.box, width / this.#size.width);
  }

  #highlight({ x, y, width, height }, scale) {
    const context = this.#canvas.getContext("2d");
    const line = Math.max(2, Math.round(this.#canvas.height / 180));
    context.lineWidth = line;
    context.strokeStyle = "#FFFFFF";
    context.strokeRect(x * scale - 2 * line, y * scale - 2 * line, width * scale + 4 * line, height * scale + 4 * line);
  }
}
