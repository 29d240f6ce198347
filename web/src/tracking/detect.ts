/** Detects faces on as few frames of a clip as possible, as mien.video.stages.detect. */

import type { Detection, FaceBox } from "../crop.js";
import { BOX, resize, roundHalfEven, type Pixels } from "../pixels.js";
import { iou } from "./tracker.js";

// Faces at both ends of a skipped stretch correspond if each overlaps one by so much, and all others hardly.
const SAME = 0.5;
const OTHER = 0.1;

/** A decoded frame: RGB pixels, its number and time, and the number of its scene. */
export interface Frame {
  index: number;
  timeS: number;
  image: Pixels;
  scene: number;
}

/** A frame with its faces. */
export interface DetectedFrame {
  frame: Frame;
  /** In pixels of the frame. */
  detections: Detection[];
  /** Whether the detector ran on this frame; otherwise the faces are interpolated. */
  detected: boolean;
  /** Whether it begins a new scene. */
  cut: boolean;
  /** The frame as the detector got it; null where it did not run. */
  reduced: Pixels | null;
}

/** Detects faces in a clip's frames, fed one at a time. */
export class DetectStage {
  private last: { timeS: number; faces: Detection[] } | null = null;
  private waiting: DetectedFrame[] = [];
  private scene: number | null = null;

  /**
   * @param intervalS 0 runs the detector on every frame and gives each back at once.
   * @param detectorSize the longest side of the detector's input, in pixels.
   */
  constructor(
    private readonly detector: (image: Pixels) => Promise<Detection[]>,
    private readonly intervalS: number,
    private readonly detectorSize: number,
  ) {}

  /** Takes the next frame; returns those that are done, in order, which may be none. */
  async feed(frame: Frame): Promise<DetectedFrame[]> {
    const cut = this.scene !== null && frame.scene !== this.scene;
    this.scene = frame.scene;
    const done = cut ? await this.finish() : [];
    if (cut) this.last = null;
    const beforeS = this.waiting.at(-1)?.frame.timeS ?? this.last?.timeS;
    const stepS = beforeS === undefined ? 0 : frame.timeS - beforeS;
    this.waiting.push({ frame, detections: [], detected: false, cut, reduced: null });
    // Due now if the next frame would come too late.
    if (!this.last || frame.timeS + stepS / 2 >= this.last.timeS + this.intervalS) done.push(...(await this.finish()));
    return done;
  }

  /** Runs the detector on the last frame that waits, and finds the faces of the others. */
  async finish(): Promise<DetectedFrame[]> {
    const between = this.waiting;
    this.waiting = [];
    const last = between.pop();
    if (!last) return [];
    const end = await this.detect(last);
    const before = this.last;
    const pairs = before && corresponding(before.faces, end.detections);
    const done: DetectedFrame[] = [];
    for (const it of between) {
      if (!before || !pairs) {
        done.push(await this.detect(it));
        continue;
      }
      const share = (it.frame.timeS - before.timeS) / (end.frame.timeS - before.timeS);
      done.push({ ...it, detections: pairs.map(([a, b]) => blend(a, b, share)) });
    }
    this.last = { timeS: end.frame.timeS, faces: end.detections };
    return [...done, end];
  }

  private async detect(it: DetectedFrame): Promise<DetectedFrame> {
    const { image } = it.frame;
    const scale = Math.min(1, this.detectorSize / Math.max(image.width, image.height));
    const side = (length: number) => Math.max(1, roundHalfEven(length * scale));
    const reduced = scale === 1 ? image : resize(image, side(image.width), side(image.height), BOX);
    const [across, down] = [image.width / reduced.width, image.height / reduced.height];
    const faces = (await this.detector(reduced)).map((face) => scaled(face, across, down));
    return { ...it, detections: faces, detected: true, reduced };
  }
}

/** The faces of two frames in pairs, or null where it is not plain which is which. */
function corresponding(before: Detection[], after: Detection[]): [Detection, Detection][] | null {
  if (before.length !== after.length) return null;
  const pairs: [Detection, Detection][] = [];
  for (const old of before) {
    const overlaps = after.map((face, i) => [iou(old.box, face.box), i]).sort((a, b) => b[0] - a[0] || b[1] - a[1]);
    if (overlaps[0][0] < SAME || (overlaps.length > 1 && overlaps[1][0] > OTHER)) return null;
    pairs.push([old, after[overlaps[0][1]]]);
  }
  return new Set(pairs.map(([, face]) => face)).size === pairs.length ? pairs : null;
}

function blend(start: Detection, end: Detection, share: number): Detection {
  const between = (a: number, b: number) => a + (b - a) * share;
  return {
    box: start.box.map((value, i) => between(value, end.box[i])) as FaceBox,
    confidence: between(start.confidence, end.confidence),
    keypoints: start.keypoints.map(([x, y], i) => [between(x, end.keypoints[i][0]), between(y, end.keypoints[i][1])]),
  };
}

function scaled(face: Detection, across: number, down: number): Detection {
  if (across === 1 && down === 1) return face;
  const [x, y, width, height] = face.box;
  return {
    box: [x * across, y * down, width * across, height * down],
    confidence: face.confidence,
    keypoints: face.keypoints.map(([px, py]) => [px * across, py * down]),
  };
}
