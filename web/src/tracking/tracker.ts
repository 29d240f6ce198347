/** Stable identities through a clip: faces matched from frame to frame, as mien.video.tracking.tracker. */

import type { FaceBox } from "../crop.js";
import { BOX, resize, type Pixels } from "../pixels.js";
import { assign } from "./assignment.js";
import { People } from "./people.js";
import { dot, likeness, unit, type Portrait } from "./portrait.js";

// Each number is explained in mien/video/tracking/tracker.py.
const APPEARANCE_SIDE = 8;
const SAME_AFTER_LOSS = 0.6;
const [REACH, REACH_PER_S, REACH_MOST] = [0.6, 2, 1.5];
const [JUMP_S, JUMP_REACH] = [0.15, 3];
const SPARSE_S = 0.3;
const [OTHER_AT_ONCE, OTHER_LATER, SURE] = [-3.5, -2, 1.5];
const LOOKS = 6;
const GROWTH = Math.log(1.6);
const APPEARANCE_WEIGHT = 0.6;
const ALONE_COST = 1.6;
const UNSEEN_S = 0.25;
const MOTION_S = 0.3;
const COASTING_S = 0.5;
export const DOUBT_S = 0.95;
const LOOK_S = 0.45;
const NEW_APPEARANCE = 0.2;
const ALONE = 0.1;

/** A face in one frame. */
export interface Sighting {
  box: FaceBox;
  /** As of `appearanceOf`; null where there is no crop. */
  appearance: Float32Array | null;
  /** Null where the detector did not run. */
  portrait: Portrait | null;
}

/** One face followed through time. */
export class Track {
  /** The person's number, from 1; null until confirmed. */
  faceId: number | null = null;
  seenS: number;
  velocity = [0, 0];
  hits = 1;
  portrait: Portrait | null = null;
  lookedS = -Infinity;
  looks: Portrait[] = [];
  readonly bornBox: FaceBox;
  private first: Pixels | null = null;

  constructor(
    /** Tells tracks apart, from 1, in the order of their first sighting. */
    readonly number: number,
    public box: FaceBox,
    readonly bornS: number,
    public appearance: Float32Array | null,
  ) {
    this.seenS = bornS;
    this.bornBox = box;
  }

  /** By how many gray levels a shrunk crop differs from the first one on average. */
  changeFromFirst(small: Pixels): number {
    const first = (this.first ??= small);
    return small.data.reduce((sum, value, i) => sum + Math.abs(value - first.data[i]), 0) / small.data.length;
  }

  /** Where it should be now, if it goes on as it moved. */
  expected(timeS: number): FaceBox {
    // The integral of a velocity that dies away while the face is unseen.
    const coasted = COASTING_S * -Math.expm1(-Math.max(0, timeS - this.seenS) / COASTING_S);
    const [x, y, width, height] = this.box;
    return [x + this.velocity[0] * coasted, y + this.velocity[1] * coasted, width, height];
  }

  /** Whether more than half of the face was in the frame when it was seen first. */
  isInView(): boolean {
    if (!this.looks.length) return true;
    const { seen } = this.looks[0];
    return seen.filter(Boolean).length / seen.length > 0.5;
  }
}

/** Tracks faces from frame to frame. */
export class Tracker {
  /** The faces that are followed now. */
  tracks: Track[] = [];
  /** Those that a cut ended before the last frame. */
  ended: Track[] = [];
  private lastS: number | null = null;
  private numbers = 0;
  private updates = 0;

  /**
   * @param people numbers people, and may know those who return.
   * @param confirmS a face is confirmed, and numbered, when it has been seen for so long.
   * @param lostS a face that was not seen for so long is given up.
   */
  constructor(
    private readonly people = new People(),
    private readonly confirmS = 0.1,
    private readonly lostS = 2,
  ) {}

  /** The track of each face of the next frame, in their order; `cut`: the frame begins a new scene. */
  update(timeS: number, faces: Sighting[], cut = false): Track[] {
    this.ended = [];
    if (cut) {
      this.finish();
      [this.ended, this.tracks] = [this.tracks, []];
    }
    this.tracks = this.tracks.filter((track) => timeS - track.seenS <= this.lostS);
    const costs = this.tracks.map((track) => faces.map((face) => costOf(track, timeS, face)));
    const rowOf = new Map(assign(costs, ALONE_COST).map(([row, column]) => [column, row]));
    const before = [...this.tracks];
    const found = faces.map((face, i) => {
      const alone = !faces.some((other) => other !== face && iou(face.box, other.box) > ALONE);
      const row = rowOf.get(i);
      let track: Track;
      if (row === undefined) {
        track = new Track(++this.numbers, face.box, timeS, face.appearance);
        this.tracks.push(track);
      } else {
        track = before[row];
        see(track, timeS, face, alone);
      }
      if (alone && face.portrait) this.look(track, face.portrait);
      return track;
    });
    this.confirm(timeS, found);
    this.lastS = timeS;
    this.updates += 1;
    return found;
  }

  /** Confirms what a clip of one or two frames left no time to confirm, and who was still in doubt. */
  finish(): void {
    for (const track of [...this.tracks]) {
      if (this.updates <= 2 || track.seenS - track.bornS >= this.confirmS) this.number(track, false);
    }
  }

  /** Where the persons should be whom this frame does not show, but one a moment ago did. */
  unseen(timeS: number, withinS: number): Map<number, FaceBox> {
    const lost = this.tracks.filter(
      ({ faceId, seenS }) => faceId !== null && timeS - seenS > 0 && timeS - seenS <= withinS,
    );
    return new Map(lost.map((track) => [track.faceId as number, track.expected(timeS)]));
  }

  /** Track numbers to persons' numbers, of those that are confirmed. */
  ids(): Map<number, number> {
    const known = [...this.ended, ...this.tracks].filter(({ faceId }) => faceId !== null);
    return new Map(known.map(({ number, faceId }) => [number, faceId as number]));
  }

  /** Keeps a portrait of a face that no other hides. */
  private look(track: Track, portrait: Portrait): void {
    [track.portrait, track.lookedS] = [portrait, track.seenS];
    if (track.faceId !== null) this.people.learn(track.faceId, portrait);
    else if (track.looks.length < LOOKS) track.looks.push(portrait);
  }

  /** Numbers the new faces that were seen long enough, the larger first. */
  private confirm(timeS: number, found: Track[]): void {
    const stepS = this.lastS === null ? 0 : timeS - this.lastS;
    // Where frames are further apart than that, a face is believed at its first sighting.
    const sparse = stepS > SPARSE_S;
    const ready = (sparse ? this.tracks : found).filter(
      (track) => (sparse && (track.hits > 1 || track.isInView())) || timeS - track.bornS >= this.confirmS,
    );
    for (const track of [...ready].sort((a, b) => area(b.box) - area(a.box))) {
      const enoughS = track.looks.length ? LOOK_S : DOUBT_S;
      this.number(track, stepS <= DOUBT_S && timeS - track.bornS < enoughS);
    }
  }

  /** Gives a track its person's number; if `patient`, not yet where it may be that of somebody known. */
  private number(track: Track, patient: boolean): void {
    if (track.faceId !== null) return;
    const former = this.former(track, track.appearance);
    const since = this.tracks.filter((other) => other.seenS >= track.bornS && other.faceId !== null);
    const present = new Set(since.map((other) => other.faceId as number));
    let person = former ? former.faceId : this.people.find(track.looks, present);
    if (person === null) {
      if (patient && (this.former(track, null) || this.people.others(present))) return;
      person = this.people.next();
    }
    this.tracks = this.tracks.filter((other) => other.faceId !== person);
    track.faceId = person;
    for (const portrait of track.looks) this.people.learn(person, portrait);
    track.looks = [];
  }

  /** The person, out of sight, whom a new face is; without an appearance, whom it may be by place and size. */
  private former(track: Track, appearance: Float32Array | null): Track | null {
    const portrait = appearance ? (track.looks.at(-1) ?? null) : null;
    const born = { box: track.bornBox, appearance, portrait };
    let [best, least] = [null as Track | null, ALONE_COST];
    for (const other of this.tracks) {
      if (other.faceId === null || other.seenS >= track.bornS) continue;
      const cost = costOf(other, track.bornS, born);
      if (cost < least) [best, least] = [other, cost];
    }
    return best;
  }
}

/** A gray crop averaged down to 8 by 8: all that `appearanceOf` needs of it. */
export const shrink = (crop: Pixels): Pixels => resize(crop, APPEARANCE_SIDE, APPEARANCE_SIDE, BOX);

/** What a shrunk crop looks like: 64 values of mean 0 and length 1, zeros for one gray level. */
export function appearanceOf({ data }: Pixels): Float32Array {
  const mean = Math.fround(data.reduce((sum, value) => sum + value, 0) / data.length);
  return unit(Float32Array.from(data, (value) => value - mean));
}

/** Takes a new sighting into a track. */
function see(track: Track, timeS: number, face: Sighting, alone: boolean): void {
  const gapS = Math.max(timeS - track.seenS, 1e-3);
  const weight = Math.max(1 / (track.hits + 1), -Math.expm1(-gapS / MOTION_S));
  const [old, now] = [centre(track.box), centre(face.box)];
  track.velocity = track.velocity.map((v, axis) => v + weight * ((now[axis] - old[axis]) / gapS - v));
  const { appearance } = face;
  const known = track.appearance;
  if (appearance && !known) track.appearance = appearance;
  else if (appearance && known && alone) {
    track.appearance = unit(known.map((value, i) => value + NEW_APPEARANCE * (appearance[i] - value)));
  }
  [track.box, track.seenS] = [face.box, timeS];
  track.hits += 1;
}

/** What it costs to take a face for a track: widths away, log of the size's change, unlike appearances. */
function costOf(track: Track, timeS: number, face: Sighting): number {
  const gapS = timeS - track.seenS;
  let [away, growth] = apart(track.expected(timeS), face.box);
  let reach = Math.min(REACH + REACH_PER_S * gapS, REACH_MOST);
  if (growth > GROWTH || (gapS <= JUMP_S && away > reach)) return Infinity; // before the costlier comparison
  let [same, least] = [1, -1];
  if (track.portrait && face.portrait) {
    const score = likeness(track.portrait, face.portrait);
    if (score < (timeS - track.lookedS <= UNSEEN_S ? OTHER_AT_ONCE : OTHER_LATER)) return Infinity;
    if (gapS > JUMP_S) {
      // Its place matters less now than its portrait.
      away /= 2;
      reach = score > SURE ? JUMP_REACH : reach / 2;
      same = Math.tanh(score / 2);
    }
  } else if (track.appearance && face.appearance) {
    same = dot(track.appearance, face.appearance);
    least = gapS > UNSEEN_S ? SAME_AFTER_LOSS : -1;
  }
  return away > reach || same < least ? Infinity : away + growth + APPEARANCE_WEIGHT * (1 - same);
}

/** Distance of two boxes' centres in widths of a face, and the log of how much larger one is. */
function apart(a: FaceBox, b: FaceBox): [number, number] {
  const [sizeA, sizeB] = [Math.sqrt(area(a)), Math.sqrt(area(b))];
  const [ca, cb] = [centre(a), centre(b)];
  return [Math.hypot(ca[0] - cb[0], ca[1] - cb[1]) / ((sizeA + sizeB) / 2), Math.abs(Math.log(sizeA / sizeB))];
}

const centre = (box: FaceBox) => [box[0] + box[2] / 2, box[1] + box[3] / 2];
const area = (box: FaceBox) => box[2] * box[3];

/** Intersection over union of two boxes, 0..1. */
export function iou(a: FaceBox, b: FaceBox): number {
  const wide = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const tall = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const shared = wide > 0 && tall > 0 ? wide * tall : 0;
  return shared ? shared / (area(a) + area(b) - shared) : 0;
}
