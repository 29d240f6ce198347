/** The faces of a clip's or stream's frames, with persons' numbers and smoothed, as mien.video.stages.pipeline. */

import type { FaceBox } from "./crop.js";
import type { Engine } from "./engine.js";
import { UsageError } from "./errors.js";
import type { Face } from "./face.js";
import type { Movements } from "./movements/measures.js";
import type { Pixels } from "./pixels.js";
import type { Quality } from "./quality.js";
import { CLIP_LEVELS, PAGE_LEVELS, SceneCounter, thumbnailOf } from "./tracking/cuts.js";
import { DetectStage, type DetectedFrame } from "./tracking/detect.js";
import { People } from "./tracking/people.js";
import { portraitOf } from "./tracking/portrait.js";
import { CausalSmoother, centred, reachOf, SMOOTHING, type Smoothing } from "./tracking/smoothing.js";
import { appearanceOf, DOUBT_S, shrink, Tracker } from "./tracking/tracker.js";

export interface VideoOptions {
  /** Give each frame's result at once, smoothed from the past alone; true if omitted. */
  live?: boolean;
  /** Expressions are averaged over about so long; 0 turns it off, 0.2 if omitted. */
  smoothS?: number;
  /** The longest side of the detector's input in pixels, 640 if omitted; more finds smaller faces. */
  detectorSize?: number;
  /** "clip" gives who returns their number back; "off" if omitted for a stream, "clip" for a clip. */
  people?: "clip" | "off";
}

/** A face in one frame, of a person who keeps their number while they are tracked: as Python's `TrackedFace`. */
export interface TrackedFace extends Face {
  /** The person's number, from 1; it links the frames of a clip and identifies nobody. */
  face_id: number;
  /** Whether the detector ran on this frame; otherwise the box is interpolated. */
  detected: boolean;
  /** By how many gray levels the face differs from when it appeared, on 8 x 8 pixels. */
  change: number;
  /** The probabilities of this frame alone. */
  raw: { emotions: Record<string, number>; abstentions: Record<string, number> };
}

/** A frame and the faces in it, the largest first. */
export interface FrameResult {
  /** The frame's number, from 0. */
  frame: number;
  time_s: number;
  faces: TrackedFace[];
  /** Boxes of faces that are not confirmed yet, and of those that vanished a moment ago. */
  others: FaceBox[];
}

// Each number is explained in mien/video/stages.
const HIDE_UNSEEN_S = 1;
const LEAST_DELAY_S = DOUBT_S + 0.05;
const DETECT_INTERVAL_S = 0.1;
const DETECTOR_SIZE = 640;

interface TrackedFrame {
  found: DetectedFrame;
  numbers: number[];
  changes: number[];
  vanished: FaceBox[];
  rows: number[][];
  qualities: Quality[];
  movements: (Movements | null)[];
  /** Of this frame alone. */
  raw: Face[];
}

/** Takes the frames of one clip or stream in order. */
export class VideoPipeline {
  private readonly live: boolean;
  private readonly smoothing: Smoothing;
  private readonly people: People;
  private readonly detectorSize: number;
  private readonly delayS: number;
  private scenes: SceneCounter;
  private detector!: DetectStage;
  private tracker!: Tracker;
  private frames = 0;
  private lastS = -Infinity;
  private waiting: TrackedFrame[] = [];
  private ids = new Map<number, number>();
  private histories = new Map<number, { timeS: number; row: number[]; warned: boolean }[]>();
  // The second of a pair takes faces without warnings alone.
  private causal = new Map<number, [CausalSmoother, CausalSmoother]>();

  /** @throws UsageError an option out of range. */
  constructor(
    private readonly engine: Engine,
    { live = true, smoothS = SMOOTHING.tauS, detectorSize = DETECTOR_SIZE, people }: VideoOptions = {},
  ) {
    if (!(smoothS >= 0)) throw new UsageError(`smoothS must be 0 or more, not ${smoothS}.`);
    if (!(detectorSize >= 32)) throw new UsageError(`detectorSize must be 32 pixels or more, not ${detectorSize}.`);
    if (people !== undefined && people !== "clip" && people !== "off") {
      throw new UsageError(`people must be clip or off, not '${people}'.`);
    }
    this.live = live;
    this.smoothing = { ...SMOOTHING, tauS: smoothS };
    this.people = new People(people ? people === "clip" : !live);
    this.detectorSize = detectorSize;
    this.delayS = live ? 0 : Math.max(reachOf(this.smoothing), LEAST_DELAY_S);
    this.scenes = new SceneCounter(live ? PAGE_LEVELS : CLIP_LEVELS);
    this.restart();
  }

  /**
   * Takes the next frame; returns the results that are complete by now: of a stream, that of this frame.
   *
   * If the time of a stream runs backward, as when a clip is wound back, a new scene begins.
   * @throws UsageError the time of a clip runs backward, or is no number.
   */
  async feed(image: Pixels, timeS: number): Promise<FrameResult[]> {
    if (!Number.isFinite(timeS)) throw new UsageError(`a frame's time must be a number of seconds, not ${timeS}.`);
    if (timeS < this.lastS) {
      if (!this.live) throw new UsageError(`frames must come in order: ${timeS} s follows ${this.lastS} s.`);
      this.restart();
    }
    this.lastS = timeS;
    const frame = { index: this.frames++, timeS, image, scene: this.scenes.feed(thumbnailOf(image)) };
    const done: FrameResult[] = [];
    for (const found of await this.detector.feed(frame)) done.push(...(await this.track(found)));
    return done;
  }

  /** The results that were still waiting when the clip ended. */
  async finish(): Promise<FrameResult[]> {
    const done: FrameResult[] = [];
    for (const found of await this.detector.finish()) done.push(...(await this.track(found)));
    this.tracker.finish();
    for (const [number, person] of this.tracker.ids()) this.ids.set(number, person);
    done.push(...this.waiting.map((tracked) => this.result(tracked)));
    this.waiting = [];
    return done;
  }

  private restart(): void {
    const interval = this.live ? 0 : DETECT_INTERVAL_S;
    this.detector = new DetectStage((image) => this.engine.detect(image), interval, this.detectorSize);
    this.tracker = new Tracker(this.people);
    this.waiting = [];
    this.ids.clear();
    this.histories.clear();
    this.causal.clear();
  }

  private async track(found: DetectedFrame): Promise<FrameResult[]> {
    const { frame, detections, reduced } = found;
    const { image, timeS } = frame;
    const { crops, qualities } = await this.engine.see(image, detections);
    const small = crops.map(shrink);
    const sightings = detections.map(({ box: [x, y, width, height] }, i) => {
      const across = reduced ? reduced.width / image.width : 1;
      const down = reduced ? reduced.height / image.height : 1;
      return {
        box: detections[i].box,
        appearance: appearanceOf(small[i]),
        portrait: reduced && portraitOf(crops[i], reduced, [x * across, y * down, width * across, height * down]),
      };
    });
    const tracks = this.tracker.update(timeS, sightings, found.cut);
    const rows = await this.engine.rows(crops);
    const movements = await this.engine.measure(image, detections);
    const tracked = {
      found: { ...found, reduced: null, frame: { ...frame, image: { ...image, data: new Uint8Array(0) } } },
      numbers: tracks.map((track) => track.number),
      changes: tracks.map((track, i) => track.changeFromFirst(small[i])),
      vanished: [...this.tracker.unseen(timeS, HIDE_UNSEEN_S).values()],
      rows,
      qualities,
      movements,
      raw: detections.map((face, i) => this.engine.faceOf(rows[i], face, qualities[i], movements[i])),
    };
    for (const [number, person] of this.tracker.ids()) this.ids.set(number, person);
    return this.smooth(tracked);
  }

  private smooth(tracked: TrackedFrame): FrameResult[] {
    const { timeS } = tracked.found.frame;
    this.waiting.push(tracked);
    tracked.numbers.forEach((number, i) => {
      const history = this.histories.get(number) ?? [];
      this.histories.set(number, history);
      history.push({ timeS, row: tracked.rows[i], warned: tracked.raw[i].warnings.length > 0 });
    });
    const done: FrameResult[] = [];
    while (this.waiting.length && this.waiting[0].found.frame.timeS <= timeS - this.delayS) {
      done.push(this.result(this.waiting.shift() as TrackedFrame));
    }
    this.forget(timeS);
    return done;
  }

  private result({ found, numbers, changes, vanished, rows, qualities, movements, raw }: TrackedFrame): FrameResult {
    const { index, timeS } = found.frame;
    const faces: TrackedFace[] = [];
    const others: FaceBox[] = [];
    numbers.forEach((number, i) => {
      // A face is smoothed from its first frame on, also before it is known whose it is.
      const row = this.smoothed(number, timeS, rows[i], raw[i].warnings.length > 0);
      const person = this.ids.get(number);
      const detection = found.detections[i];
      if (person === undefined) {
        others.push(detection.box);
        return;
      }
      const face = this.engine.faceOf(row, detection, qualities[i], movements[i]);
      const ofFrame = { emotions: raw[i].emotions, abstentions: raw[i].abstentions };
      faces.push({ face_id: person, ...face, detected: found.detected, change: changes[i], raw: ofFrame });
    });
    faces.sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3]);
    return { frame: index, time_s: timeS, faces, others: [...others, ...vanished] };
  }

  /** Without warnings, over frames without warnings alone; with warnings, over all frames. */
  private smoothed(number: number, timeS: number, row: number[], warned: boolean): number[] {
    if (this.live) {
      const fresh = () => new CausalSmoother(this.smoothing);
      const [all, clear] = this.causal.get(number) ?? [fresh(), fresh()];
      this.causal.set(number, [all, clear]);
      const ofAll = all.step(timeS, row);
      return warned ? ofAll : clear.step(timeS, row);
    }
    const history = (this.histories.get(number) ?? []).filter((past) => warned || !past.warned);
    const times = history.map((past) => past.timeS);
    const rows = history.map((past) => past.row);
    return centred(times, rows, times.indexOf(timeS), this.smoothing);
  }

  /** Lets go of what no frame that waits can reach any more. */
  private forget(newestS: number): void {
    const fromS = (this.waiting[0]?.found.frame.timeS ?? newestS) - reachOf(this.smoothing);
    for (const [number, history] of this.histories) {
      while (history.length && history[0].timeS < fromS) history.shift();
      if (!history.length) this.histories.delete(number);
    }
    for (const [number, [all]] of this.causal) {
      if (newestS - all.timeS > this.smoothing.gapS) this.causal.delete(number);
    }
    const waiting = new Set(this.waiting.flatMap(({ numbers }) => numbers));
    for (const number of this.ids.keys()) if (!waiting.has(number)) this.ids.delete(number);
  }
}
