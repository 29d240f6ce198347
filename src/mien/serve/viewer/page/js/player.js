/** The clip: played by the browser, or frame after frame from the server where the browser cannot. */

import { frameAddress, videoAddress } from "./server.js";

const SEEK_INTO_S = 0.001; // a little into the frame, so that rounding never shows the one before
const STALLED_MS = 10_000;

export class Player {
  #video;
  #name = "";
  #opening = 0; // counts, so that a clip that was opened before changes nothing any more
  #mode = "none"; // "video", "frames", or "none" where the clip is not there
  #image = null; // of the mode "frames"
  #wanted = null;
  #fetching = false;
  #playing = false;
  #startedAtMs = 0;
  #timeS = 0;
  #rate = 1;

  /** Called when an image or a time is new. */
  onchange = () => {};
  /** Called with a note about how the clip is shown, or null. */
  onnote = () => {};

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#video = video;
    for (const name of ["seeked", "timeupdate", "pause", "play", "loadeddata"]) {
      video.addEventListener(name, () => this.onchange());
    }
    video.addEventListener("ended", () => this.pause());
  }

  get timeS() {
    return this.#mode === "video" && this.#playing ? this.#video.currentTime : this.#timeS;
  }

  get playing() {
    return this.#playing;
  }

  get mode() {
    return this.#mode;
  }

  get rate() {
    return this.#rate;
  }

  /** What can be drawn now, with its size; null before the first image. */
  get image() {
    if (this.#mode === "video" && this.#video.readyState >= 2) {
      return { source: this.#video, width: this.#video.videoWidth, height: this.#video.videoHeight };
    }
    if (this.#mode === "frames" && this.#image) {
      return { source: this.#image, width: this.#image.naturalWidth, height: this.#image.naturalHeight };
    }
    return null;
  }

  /** Opens a clip of the study at a time. */
  async open(clip, timeS) {
    this.pause();
    this.#opening += 1;
    const opening = this.#opening;
    this.#name = clip.name;
    this.#image = null;
    this.#timeS = timeS;
    this.#mode = "none";
    this.#video.removeAttribute("src");
    this.#video.load();
    this.onnote(null);
    if (!clip.present) {
      this.onnote(`The clip is not at ${clip.source}. Start mien view with --clips DIR, the folder it is in.`);
      this.onchange();
      return;
    }
    const played = await canPlay(this.#video, videoAddress(clip.name));
    if (opening !== this.#opening) return;
    this.#mode = played ? "video" : "frames";
    if (!played) {
      this.#video.removeAttribute("src");
      this.#video.load();
      this.onnote("This browser cannot play the clip's format; the server decodes its frames, without sound.");
    } else if (clip.changed) {
      this.onnote("The clip's file has changed since it was analyzed: boxes may not fit.");
    }
    this.seek(this.#timeS); // the user may have gone elsewhere meanwhile
  }

  /** Shows the frame at a time. */
  seek(timeS) {
    this.#timeS = timeS;
    if (this.#mode === "video") this.#video.currentTime = timeS + SEEK_INTO_S;
    if (this.#mode === "frames") this.#fetch(timeS);
    this.onchange();
  }

  play() {
    if (this.#playing) return;
    this.#playing = true;
    if (this.#mode === "video") {
      this.#video.playbackRate = this.#rate;
      this.#video.play().catch((error) => {
        this.pause();
        if (error.name !== "AbortError") this.onnote(`The browser cannot play the clip: ${error.message}`);
      });
    } else {
      this.#startedAtMs = performance.now() - (1000 * this.#timeS) / this.#rate;
    }
    this.onchange();
  }

  pause() {
    if (!this.#playing) return;
    this.#timeS = this.timeS;
    this.#playing = false;
    this.#video.pause();
    this.onchange();
  }

  setRate(rate) {
    this.#rate = rate;
    this.#video.playbackRate = rate;
    this.#startedAtMs = performance.now() - (1000 * this.#timeS) / rate;
    this.onchange();
  }

  /** Goes on with playing; called before each drawing. */
  tick(toS) {
    if (!this.#playing) return;
    if (this.#mode !== "video") {
      const due = (this.#rate * (performance.now() - this.#startedAtMs)) / 1000;
      // Without the images in time, the clip goes on more slowly instead of leaving frames out for seconds.
      if (this.#mode === "none" || !this.#fetching) {
        this.#timeS = Math.min(due, toS);
        if (this.#mode === "frames") this.#fetch(this.#timeS);
      } else if (due - this.#timeS > 0.25) {
        this.#startedAtMs += 1000 * (due - this.#timeS - 0.25);
      }
    }
    if (this.timeS >= toS) this.pause();
  }

  /** Gets an image from the server; the newest wish counts. */
  #fetch(timeS) {
    this.#wanted = timeS;
    if (this.#fetching) return;
    this.#fetching = true;
    const name = this.#name;
    const image = new Image();
    const done = () => {
      this.#fetching = false;
      if (name === this.#name && image.naturalWidth) this.#image = image;
      this.onchange();
      if (this.#wanted !== timeS) this.#fetch(this.#wanted);
    };
    image.onload = done;
    image.onerror = () => {
      this.onnote("The server could not decode this frame of the clip.");
      done();
    };
    image.src = frameAddress(name, timeS);
  }
}

/** Whether the browser shows moving images of an address; it is the video's source then. */
function canPlay(video, address) {
  return new Promise((resolve) => {
    const listening = new AbortController();
    const done = (played) => {
      clearTimeout(timer);
      listening.abort();
      resolve(played);
    };
    const timer = setTimeout(() => done(false), STALLED_MS);
    video.addEventListener("loadeddata", () => done(video.videoWidth > 0), { signal: listening.signal });
    video.addEventListener("error", () => done(false), { signal: listening.signal });
    video.src = address;
  });
}
