/** How a detector of one scale covers an image of any size, as mien.detection.tiling. */

import { BILINEAR, blank, part, paste, resize, roundHalfEven, type Pixels } from "./pixels.js";
import type { FaceRow } from "./postprocess.js";

export const SMALLEST = 12;
export const MARGIN = 2;
const LARGEST_STEP = 6;
const STRIDE = 32;
const TILE = 512;

const up = (length: number) => Math.ceil(length / STRIDE) * STRIDE;

/** The scales to search an image at: the one that fits it into `side`, then finer ones. */
export function scales(width: number, height: number, side: number, minFace: number | null): number[] {
  const whole = side / Math.max(width, height);
  if (minFace === null) return [whole];
  const finest = Math.min(SMALLEST / minFace, 1);
  if (finest <= whole) return [whole];
  const steps = Math.ceil(Math.log(finest / whole) / Math.log(LARGEST_STEP));
  return Array.from({ length: steps + 1 }, (_, step) => whole * (finest / whole) ** (step / steps));
}

const scaled = (length: number, scale: number) => Math.max(1, roundHalfEven(length * scale));

/** The image at a scale, without aliasing. */
export function resized(image: Pixels, scale: number): Pixels {
  return resize(image, scaled(image.width, scale), scaled(image.height, scale), BILINEAR, { reducingGap: 2 });
}

/** The image at a scale in the middle of a black square, and its corner. */
export function letterbox(image: Pixels, scale: number, side: number): [Pixels, [number, number]] {
  const small = resized(image, scale);
  const canvas = blank(side, side, 3);
  const x = Math.floor((side - small.width) / 2);
  const y = Math.floor((side - small.height) / 2);
  paste(canvas, small, x, y);
  return [canvas, [x, y]];
}

/** Faces found at a scale and placed at a corner, in pixels of the image itself. */
export function toImage(faces: FaceRow[], image: Pixels, scale: number, corner: [number, number]): FaceRow[] {
  const factors = [
    Math.fround(image.width / scaled(image.width, scale)),
    Math.fround(image.height / scaled(image.height, scale)),
  ];
  const placed = (value: number, axis: number) => Math.fround(value - corner[axis]) * factors[axis];
  return faces.map((face) => face.map((value, k) => (k < 16 ? placed(value, k % 2) : value)));
}

/** A part of an image that overlaps its neighbours; `inner` are its edges with a neighbour beyond. */
export interface Tile {
  left: number;
  top: number;
  right: number;
  bottom: number;
  inner: [left: boolean, top: boolean, right: boolean, bottom: boolean];
}

/** A tile's pixels, black at the right and below until both sides are multiples of 32. */
export function tilePixels(image: Pixels, tile: Tile): Pixels {
  const pixels = part(image, tile.left, tile.top, tile.right, tile.bottom);
  if (pixels.width % STRIDE === 0 && pixels.height % STRIDE === 0) return pixels;
  const canvas = blank(up(pixels.width), up(pixels.height), 3);
  paste(canvas, pixels, 0, 0);
  return canvas;
}

/** Whether no inner edge of the tile cuts the face. */
export function contains({ left, top, right, bottom, inner }: Tile, face: FaceRow): boolean {
  return (
    (!inner[0] || face[0] >= 0) &&
    (!inner[1] || face[1] >= 0) &&
    (!inner[2] || face[2] <= right - left) &&
    (!inner[3] || face[3] <= bottom - top)
  );
}

/** Tiles that cover an image, such that every face up to a size lies whole in one of them. */
export function tiles(width: number, height: number, largestFace: number): Tile[] {
  const overlap = up(largestFace);
  const columns = spans(width, overlap);
  return spans(height, overlap).flatMap(([top, bottom]) =>
    columns.map(([left, right]) => ({
      left,
      top,
      right,
      bottom,
      inner: [left > 0, top > 0, right < width, bottom < height] as Tile["inner"],
    })),
  );
}

function spans(length: number, overlap: number): [number, number][] {
  if (length <= TILE) return [[0, length]];
  const count = Math.ceil((length - overlap) / (TILE - overlap));
  const span = Math.min(up((length + (count - 1) * overlap) / count), TILE);
  return Array.from({ length: count }, (_, i) => {
    const start = roundHalfEven((i * (length - span)) / (count - 1));
    return [start, start + span];
  });
}
