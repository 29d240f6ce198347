/** The square around a face, as mien.images.crop. */

import { affine, affineBilinear, BICUBIC, gray, part, reduce, resize, roundHalfEven, type Pixels } from "./pixels.js";

/** x, y, width and height in pixels of the image; parts of it may lie outside. */
export type FaceBox = [x: number, y: number, width: number, height: number];

/** A detected face: its box and six key points in pixels of the image. */
export interface Detection {
  box: FaceBox;
  confidence: number;
  keypoints: [number, number][];
}

export interface Framing {
  x: number;
  y: number;
  width: number;
  height: number;
}

const REDUCING_GAP = 3;
const TURN_FROM = (20 * Math.PI) / 180;
const FINER = 2;
const GRID = 16;
const TURNS = 4096;
const DARK_BELOW = 100;
const BRIGHT = 220;

function cropBox({ box: [left, top, width, height] }: Detection, framing: Framing): [number, number, number] {
  const side = Math.sqrt((width / framing.width) * (height / framing.height));
  return [
    left + width / 2 - (framing.x + framing.width / 2) * side,
    top + height / 2 - (framing.y + framing.height / 2) * side,
    side,
  ];
}

/** A position in pixels, rounded to the grid on which squares are cut: sixteenths. */
export const onGrid = (value: number) => roundHalfEven(value * GRID) / GRID;
const sideOnGrid = (side: number) => Math.max(onGrid(side), 1 / GRID);

/** The square of a face as the model's input, gray (size, size), as light as it is in the image. */
export function faceSquare(image: Pixels, detection: Detection, framing: Framing, size: number, align: boolean): Pixels {
  const [x, y, side] = cropBox(detection, framing);
  const angle = eyeAngle(detection);
  if (angle && (align || Math.abs(angle) > TURN_FROM)) {
    return turnedSquare(image, detection, x, y, side, angle, size);
  }
  return sampleSquare(image, x, y, side, size, true);
}

/** How far the line from the right eye to the left is turned, in radians, clockwise as seen. */
export function eyeAngle({ keypoints: [right, left] }: Detection): number {
  return Math.atan2(Math.fround(left[1] - right[1]), Math.fround(left[0] - right[0]));
}

/** A square of an RGB image about a centre, turned by an angle in radians, resized to (size, size), bilinear. */
export function sampleTurned(
  image: Pixels,
  x: number,
  y: number,
  side: number,
  angle: number,
  size: number,
): Pixels {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const reach = ((Math.abs(cos) + Math.abs(sin)) * side) / 2;
  const [whole, x0, y0] = patchAround(image, x - reach, y - reach, x + reach, y + reach, false);
  const factor = Math.max(1, Math.trunc(side / size));
  const patch = reduce(whole, factor, factor);
  const step = side / size;
  const [left, top] = [x - ((cos - sin) * side) / 2, y - ((sin + cos) * side) / 2];
  const map = [cos * step, -sin * step, left - x0, sin * step, cos * step, top - y0];
  return affineBilinear(patch, size, map.map((value) => value / factor) as Parameters<typeof affineBilinear>[2]);
}

/** A dark crop with every value multiplied so that its 99th percentile becomes 220; others unchanged. */
export function brightened(crop: Pixels): Pixels {
  const sorted = Uint8Array.from(crop.data).sort();
  const at = 0.99 * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  const brightest = low + (sorted[Math.min(Math.floor(at) + 1, sorted.length - 1)] - low) * (at - Math.floor(at));
  if (!(brightest > 0 && brightest < DARK_BELOW)) return crop;
  const data = crop.data.map((value) => roundHalfEven(Math.min(value * (BRIGHT / brightest), 255)));
  return { ...crop, data };
}

/** A square of an image, on the grid of sixteenths, resized to (size, size); outside the image its edge is repeated. */
export function sampleSquare(
  image: Pixels,
  left: number,
  top: number,
  length: number,
  size: number,
  asGray: boolean,
): Pixels {
  const [x, y, side] = [onGrid(left), onGrid(top), sideOnGrid(length)];
  const [patch, x0, y0] = patchAround(image, x, y, x + side, y + side, asGray);
  const right = Math.min(x - x0 + side, patch.width);
  const bottom = Math.min(y - y0 + side, patch.height);
  return resize(patch, size, size, BICUBIC, { box: [x - x0, y - y0, right, bottom], reducingGap: REDUCING_GAP });
}

function turnedSquare(
  image: Pixels,
  { box: [left, top, width, height] }: Detection,
  squareX: number,
  squareY: number,
  length: number,
  eyes: number,
  size: number,
): Pixels {
  const [cx, cy] = [onGrid(left + width / 2), onGrid(top + height / 2)];
  const [x, y, side] = [onGrid(squareX), onGrid(squareY), sideOnGrid(length)];
  const angle = roundHalfEven(eyes * TURNS) / TURNS;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const corners = [x - cx, x + side - cx].flatMap((dx) =>
    [y - cy, y + side - cy].map((dy) => [cx + cos * dx - sin * dy, cy + sin * dx + cos * dy]),
  );
  const xs = corners.map((corner) => corner[0]);
  const ys = corners.map((corner) => corner[1]);
  const [whole, x0, y0] = patchAround(
    image,
    Math.min(...xs),
    Math.min(...ys),
    Math.max(...xs),
    Math.max(...ys),
    true,
  );
  const factor = Math.max(1, Math.trunc(side / (size * FINER)));
  const patch = reduce(whole, factor, factor);
  const samples = Math.ceil(side / factor / size);
  const fine = size * samples;
  const step = side / fine;
  const map = [cos * step, -sin * step, xs[0] - x0, sin * step, cos * step, ys[0] - y0];
  const turned = affine(patch, fine, map.map((value) => value / factor) as Parameters<typeof affine>[2]);
  return reduce(turned, samples, samples);
}

/** The part of an image around a rectangle with two more pixels at each side, and its corner. */
function patchAround(
  image: Pixels,
  left: number,
  top: number,
  right: number,
  bottom: number,
  asGray: boolean,
): [Pixels, number, number] {
  const x0 = Math.floor(left) - 2;
  const y0 = Math.floor(top) - 2;
  const patch = part(image, x0, y0, Math.ceil(right) + 2, Math.ceil(bottom) + 2);
  return [asGray ? gray(patch) : patch, x0, y0];
}
