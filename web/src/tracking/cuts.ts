/** Where a clip is cut from one scene to another, as mien.video.tracking.cuts. */

import { BOX, resize, type Pixels } from "../pixels.js";

// Each number is explained in mien/video/tracking/cuts.py.
const [WIDTH, HEIGHT] = [32, 18];
const TIMES = 3;
const STILL = 2;
const SHARE = 0.5;
const CHANGED = 4;
const BEFORE = 3;
const BLACK = 24;
/** The least change at a cut, in gray levels: in the frames of a clip, and of a stream with few frames per second. */
export const CLIP_LEVELS = 6;
export const PAGE_LEVELS = 18;

/** A frame as `SceneCounter` takes it. */
export const thumbnailOf = (image: Pixels): Pixels => resize(image, WIDTH, HEIGHT, BOX);

/** Numbers the scenes of a clip; takes every frame, in order. */
export class SceneCounter {
  private scene = 0;
  private thumbnail: Pixels | null = null;
  private changes: number[] = [];

  constructor(private readonly levels = CLIP_LEVELS) {}

  /** The scene, from 0, to which the frame with this thumbnail belongs. */
  feed(now: Pixels): number {
    const before = this.thumbnail;
    this.thumbnail = now;
    if (!before) return this.scene;
    const differences: number[] = [];
    for (let at = 0; at < now.data.length; at += 3) {
      let [lightest, largest] = [0, 0];
      for (let c = at; c < at + 3; c++) {
        lightest = Math.max(lightest, now.data[c], before.data[c]);
        largest = Math.max(largest, Math.abs(now.data[c] - before.data[c]));
      }
      if (lightest > BLACK) differences.push(largest);
    }
    const n = Math.max(differences.length, 1);
    const change = differences.reduce((sum, value) => sum + value, 0) / n;
    const share = differences.filter((value) => value > CHANGED).length / n;
    const usual = Math.max(0, ...this.changes);
    const known = this.changes.length > 0; // the first change of all may be of a pan that goes on
    if (known && change > this.levels && change > TIMES * (usual + STILL) && share > SHARE) this.scene += 1;
    this.changes = [...this.changes, change].slice(-BEFORE);
    return this.scene;
  }
}
