/** A clip, played in the video element without leaving the browser; its frames are analyzed like a camera's. */

const FAR_S = 1e7; // later than any clip's end
const LENGTH_MS = 3000;

export class VideoFileError extends Error {}

export class VideoFile {
  #video;
  #address = "";

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#video = video;
    this.name = "";
    /** @type {() => void} */
    this.onended = () => {};
    /** @type {() => void} called when the clip goes on elsewhere */
    this.onjump = () => {};
    video.addEventListener("ended", () => this.#address && this.onended());
    video.addEventListener("seeking", () => this.#address && this.onjump());
  }

  get open() {
    return this.#address !== "";
  }

  /** Its length in seconds; null if it is not known. */
  get durationS() {
    const { duration } = this.#video;
    return Number.isFinite(duration) ? duration : null;
  }

  get timeS() {
    return this.#video.currentTime;
  }

  /** Opens a clip and plays it. Throws VideoFileError if the browser cannot play it. */
  async play(file) {
    this.stop();
    this.name = file.name;
    this.#address = URL.createObjectURL(file);
    this.#video.src = this.#address;
    try {
      await this.#length();
      await this.#video.play();
    } catch {
      this.stop();
      throw new VideoFileError(
        `This browser cannot play ${file.name}. Analyze it in a terminal with: mien predict "${file.name}"`,
      );
    }
  }

  /** Goes to a time; a clip that plays goes on there. */
  seek(timeS) {
    this.#video.currentTime = Math.max(0, Math.min(timeS, this.durationS ?? timeS));
  }

  stop() {
    if (!this.#address) return;
    this.#address = "";
    const address = this.#video.src;
    this.#video.pause();
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(address);
  }

  /** Name and position, such as "holiday.mp4 · 0:03 of 0:41". */
  progress() {
    return `${this.name} · ${this.position()}`;
  }

  /** The position, such as "0:03 of 0:41". */
  position() {
    return `${clock(this.timeS)}${this.durationS === null ? "" : ` of ${clock(this.durationS)}`}`;
  }

  /** Until the length is known. Clips that a browser recorded have none in their header: one goes to the end. */
  async #length() {
    await happens(this.#video, "loadedmetadata", () => this.#video.readyState >= 1);
    if (this.durationS !== null) return;
    this.#video.currentTime = FAR_S;
    await Promise.race([
      happens(this.#video, "durationchange", () => this.durationS !== null),
      new Promise((resolve) => setTimeout(resolve, LENGTH_MS)),
    ]);
    this.#video.currentTime = 0;
  }
}

/** Until an event, or at once if its condition is met; rejects if the browser cannot read the clip. */
function happens(video, event, met) {
  if (met()) return Promise.resolve();
  return new Promise((resolve, reject) => {
    video.addEventListener(event, resolve, { once: true });
    video.addEventListener("error", () => reject(video.error), { once: true });
  });
}

/** A time such as 1:05, with so many digits of a second. */
export function clock(seconds, digits = 0) {
  const unit = 10 ** digits;
  const whole = Math.floor(seconds * unit + 1e-6);
  const rest = ((whole % (60 * unit)) / unit).toFixed(digits);
  return `${Math.floor(whole / (60 * unit))}:${rest.padStart(digits ? 3 + digits : 2, "0")}`;
}
