/** How a head is turned: the canonical face fitted to the landmarks of a face, as mien.movements.pose. */

import canonicalText from "../../../src/mien/movements/canonical_face.obj";

export type Point = [x: number, y: number, z: number];

// Each number is explained in mien/movements/pose.py.
const RIGID = [
  4, 6, 10, 33, 54, 67, 117, 119, 121, 127, 129, 132, 133, 136, 143, 147, 198, 205, 263, 284, 297, 346, 348, 350, 356,
  358, 361, 362, 365, 372, 376, 420,
];
const DEPTH = 1.2;
const [RIGHT_CORNER, LEFT_CORNER] = [33, 263];

/** The canonical face, fitted to the landmarks of a face. */
export interface HeadFit {
  /** Rows of the matrix that takes the canonical face to the head as seen. */
  rotation: Point[];
  /** Pixels per cm of the canonical face. */
  scale: number;
  /** The landmarks seen from the front, in distances between the outer corners of the eyes. */
  front: Point[];
}

let canonical: Point[] | null = null;

function canonicalFace(): Point[] {
  const lines = () => canonicalText.split("\n").filter((line) => line.startsWith("v "));
  canonical ??= lines().map((line) => line.split(/\s+/).slice(1, 4).map(Number) as Point);
  return canonical;
}

const axes = [0, 1, 2] as const;

function meanOf(points: Point[]): Point {
  return axes.map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length) as Point;
}

const less = (point: Point, other: Point) => axes.map((axis) => point[axis] - other[axis]) as Point;

/**
 * The canonical face fitted to landmarks, x and y in pixels of the image and depth in the same unit.
 *
 * Source: Horn 1987, "Closed-form solution of absolute orientation using unit quaternions": the fit of Umeyama, which
 * Python uses, without a singular value decomposition.
 */
export function fitHead(landmarks: Point[]): HeadFit {
  const points = landmarks.map(([x, y, z]): Point => [x, -y, -DEPTH * z]);
  const face = canonicalFace();
  const unit = Math.hypot(...less(face[LEFT_CORNER], face[RIGHT_CORNER]));
  const centre = meanOf(RIGID.map((i) => points[i]));
  const middle = meanOf(RIGID.map((i) => face[i]));
  const known = RIGID.map((i) => less(face[i], middle));
  const seen = RIGID.map((i) => less(points[i], centre));
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = axes.flatMap((a) =>
    axes.map((b) => known.reduce((sum, point, i) => sum + point[a] * seen[i][b], 0)),
  );
  const [size, [w, x, y, z]] = largestEigenvector([
    [xx + yy + zz, yz - zy, zx - xz, xy - yx],
    [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, yy - xx - zz, yz + zy],
    [xy - yx, zx + xz, yz + zy, zz - xx - yy],
  ]);
  const rotation: Point[] = [
    [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
  ];
  const scale = size / known.reduce((sum, point) => sum + point[0] ** 2 + point[1] ** 2 + point[2] ** 2, 0);
  const front = points.map((point) => {
    const from = less(point, centre);
    return axes.map((b) => axes.reduce<number>((sum, a) => sum + from[a] * rotation[a][b], 0) / (scale * unit)) as Point;
  });
  return { rotation, scale, front };
}

/** Yaw, pitch and roll in degrees, see `HeadPose` in Python. */
export function poseOf(rotation: Point[]): { yaw: number; pitch: number; roll: number } {
  const degrees = (radians: number) => (radians * 180) / Math.PI;
  return {
    yaw: degrees(Math.asin(Math.min(Math.max(-rotation[2][0], -1), 1))),
    pitch: degrees(Math.atan2(rotation[2][1], rotation[2][2])),
    roll: degrees(Math.atan2(-rotation[1][0], rotation[0][0])),
  };
}

/** The largest eigenvalue of a symmetric matrix and its unit vector, by Jacobi's rotations. */
function largestEigenvector(matrix: number[][]): [number, number[]] {
  const a = matrix.map((row) => [...row]);
  const n = a.length;
  const vectors: number[][] = a.map((_, i) => a.map((__, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p][q] === 0) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const cos = 1 / Math.sqrt(t * t + 1);
        const sin = t * cos;
        for (let k = 0; k < n; k++) [a[k][p], a[k][q]] = [cos * a[k][p] - sin * a[k][q], sin * a[k][p] + cos * a[k][q]];
        for (let k = 0; k < n; k++) [a[p][k], a[q][k]] = [cos * a[p][k] - sin * a[q][k], sin * a[p][k] + cos * a[q][k]];
        for (const row of vectors) [row[p], row[q]] = [cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]];
      }
    }
  }
  const best = a.reduce((most, row, i) => (row[i] > a[most][most] ? i : most), 0);
  return [a[best][best], vectors.map((row) => row[best])];
}
