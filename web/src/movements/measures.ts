/** Named movements of a face from its landmarks, as mien.movements.measures. */

import { fitHead, poseOf, type HeadFit, type Point } from "./pose.js";

type Corners = [number, number];

// Each number is explained in mien/movements/measures.py.
const EYES: { corners: Corners; upper: number[]; lower: number[] }[] = [
  { corners: [33, 133], upper: [160, 159, 158], lower: [144, 145, 153] },
  { corners: [263, 362], upper: [387, 386, 385], lower: [373, 374, 380] },
];
const BROWS = [
  [70, 63, 105, 66, 107],
  [300, 293, 334, 296, 336],
];
const IRISES = [468, 473];
const LIP_CORNERS: Corners = [61, 291];
const [UPPER_LIP, LOWER_LIP, UNDER_NOSE] = [13, 14, 2];
const [OPEN, CLOSED] = [0.25, 0.12];
const HIDDEN = 0.8;
const [EYEBALL, IRIS_RADIUS] = [1.2, 0.585];
const IRIS_DEPTH = Math.sqrt(EYEBALL ** 2 - IRIS_RADIUS ** 2);
const EYE_DEPTH = 0.79;
const IRIS_UP = 0.12;

/** How a face is moved at one moment: the names and units of Python's `Movements`. */
export interface Movements {
  head_yaw: number;
  head_pitch: number;
  head_roll: number;
  eye_open_right: number;
  eye_open_left: number;
  blink_right: number;
  blink_left: number;
  mouth_open: number;
  mouth_width: number;
  lip_corner_right: number;
  lip_corner_left: number;
  brow_right: number;
  brow_left: number;
  gaze_x: number | null;
  gaze_y: number | null;
  gaze_yaw: number | null;
  gaze_pitch: number | null;
}

const ANGLES = ["head_yaw", "head_pitch", "head_roll", "gaze_yaw", "gaze_pitch"];

/** As Python's `Movements.to_dict`: degrees to a tenth, the others to four decimals. */
export function roundedMovements(movements: Movements): Movements {
  const rounded = Object.entries(movements).map(([name, value]: [string, number | null]) => [
    name,
    value === null ? null : Number(value.toFixed(ANGLES.includes(name) ? 1 : 4)),
  ]);
  return Object.fromEntries(rounded) as Movements;
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The movements of a face with these 478 landmarks. */
export function movementsOf(landmarks: Point[]): Movements {
  const head = fitHead(landmarks);
  const { front } = head;
  const pose = poseOf(head.rotation);
  const between = (a: number, b: number) => Math.hypot(front[a][0] - front[b][0], front[a][1] - front[b][1]);
  const heights = (points: number[]) => mean(points.map((i) => front[i][1]));
  const opened = EYES.map(
    ({ corners, upper, lower }) => mean(upper.map((up, i) => between(up, lower[i]))) / between(...corners),
  );
  const blinks = opened.map((each) => Math.min(Math.max((OPEN - each) / (OPEN - CLOSED), 0), 1));
  const seen = EYES.map(({ corners }, i) => ({ iris: IRISES[i], corners })).filter((_, i) => blinks[i] < HIDDEN);
  const gaze = seen.map(({ iris, corners: [a, b] }) => {
    const half = between(a, b) / 2;
    return [0, 1].map((axis) => (front[iris][axis] - (front[a][axis] + front[b][axis]) / 2) / half);
  });
  const sight = seen.length ? lineOfSight(landmarks, head, seen) : null;
  const corners = LIP_CORNERS.map((i) => front[i][1] - front[UNDER_NOSE][1]);
  const brows = BROWS.map((brow, i) => heights(brow) - heights(EYES[i].corners));
  return {
    head_yaw: pose.yaw,
    head_pitch: pose.pitch,
    head_roll: pose.roll,
    eye_open_right: opened[0],
    eye_open_left: opened[1],
    blink_right: blinks[0],
    blink_left: blinks[1],
    mouth_open: between(UPPER_LIP, LOWER_LIP),
    mouth_width: between(...LIP_CORNERS),
    lip_corner_right: corners[0],
    lip_corner_left: corners[1],
    brow_right: brows[0],
    brow_left: brows[1],
    gaze_x: gaze.length ? mean(gaze.map(([x]) => x)) : null,
    gaze_y: gaze.length ? mean(gaze.map(([, y]) => -y)) : null,
    gaze_yaw: sight && sight[0],
    gaze_pitch: sight && sight[1],
  };
}

/** The mean yaw and pitch of eyes, in degrees, in the room. */
function lineOfSight(
  landmarks: Point[],
  { rotation, scale }: HeadFit,
  eyes: { iris: number; corners: Corners }[],
): [number, number] {
  const aside = [0, 1].map((axis) => {
    const behind = rotation[axis][1] * IRIS_UP - rotation[axis][2] * EYE_DEPTH;
    const sign = axis ? -1 : 1;
    const each = eyes.map(({ iris, corners: [a, b] }) => {
      const middle = (landmarks[a][axis] + landmarks[b][axis]) / 2;
      return ((landmarks[iris][axis] - middle) * sign) / scale - behind;
    });
    return mean(each) / IRIS_DEPTH;
  });
  const length = Math.max(Math.hypot(...aside), 1);
  const [x, y] = aside.map((value) => value / length);
  const degrees = (radians: number) => (radians * 180) / Math.PI;
  return [degrees(Math.atan2(x, Math.sqrt(Math.max(1 - x * x - y * y, 0)))), degrees(Math.asin(-y))];
}
