/**
 * Frames to answers, newest first: while one frame is being asked about, those that come are let go, and the
 * next question is about the picture that is current then. Nothing is ever queued.
 */

const LONGEST_SIDE = 640; // faces are found at 256 pixels and read at 48: more is only slower
const RECENT_MS = 2000;

export class FrameLoop {
  #api;
  #busy = false;
  #generation = 0;
  #spare = document.createElement("canvas");
  #latencies = []; // of the answers of the last two seconds, as {at, ms}

  /** @param {import("./api.js").Api} answers */
  constructor(answers) {
    this.#api = answers;
    this.dropped = 0;
    /** @type {(answer, frame: HTMLCanvasElement, timeS: number) => void} */
    this.onprediction = () => {};
    /** @type {(error: Error) => void} */
    this.onerror = () => {};
  }

  /** Ask about a video's current frame, unless an answer is still awaited. */
  submit(video, timeS) {
    if (!video.videoWidth) return;
    if (this.#busy) {
      this.dropped += 1;
      return;
    }
    this.#busy = true;
    this.#ask(video, timeS).finally(() => {
      this.#busy = false;
    });
  }

  /** Forget what is awaited: an answer to it will not be agreed. */
  cancel() {
    this.#generation += 1;
    this.#latencies = [];
  }

  /** Api a second, and the median time from frame to answer in milliseconds; over the last two seconds. */
  figures() {
    const now = performance.now();
    this.#latencies = this.#latencies.filter(({ at }) => now - at < RECENT_MS);
    if (!this.#latencies.length) return { fps: 0, latencyMs: null };
    const sorted = this.#latencies.map(({ ms }) => ms).sort((a, b) => a - b);
    const span = Math.max(now - this.#latencies[0].at, 500);
    return { fps: (1000 * sorted.length) / span, latencyMs: sorted[sorted.length >> 1] };
  }

  async #ask(video, timeS) {
    const generation = this.#generation;
    const start = performance.now();
    const frame = this.#spare;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
    const width = Math.round(video.videoWidth * scale);
    const height = Math.round(video.videoHeight * scale);
    if (frame.width !== width || frame.height !== height) Object.assign(frame, { width, height });
    frame.getContext("2d", { alpha: false }).drawImage(video, 0, 0, width, height);
    try {
      const answer = await this.#api.predict(frame, timeS);
      if (generation !== this.#generation) return;
      this.#spare = document.createElement("canvas"); // `frame` now belongs to whoever shows it
      this.onprediction(answer, frame, timeS);
      this.#latencies.push({ at: performance.now(), ms: performance.now() - start });
    } catch (error) {
      if (generation === this.#generation) this.onerror(error);
    }
  }
}

/** Calls back for each new frame of a video that plays; gives a function that ends it. */
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
