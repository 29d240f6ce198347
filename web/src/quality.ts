/** How well a face can be seen, as mien.images.quality. */

import type { Detection } from "./crop.js";
import { LIMIT, type Checks } from "./face-check.js";
import type { Pixels } from "./pixels.js";

/** How well one face can be seen. */
export interface Quality {
  /** Side of the detector's box in pixels, the root of its area. */
  size: number;
  /** Contrast between neighbouring pixels of the model's crop, as a share of the contrast of the whole crop. */
  sharpness: number;
  /** Mean gray of the crop, 0..1, before a dark crop is made brighter. */
  light: number;
  /** Share of the box that lies outside of the image, 0..1. */
  cut_off: number;
  /** Degrees by which the eyes are turned from level, clockwise as seen. */
  roll: number | null;
  /** Degrees to the person's left, estimated from eyes and nose. */
  yaw: number | null;
  /** Degrees downwards, estimated from eyes and nose. */
  pitch: number | null;
  /** Score, 0..1, that a part of the face is covered; the limit is 0.5. */
  covered: number | null;
  /** Score, 0..1, that the face is smeared by motion; the limit is 0.5. */
  moved: number | null;
}

/** By name of a number, the least and the most within which the model was measured; from the card. */
export type Limits = Record<string, [number | null, number | null]>;

const NOSE_OUT = 0.42;
const NOSE_DOWN = 0.61;
const WORDS: Record<string, [string, string]> = {
  size: ["small", ""],
  sharpness: ["blurred", ""],
  light: ["dark", "bright"],
  cut_off: ["", "cut off"],
  yaw: ["", "turned"],
  pitch: ["looking up", "looking down"],
  covered: ["", "covered"],
  moved: ["", "moved"],
};

const degrees = (radians: number) => (radians * 180) / Math.PI;
const rounded = (value: number, digits: number) => Number(value.toFixed(digits));

/** The limits of a model's card and those of the face check. */
export function withChecks(limits: Limits): Limits {
  return { ...limits, covered: [null, LIMIT], moved: [null, LIMIT] };
}

/**
 * The quality of a face in an image; `crop` is what the model sees, gray, before it is made brighter, and `checks`
 * are those of the face.
 */
export function qualityOf(
  { box: [x, y, w, h], keypoints }: Detection,
  crop: Pixels,
  image: Pixels,
  checks: Checks,
): Quality {
  const wide = Math.max(Math.min(x + w, image.width) - Math.max(x, 0), 0);
  const tall = Math.max(Math.min(y + h, image.height) - Math.max(y, 0), 0);
  const [roll, yaw, pitch] = turnOf(keypoints);
  return {
    size: Math.sqrt(w * h),
    sharpness: sharpnessOf(crop),
    light: crop.data.reduce((sum, value) => sum + value, 0) / crop.data.length / 255,
    cut_off: 1 - (wide * tall) / (w * h),
    roll,
    yaw,
    pitch,
    covered: checks.covered,
    moved: checks.moved,
  };
}

/** As Python's `Quality.to_dict`. */
export function roundedQuality(quality: Quality): Quality {
  const turn = (value: number | null) => (value === null ? null : rounded(value, 1));
  const score = (value: number | null) => (value === null ? null : rounded(value, 3));
  return {
    size: rounded(quality.size, 1),
    sharpness: rounded(quality.sharpness, 3),
    light: rounded(quality.light, 3),
    cut_off: rounded(quality.cut_off, 3),
    roll: turn(quality.roll),
    yaw: turn(quality.yaw),
    pitch: turn(quality.pitch),
    covered: score(quality.covered),
    moved: score(quality.moved),
  };
}

/** What lies outside of the limits, in words. */
export function warningsOf(quality: Quality, limits: Limits): string[] {
  const found: string[] = [];
  for (const [name, [least, most]] of Object.entries(limits)) {
    let value = quality[name as keyof Quality];
    if (value === null) continue;
    if (name === "yaw") value = Math.abs(value);
    const [tooLow, tooHigh] = WORDS[name];
    if (least !== null && value < least) found.push(tooLow);
    else if (most !== null && value > most) found.push(tooHigh);
  }
  return found;
}

function sharpnessOf({ data, width, height }: Pixels): number {
  const n = data.length;
  const mean = data.reduce((sum, value) => sum + value, 0) / n;
  const deviation = Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n);
  if (deviation === 0) return 0;
  let across = 0;
  let down = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      if (column + 1 < width) across += (data[at + 1] - data[at]) ** 2;
      if (row + 1 < height) down += (data[at + width] - data[at]) ** 2;
    }
  }
  return Math.sqrt((across / (height * (width - 1)) + down / ((height - 1) * width)) / 2) / deviation;
}

function turnOf([right, left, nose]: Detection["keypoints"]): [number | null, number | null, number | null] {
  const eyes = [left[0] - right[0], left[1] - right[1]];
  const distance = Math.hypot(eyes[0], eyes[1]);
  if (distance === 0) return [null, null, null];
  const roll = degrees(Math.atan2(eyes[1], eyes[0]));
  const [dx, dy] = [nose[0] - (right[0] + left[0]) / 2, nose[1] - (right[1] + left[1]) / 2];
  const along = (dx * eyes[0] + dy * eyes[1]) / distance ** 2;
  const below = (-dx * eyes[1] + dy * eyes[0]) / distance ** 2;
  const yaw = degrees(Math.atan(along / NOSE_OUT));
  const lower = (below * Math.cos((yaw * Math.PI) / 180) - NOSE_DOWN) / NOSE_OUT;
  return [roll, yaw, degrees(Math.asin(Math.min(Math.max(lower, -1), 1)))];
}
