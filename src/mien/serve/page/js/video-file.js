/** A clip, played in the video element without leaving the browser; its frames are analyzed like a camera's. */

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
    video.addEventListener("ended", () => this.#address && this.onended());
  }

  get open() {
    return this.#address !== "";
  }

  /** Opens a clip and plays it. Throws VideoFileError if the browser cannot play it. */
  async play(file) {
    this.stop();
    this.name = file.name;
    this.#address = URL.createObjectURL(file);
    this.#video.src = this.#address;
    try {
      await this.#video.play();
    } catch {
      this.stop();
      throw new VideoFileError(
        `This browser cannot play ${file.name}. Analyze it in a terminal with: mien predict "${file.name}"`,
      );
    }
  }

  stop() {
    if (!this.#address) return;
    this.#video.pause();
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(this.#address);
    this.#address = "";
  }

  /** Name and position, such as "holiday.mp4 · 0:03 of 0:41". */
  progress() {
    const { currentTime, duration } = this.#video;
    return `${this.name} · ${clock(currentTime)}${Number.isFinite(duration) ? ` of ${clock(duration)}` : ""}`;
  }
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
