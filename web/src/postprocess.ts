/** From BlazeFace's raw output to faces, as mien.detection.postprocess. */

/** A row of 17 numbers: left, top, right, bottom, six key points as x, y, and the confidence. */
export type FaceRow = Float32Array;

export const COLUMNS = 17;
export const SAME_FACE_IOU = 0.3;
const SCORE_CLIP = 80;
const PART_INSIDE = 0.7;
const PART_AREA = 1.5;
const ANCHORS_PER_CELL = [
  [16, 2],
  [32, 6],
] as const;

const kept = new Map<string, Float32Array>();

/** The centres, x and y in pixels, of the anchors of an input; 896 for 256 by 256. */
export function anchors(height: number, width: number): Float32Array {
  const key = `${height}x${width}`;
  const known = kept.get(key);
  if (known) return known;
  const centres: number[] = [];
  for (const [stride, perCell] of ANCHORS_PER_CELL) {
    for (let y = 0; y < Math.floor(height / stride); y++) {
      for (let x = 0; x < Math.floor(width / stride); x++) {
        for (let i = 0; i < perCell; i++) centres.push((x + 0.5) * stride, (y + 0.5) * stride);
      }
    }
  }
  const result = Float32Array.from(centres);
  if (kept.size >= 64) kept.clear();
  kept.set(key, result);
  return result;
}

/** The score whose sigmoid is `probability`; infinite at 0 and 1. */
export function logit(probability: number): number {
  if (probability <= 0) return -Infinity;
  return probability >= 1 ? Infinity : Math.log(probability / (1 - probability));
}

export function sigmoid(score: number): number {
  return Math.fround(1 / (1 + Math.exp(-Math.min(Math.max(score, -SCORE_CLIP), SCORE_CLIP))));
}

/** The faces whose score, a logit, is above the threshold, in pixels of the input. */
export function decode(
  boxes: Float32Array,
  scores: Float32Array,
  height: number,
  width: number,
  threshold: number,
): FaceRow[] {
  const centres = anchors(height, width);
  const faces: FaceRow[] = [];
  for (let i = 0; i < scores.length; i++) {
    if (!(scores[i] > threshold)) continue;
    const face = new Float32Array(COLUMNS);
    const box = boxes.subarray(i * 16, i * 16 + 16);
    for (let axis = 0; axis < 2; axis++) {
      const centre = centres[2 * i + axis];
      const middle = Math.fround(box[axis] + centre);
      const half = box[2 + axis] / 2;
      face[axis] = middle - half;
      face[2 + axis] = middle + half;
      for (let k = 4 + axis; k < 16; k += 2) face[k] = box[k] + centre;
    }
    face[16] = sigmoid(scores[i]);
    if (face[2] > face[0] && face[3] > face[1]) faces.push(face);
  }
  return faces;
}

const area = (face: FaceRow) => Math.fround(Math.fround(face[2] - face[0]) * Math.fround(face[3] - face[1]));

function intersection(a: FaceRow, b: FaceRow): number {
  const wide = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const tall = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return Math.max(wide, 0) * Math.max(tall, 0);
}

/** Intersection over union of two boxes. */
export function iou(a: FaceRow, b: FaceRow): number {
  const shared = intersection(a, b);
  return shared / Math.max(area(a) + area(b) - shared, 1e-9);
}

/** One row per face, the most confident first; overlapping ones are averaged by confidence. */
export function merge(faces: FaceRow[]): FaceRow[] {
  let left = [...faces].sort((a, b) => b[16] - a[16]);
  const result: FaceRow[] = [];
  while (left.length) {
    const [first] = left;
    const same = left.map((face, i) => i === 0 || iou(first, face) > SAME_FACE_IOU);
    const group = left.filter((_, i) => same[i]);
    // Sums of float32, as NumPy adds them.
    const total = group.reduce((sum, face) => Math.fround(sum + face[16]), 0);
    const blended = new Float32Array(COLUMNS);
    for (let k = 0; k < 16; k++) {
      blended[k] = group.reduce((sum, face) => Math.fround(sum + Math.fround(face[k] * face[16])), 0) / total;
    }
    blended[16] = first[16];
    result.push(blended);
    left = left.filter((_, i) => !same[i]);
  }
  return result;
}

/** The faces without those that are a part of another: an eye or a mouth, mistaken for a face. */
export function withoutParts(faces: FaceRow[]): FaceRow[] {
  return faces.filter(
    (face) =>
      !faces.some(
        (other) =>
          intersection(face, other) / Math.max(area(face), 1e-9) > PART_INSIDE &&
          area(other) > PART_AREA * area(face) &&
          other[16] > face[16],
      ),
  );
}
