/** The texture of a face and the colours of hair and clothes in one frame, as mien.video.tracking.portrait. */

import meanTextureFile from "../../../src/mien/video/tracking/mean_texture.npy";
import { BOX, resize, roundHalfEven, type Pixels } from "../pixels.js";
import type { FaceBox } from "../crop.js";

// Each number is explained in mien/video/tracking/portrait.py.
const SIDE = 48;
const CELLS = 6;
const PATTERNS = 16;
const NOISE = 3;
const TEXTURE = CELLS * CELLS * PATTERNS;
const [LUMA, CHROMA, SAMPLES] = [4, 8, 16];
const COLOURS = LUMA * CHROMA * CHROMA;
const CROP = [-0.08, -0.19, 1.08, 0.98];
const HAIR = [-0.25, -0.55, 1.25, 0.1];
const CLOTHES = [-0.6, 1.25, 1.6, 2];
const INSIDE = 0.5;
const LEAST_CELLS = 18;
const [TEXTURE_WEIGHT, TEXTURE_EVEN] = [12, 0.42];
const [COLOUR_WEIGHT, COLOUR_EVEN, COLOUR_LEAST, COLOUR_MOST] = [25, 0.94, -2, 0.25];

/** A face's portrait, ready to be compared with another. */
export interface Portrait {
  /** By how much each cell of the face differs from the mean of many faces; zeros out of the frame. */
  texture: Float32Array;
  /** The cells that are in the frame. */
  seen: boolean[];
  /** Of length 1; zeros where too little of them is in the frame. */
  hair: Float32Array;
  clothes: Float32Array;
}

/** The portrait of a face: its crop as the model gets it, and its box in pixels of an RGB frame of any scale. */
export function portraitOf(crop: Pixels, frame: Pixels, box: FaceBox): Portrait {
  const inFrame = cellsInFrame(frame, box);
  const roots = textureRoots(crop);
  const texture = new Float32Array(TEXTURE);
  const seen = inFrame.map(() => false);
  for (let i = 0; i < TEXTURE; i++) {
    const cell = Math.floor(i / PATTERNS);
    texture[i] = inFrame[cell] ? roundHalfEven(255 * roots[i]) : 0;
    seen[cell] ||= texture[i] > 0;
  }
  const mean = meanTexture();
  for (let i = 0; i < TEXTURE; i++) texture[i] = seen[Math.floor(i / PATTERNS)] ? texture[i] - mean[i] : 0;
  const colours = (region: number[]) => unit(coloursOf(frame, box, region).map((root) => roundHalfEven(255 * root)));
  return { texture, seen, hair: colours(HAIR), clothes: colours(CLOTHES) };
}

/** The correlation of two faces' textures where both are in the frame, -1 to 1; 0 for too little. */
export function alike(a: Portrait, b: Portrait): number {
  const both = a.seen.map((seen, i) => seen && b.seen[i]);
  if (both.filter(Boolean).length < LEAST_CELLS) return 0;
  let [product, ofA, ofB] = [0, 0, 0];
  for (let i = 0; i < TEXTURE; i++) {
    if (!both[Math.floor(i / PATTERNS)]) continue;
    product += a.texture[i] * b.texture[i];
    ofA += a.texture[i] ** 2;
    ofB += b.texture[i] ** 2;
  }
  return product / Math.max(Math.sqrt(ofA) * Math.sqrt(ofB), 1e-6);
}

/** How likely two portraits show one person, against two people: about the log of the odds. */
export function likeness(a: Portrait, b: Portrait): number {
  const common = a.seen.filter((seen, i) => seen && b.seen[i]).length;
  const weight = common >= LEAST_CELLS ? (TEXTURE_WEIGHT * common) / a.seen.length : 0;
  let score = weight * (alike(a, b) - TEXTURE_EVEN);
  for (const part of ["hair", "clothes"] as const) {
    if (!a[part].some(Boolean) || !b[part].some(Boolean)) continue;
    const colour = COLOUR_WEIGHT * (dot(a[part], b[part]) - COLOUR_EVEN);
    score += Math.min(Math.max(colour, COLOUR_LEAST), COLOUR_MOST);
  }
  return score;
}

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The values scaled to length 1; zeros where they are all 0. */
export function unit(values: ArrayLike<number>): Float32Array {
  const result = Float32Array.from(values);
  const length = Math.fround(Math.sqrt(dot(result, result)));
  return length > 1e-6 ? result.map((value) => value / length) : result.fill(0);
}

let mean: Float32Array | null = null;

/** NumPy's file of 36 x 16 bytes behind a header of text. */
function meanTexture(): Float32Array {
  mean ??= Float32Array.from(meanTextureFile.slice(-TEXTURE));
  return mean;
}

function textureRoots(crop: Pixels): number[] {
  const { data } = crop.width === SIDE ? crop : resize(crop, SIDE, SIDE, BOX);
  const inner = SIDE - 2;
  const counts = new Array<number>(TEXTURE).fill(0);
  const totals = new Array<number>(CELLS * CELLS).fill(0);
  const bit = (one: number, other: number) => (data[one] - data[other] > NOISE ? 1 : 0);
  for (let row = 0; row < inner; row++) {
    for (let column = 0; column < inner; column++) {
      const at = (row + 1) * SIDE + column + 1;
      const pattern =
        bit(at - SIDE - 1, at + SIDE + 1) +
        2 * bit(at - SIDE, at + SIDE) +
        4 * bit(at - SIDE + 1, at + SIDE - 1) +
        8 * bit(at + 1, at - 1);
      const cell = Math.floor((row * CELLS) / inner) * CELLS + Math.floor((column * CELLS) / inner);
      counts[cell * PATTERNS + pattern] += 1;
      totals[cell] += 1;
    }
  }
  return counts.map((count, i) => Math.sqrt(count / totals[Math.floor(i / PATTERNS)]));
}

function cellsInFrame(frame: Pixels, [x, y, width, height]: FaceBox): boolean[] {
  const shares = Array.from({ length: CELLS }, (_, i) => (i + 0.5) / CELLS);
  const rows = shares.map((share) => y + height * (CROP[1] + share * (CROP[3] - CROP[1])));
  const columns = shares.map((share) => x + width * (CROP[0] + share * (CROP[2] - CROP[0])));
  return rows.flatMap((row) =>
    columns.map((column) => row >= 0 && row < frame.height && column >= 0 && column < frame.width),
  );
}

function coloursOf(frame: Pixels, [x, y, width, height]: FaceBox, region: number[]): Float64Array {
  const spaced = (from: number, to: number, size: number) =>
    Array.from({ length: SAMPLES }, (_, i) => Math.trunc(i === SAMPLES - 1 ? to : from + i * ((to - from) / (SAMPLES - 1)))).filter(
      (value) => value >= 0 && value < size,
    );
  const rows = spaced(y + region[1] * height, y + region[3] * height, frame.height);
  const columns = spaced(x + region[0] * width, x + region[2] * width, frame.width);
  const counts = new Float64Array(COLOURS);
  const n = rows.length * columns.length;
  if (n < INSIDE * SAMPLES ** 2) return counts;
  for (const row of rows) {
    for (const column of columns) {
      const at = (row * frame.width + column) * 3;
      const [red, green, blue] = [frame.data[at], frame.data[at + 1], frame.data[at + 2]];
      const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
      spread(counts, [
        luma / 64,
        ((blue - luma) * 0.564) / 16 + CHROMA / 2,
        ((red - luma) * 0.713) / 16 + CHROMA / 2,
      ]);
    }
  }
  return counts.map((count) => Math.sqrt(count / n));
}

/** Adds a sample, shared by the two nearest bins of each axis, so that a border matters little. */
function spread(counts: Float64Array, at: number[]): void {
  let bins: [number, number][] = [[0, 1]];
  [LUMA, CHROMA, CHROMA].forEach((size, axis) => {
    const place = Math.min(Math.max(at[axis] - 0.5, 0), size - 1.0001);
    const low = Math.trunc(place);
    const share = place - low;
    bins = bins.flatMap(([bin, weight]): [number, number][] => [
      [bin * size + low, weight * (1 - share)],
      [bin * size + low + 1, weight * share],
    ]);
  });
  for (const [bin, weight] of bins) counts[bin] += weight;
}
