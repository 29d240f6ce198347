/** Draws an image with a box and a label per face, and blurs the faces of others. */

import { colourOverImage, percent } from "./emotions.js";

const PANEL = "rgb(16 18 22 / 86%)";
const BLUR_MARGIN = 0.25; // of a face's box, on each side: hair and chin lie outside it
const MOST_WARNINGS = 2; // in a label
const BLUR_CELLS = 7; // a blurred face is this many blocks wide

export class Overlay {
  #canvas;
  #context;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  get size() {
    return { width: this.#canvas.width, height: this.#canvas.height };
  }

  /**
   * Draws an image and its faces.
   *
   * @param {CanvasImageSource} source a video, canvas or bitmap
   * @param {{width: number, height: number}} size of the source
   * @param {import("./api.js").Prediction|null} prediction
   * @param {{mirror: boolean, blurAllBut: number|null|undefined}} options `blurAllBut`: undefined blurs
   *   no face, null all faces, an id all but that face
   */
  draw(source, size, prediction, { mirror, blurAllBut }) {
    const canvas = this.#canvas;
    if (canvas.width !== size.width || canvas.height !== size.height) {
      Object.assign(canvas, { width: size.width, height: size.height });
    }
    const context = this.#context;
    context.setTransform(mirror ? -1 : 1, 0, 0, 1, mirror ? canvas.width : 0, 0);
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (!prediction) return;
    const { faces, unconfirmed } = prediction;
    const scaled = (box) => onCanvas(box, prediction, canvas, mirror);
    if (blurAllBut !== undefined) {
      const others = faces.filter(({ id }) => id !== blurAllBut).map(({ box }) => box);
      for (const box of [...others, ...unconfirmed]) blur(context, scaled(box));
    }
    for (const face of faces) {
      if (blurAllBut === undefined || face.id === blurAllBut) drawFace(context, scaled(face.box), face);
    }
  }

  clear() {
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** The canvas as a PNG. */
  snapshot() {
    return new Promise((resolve) => this.#canvas.toBlob(resolve, "image/png"));
  }
}

/** A box of the prediction in the canvas's pixels, as [left, top, width, height]. */
function onCanvas(box, { width, height }, canvas, mirror) {
  const sx = canvas.width / width;
  const sy = canvas.height / height;
  const left = mirror ? canvas.width - (box.x + box.width) * sx : box.x * sx;
  return [left, box.y * sy, box.width * sx, box.height * sy];
}

/** Large blocks of the mean colour: unlike after a soft blur, the face cannot be reconstructed. */
function blur(context, [left, top, width, height]) {
  const { canvas } = context;
  const x = Math.max(0, Math.floor(left - BLUR_MARGIN * width));
  const y = Math.max(0, Math.floor(top - BLUR_MARGIN * height));
  const right = Math.min(canvas.width, Math.ceil(left + (1 + BLUR_MARGIN) * width));
  const bottom = Math.min(canvas.height, Math.ceil(top + (1 + BLUR_MARGIN) * height));
  if (right <= x || bottom <= y) return;
  const cell = Math.max(1, Math.ceil((right - x) / BLUR_CELLS));
  const small = document.createElement("canvas");
  small.width = Math.max(1, Math.round((right - x) / cell));
  small.height = Math.max(1, Math.round((bottom - y) / cell));
  const into = small.getContext("2d");
  into.imageSmoothingQuality = "high";
  into.drawImage(canvas, x, y, right - x, bottom - y, 0, 0, small.width, small.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, small.width, small.height, x, y, right - x, bottom - y);
  context.imageSmoothingEnabled = true;
}

function drawFace(context, [left, top, width, height], face) {
  const { canvas } = context;
  const line = Math.max(2, Math.round(Math.min(canvas.width, canvas.height) / 200));
  const path = new Path2D();
  path.roundRect(left, top, width, height, 4 * line);
  context.lineWidth = line + 3;
  context.strokeStyle = PANEL;
  context.stroke(path);
  context.lineWidth = line;
  context.strokeStyle = colourOverImage(face.top);
  context.setLineDash(face.uncertain ? [4 * line, 3 * line] : []);
  context.stroke(path);
  context.setLineDash([]);
  drawLabel(context, [left, top, width, height], face, line);
}

function drawLabel(context, [left, top, , height], face, line) {
  const { canvas } = context;
  const em = Math.max(14, Math.round(Math.min(canvas.width, canvas.height) / 26));
  const name = face.uncertain ? `${face.top}?` : face.top;
  const parts = [
    { text: String(face.id), colour: "#AEB6BD", weight: 500 },
    { text: name, colour: colourOverImage(face.top), weight: 650 },
    { text: percent(face.emotions[face.top]), colour: "#FFFFFF", weight: 450 },
    ...(face.warnings ?? []).slice(0, MOST_WARNINGS).map((text) => ({ text, colour: "#AEB6BD", weight: 450 })),
  ];
  const font = (weight) => `${weight} ${em}px system-ui, "DejaVu Sans", sans-serif`;
  const widths = parts.map(({ text, weight }) => {
    context.font = font(weight);
    return context.measureText(text).width;
  });
  const gap = 0.45 * em;
  const labelWidth = widths.reduce((sum, w) => sum + w, 0) + gap * (parts.length + 1);
  const labelHeight = 1.55 * em;
  const x = Math.min(Math.max(left, line), canvas.width - labelWidth - line);
  const above = top - labelHeight - 2 * line;
  const y = above >= line ? above : Math.min(top + height + 2 * line, canvas.height - labelHeight - line);
  context.fillStyle = PANEL;
  context.beginPath();
  context.roundRect(x, y, labelWidth, labelHeight, 0.35 * em);
  context.fill();
  context.textBaseline = "middle";
  let at = x + gap;
  parts.forEach(({ text, colour, weight }, i) => {
    context.font = font(weight);
    context.fillStyle = colour;
    context.fillText(text, at, y + labelHeight / 2 + 0.04 * em);
    at += widths[i] + gap;
  });
}
