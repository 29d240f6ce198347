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
  #latencies = []; // of the predictions of the last two seconds, as {at, ms}

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.#api = api;
    this.dropped = 0;
    /** @type {(prediction, frame: HTMLCanvasElement, timeS: number) => void} */
    this.onprediction = () => {};
    /** @type {(error: Error) => void} */
    this.onerror = () => {};
  }

  /** Sends a video's current frame, unless a prediction is pending. */
  submit(video, timeS) {
    if (!video.videoWidth) return;
    if (this.#busy) {
      this.dropped += 1;
      return;
    }
    this.#busy = true;
    this.#predict(video, timeS).finally(() => {
      this.#busy = false;
    });
  }

  /** Ignores the pending prediction. */
  cancel() {
    this.#generation += 1;
    this.#latencies = [];
  }

  /** Predictions per second, and the median time from frame to prediction; over the last two seconds. */
  statistics() {
    const now = performance.now();
    this.#latencies = this.#latencies.filter(({ at }) => now - at < RECENT_MS);
    if (!this.#latencies.length) return { fps: 0, latencyMs: null };
    const sorted = this.#latencies.map(({ ms }) => ms).sort((a, b) => a - b);
    const span = Math.max(now - this.#latencies[0].at, 500);
    return { fps: (1000 * sorted.length) / span, latencyMs: sorted[sorted.length >> 1] };
  }

  async #predict(video, timeS) {
    const generation = this.#generation;
    const start = performance.now();
    const frame = this.#spare;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
    const width = Math.round(video.videoWidth * scale);
    const height = Math.round(video.videoHeight * scale);
    if (frame.width !== width || frame.height !== height) Object.assign(frame, { width, height });
    frame.getContext("2d", { alpha: false }).drawImage(video, 0, 0, width, height);
    try {
      const prediction = await this.#api.predict(frame, timeS);
      if (generation !== this.#generation) return;
      this.#spare = document.createElement("canvas"); // `frame` now belongs to the receiver
      this.onprediction(prediction, frame, timeS);
      this.#latencies.push({ at: performance.now(), ms: performance.now() - start });
    } catch (error) {
      if (generation === this.#generation) this.onerror(error);
    }
  }
}

/** Calls back for each new frame of a playing video; returns a function that stops this. */
export function eachFrame(video, callback) {
  let ended = false;
  const byFrame = "requestVideoFrameCallback" in video;
  const next = () => {
    if (byFrame) video.requestVideoFrameCallback(step);
    else requestAnimationFrame(step);
  };
  const step = () => {
    if (ended) return;
    callback();
    next();
  };
  next();
  return () => {
    ended = true;
  };
}
