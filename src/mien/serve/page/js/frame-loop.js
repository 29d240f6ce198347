/**
 * Sends frames and receives predictions, one at a time: while a prediction is pending, new frames are
 * dropped, and the next frame sent is the current one. Nothing is queued.
 */

const LONGEST_SIDE = 640; // faces are detected at 256 pixels and classified at 48: more is only slower
const RECENT_MS = 2000;

export class FrameLoop {
  #api;
  #busy = false;
  #generation = 0;
  #spare = document.createElement("canvas");
  #pending = Promise.resolve();
  #turn = 0;
  #latencies = []; // of the predictions of the last two seconds, as {at, ms}
  #offered = []; // when frames were submitted in the last two seconds

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.#api = api;
    this.dropped = 0;
    /** @type {(prediction, frame: HTMLCanvasElement, timeS: number, still: boolean) => void} */
    this.onprediction = () => {};
    /** @type {(error: Error) => void} */
    this.onerror = () => {};
  }

  /** Sends a video's current frame, unless a prediction is pending; `still`: by itself, not as one of a stream. */
  submit(video, timeS, still = false) {
    if (!video.videoWidth) return;
    this.#offered.push(performance.now());
    if (this.#busy) {
      this.dropped += 1;
      return;
    }
    this.#busy = true;
    this.#pending = this.#predict(video, timeS, still).finally(() => {
      this.#busy = false;
    });
  }

  /**
   * Sends the frame of a paused video by itself, after a pending prediction; only the last of several calls that wait
   * is sent, and only if it is still `needed` then.
   */
  async submitStill(video, timeS, needed) {
    this.skip();
    const turn = this.#turn;
    const found = () => new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
    while (this.#busy || video.seeking) await (this.#busy ? this.#pending : found());
    if (turn === this.#turn && needed()) this.submit(video, timeS, true);
  }

  /** Gives up the frame that waits: the video shows another one. */
  skip() {
    this.#turn += 1;
  }

  /** Ignores the pending prediction. */
  cancel() {
    this.#generation += 1;
    this.skip();
    this.#latencies = [];
    this.#offered = [];
  }

  /**
   * Over the last two seconds: predictions per second, frames of the video per second, and the median time from
   * frame to prediction.
   */
  statistics() {
    const now = performance.now();
    this.#latencies = this.#latencies.filter(({ at }) => now - at < RECENT_MS);
    this.#offered = this.#offered.filter((at) => now - at < RECENT_MS);
    if (!this.#latencies.length) return { fps: 0, offered: 0, latencyMs: null };
    const sorted = this.#latencies.map(({ ms }) => ms).sort((a, b) => a - b);
    const span = Math.max(now - Math.min(this.#offered[0] ?? now, this.#latencies[0].at), 500);
    const rate = (count) => (1000 * count) / span;
    return { fps: rate(sorted.length), offered: rate(this.#offered.length), latencyMs: sorted[sorted.length >> 1] };
  }

  async #predict(video, timeS, still) {
    const generation = this.#generation;
    const start = performance.now();
    const frame = copyFrame(video, this.#spare);
    try {
      const prediction = await (still ? this.#api.predictStill(frame) : this.#api.predict(frame, timeS));
      if (generation !== this.#generation) return;
      this.#spare = document.createElement("canvas"); // `frame` now belongs to the receiver
      this.onprediction(prediction, frame, timeS, still);
      this.#latencies.push({ at: performance.now(), ms: performance.now() - start });
    } catch (error) {
      if (generation === this.#generation) this.onerror(error);
    }
  }
}

/** Draws a video's current frame, no larger than it is analyzed, on a canvas and returns the canvas. */
export function copyFrame(video, canvas = document.createElement("canvas")) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  const width = Math.round(video.videoWidth * scale);
  const height = Math.round(video.videoHeight * scale);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d", { alpha: false }).drawImage(video, 0, 0, width, height);
  return canvas;
}

/**
 * Calls back for each new frame of a video, with its time in a clip; returns a function that stops this.
 *
 * @param {HTMLVideoElement} video
 * @param {(timeS: number) => void} callback
 */
export function eachFrame(video, callback) {
  let ended = false;
  const byFrame = "requestVideoFrameCallback" in video;
  const next = () => {
    if (byFrame) video.requestVideoFrameCallback(step);
    else requestAnimationFrame(step);
  };
  const step = (_, frame) => {
    if (ended) return;
    callback(frame?.mediaTime ?? video.currentTime);
    next();
  };
  next();
  return () => {
    ended = true;
  };
}
