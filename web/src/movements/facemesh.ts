/** The face mesh: 478 landmarks of a detected face, as mien.movements.facemesh. */

import { eyeAngle, sampleTurned, type Detection } from "../crop.js";
import type { Pixels } from "../pixels.js";
import type { Point } from "./pose.js";

/** Runs the network on one RGB image of 192 by 192: landmarks in its pixels, and the presence of a face, 0..1. */
export type RunMesh = (image: Pixels) => Promise<{ landmarks: Float32Array; presence: number }>;

// Each number is explained in mien/movements/facemesh.py.
export const SIDE = 192;
const AROUND = 1.5;
const PRESENT = 0.5;
const FACE = 468;
const [RIGHT_CORNER, LEFT_CORNER] = [33, 263];
const [SHIFTED, TURNED, LEAST, MOST] = [0.08, 10, 0.85, 1.25];

/** The input's place in an image: centre and side in pixels, turn in radians, clockwise as seen. */
interface Square {
  x: number;
  y: number;
  side: number;
  angle: number;
}

/** The landmarks of a face, x and y in pixels of the image and depth in the same unit; null where there are none. */
export async function landmarksOf(network: RunMesh, image: Pixels, face: Detection): Promise<Point[] | null> {
  const [left, top, width, height] = face.box;
  const side = Math.max(width, height) * AROUND;
  const square = { x: left + width / 2, y: top + height / 2, side, angle: eyeAngle(face) };
  let [points, presence] = await run(network, image, square);
  const better = squareAround(points);
  if (presence < PRESENT || !isNear(square, better)) [points, presence] = await run(network, image, better);
  return presence >= PRESENT ? points : null;
}

async function run(network: RunMesh, image: Pixels, { x, y, side, angle }: Square): Promise<[Point[], number]> {
  const { landmarks, presence } = await network(sampleTurned(image, x, y, side, angle, SIDE));
  const points: Point[] = [];
  const scale = side / SIDE;
  for (let i = 0; i < landmarks.length; i += 3) {
    const [dx, dy] = turned(landmarks[i] * scale - side / 2, landmarks[i + 1] * scale - side / 2, angle);
    points.push([x + dx, y + dy, landmarks[i + 2] * scale]);
  }
  return [points, presence];
}

/** Whether the network sees about the same in both. */
function isNear(square: Square, other: Square): boolean {
  const shift = Math.hypot(square.x - other.x, square.y - other.y) / square.side;
  const turn = (other.angle - square.angle) / (2 * Math.PI);
  const scale = other.side / square.side;
  return LEAST < scale && scale < MOST && shift < SHIFTED && Math.abs(turn - Math.round(turn)) * 360 < TURNED;
}

/** The square that a face with these landmarks should lie in: its eyes level, the face in the middle. */
function squareAround(points: Point[]): Square {
  const [right, left] = [points[RIGHT_CORNER], points[LEFT_CORNER]];
  const angle = Math.atan2(left[1] - right[1], left[0] - right[0]);
  const level = points.slice(0, FACE).map(([px, py]) => turned(px, py, -angle));
  const range = [0, 1].map((axis) => {
    const values = level.map((point) => point[axis]);
    return [Math.min(...values), Math.max(...values)];
  });
  const [x, y] = turned((range[0][0] + range[0][1]) / 2, (range[1][0] + range[1][1]) / 2, angle);
  return { x, y, side: Math.max(range[0][1] - range[0][0], range[1][1] - range[1][0]) * AROUND, angle };
}

/** A point of an image turned by an angle, clockwise as seen. */
function turned(x: number, y: number, angle: number): [number, number] {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return [x * cos - y * sin, x * sin + y * cos];
}
