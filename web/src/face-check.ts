/** Checks of face crops, as mien.detection.face_check: is it a face, is a part of it covered, is it moved? */

import type { Detection } from "./crop.js";
import type { Pixels } from "./pixels.js";

// The side of the crops, in the framing of FER2013; the limit of each score.
export const CHECK_SIDE = 48;
export const LIMIT = 0.5;
/** mien.images.crop.FER2013_FRAMING. */
export const FER2013_FRAMING = { x: 0.071, y: 0.163, width: 0.858, height: 0.858 };

/** Scores of one face, each 0..1. */
export interface Checks {
  face: number;
  covered: number;
  moved: number;
}

/** The checks of each of these faces in an image. */
export type RunChecks = (image: Pixels, faces: Detection[]) => Promise<Checks[]>;
