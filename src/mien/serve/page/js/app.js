/** The page's states (consent, live, paused, clip, ended, photos, off) and the way from one to the other. */

import { Camera } from "./camera.js";
import { VideoFile } from "./video-file.js";
import { acceptFiles, isVideo } from "./dropzone.js";
import { PhotoStrip, analyzePhotos } from "./photos.js";
import { FrameLoop, eachFrame } from "./frame-loop.js";
import { Results } from "./results.js";
import { fileName, save } from "./download.js";
import { Controls } from "./controls.js";
import { View } from "./view.js";

// Boxes that are older than that lie visibly beside the faces of a video that goes on.
const SLOW_MS = 120;
const FIGURES_MS = 500;
const NO_FACE_AFTER_MS = 600;
const AFTER_ERROR_MS = 1000; // before the next frame is tried

const $ = (id) => document.getElementById(id);

export class App {
  #makeApi;
  #api = null;
  #frameLoop = null;
  #labelSets = {};
  #controls = new Controls();
  #results = new Results();
  #video = $("video");
  #view = new View($("canvas"), this.#video);
  #camera = new Camera(this.#video);
  #videoFile = new VideoFile(this.#video);
  #photos = new PhotoStrip($("photos"));
  #state = "consent";
  #generation = 0; // counts what has been shown; who was waiting for something earlier finds another number
  #starts = 0; // how often the camera was started
  #endLoop = () => {};
  #slow = false;
  #seenAt = 0;
  #waitUntil = 0;

  /** @param {(key: string) => import("./api.js").Api} makeApi */
  constructor(makeApi) {
    this.#makeApi = makeApi;
    this.#listen();
    setInterval(() => this.#updateFigures(), FIGURES_MS);
  }

  /** Ask what the answers can be; where a key is wanted, ask for that. */
  async connect(key) {
    this.#api?.close();
    this.#api = this.#makeApi(key);
    this.#frameLoop = new FrameLoop(this.#api);
    this.#frameLoop.onprediction = (answer, frame, timeS) => this.#update(answer, frame, timeS);
    this.#frameLoop.onerror = (error) => this.#fail(error);
    try {
      const about = await this.#api.open();
      this.#controls.showKeyForm(false);
      this.#controls.hideAlert();
      this.#controls.model(about.model);
      this.#controls.setLabelSets(about.labelSets, about.labels);
      this.#labelSets = about.labelSets;
      this.#results.setNames(about.labelSets[about.labels]);
    } catch (error) {
      const keyNeeded = error.code === "key_needed";
      this.#controls.showKeyForm(keyNeeded);
      if (!keyNeeded || key) this.#controls.alert(error.message, () => this.connect(key));
    }
  }

  get #moving() {
    return this.#state === "live" || this.#state === "clip";
  }

  #listen() {
    const on = (id, event, action) => $(id).addEventListener(event, action);
    on("start", "click", () => this.#startCamera());
    on("again", "click", () => this.#startCamera());
    on("stop", "click", () => this.#endCamera("The camera is off. What was seen is kept."));
    on("pause", "click", () => this.#pauseOrGoOn());
    on("snapshot", "click", () => this.#saveSnapshot());
    on("download", "click", () => this.#saveTable());
    on("mirror", "change", () => this.#draw());
    on("blur", "change", () => this.#blurOrNot());
    on("labels", "change", () => this.#useLabels($("labels").value));
    on("cameras", "change", () => this.#startCamera($("cameras").value));
    on("key-form", "submit", (event) => {
      event.preventDefault();
      this.connect($("key").value);
    });
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#setCameras());
    this.#results.onown = (id) => this.#choose(id);
    this.#camera.onlost = (error) => {
      this.#endCamera("The camera is gone.");
      this.#controls.alert(error.message, () => this.#startCamera());
    };
    this.#camera.onfrozen = (frozen) => this.#onFrozen(frozen);
    this.#videoFile.onended = () => this.#go("ended");
    this.#photos.onpick = (photo) => this.#showPhoto(photo);
    const elements = { input: $("files"), buttons: document.querySelectorAll(".open-files"), veil: $("drop") };
    acceptFiles(elements, (files) => this.#open(files));
  }

  async #startCamera(deviceId = "") {
    const generation = this.#leave();
    if (!this.#controls.agreed) {
      this.#go("consent");
      this.#controls.focusConsent();
      return;
    }
    this.#controls.starting();
    try {
      await this.#camera.start(deviceId);
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#go(this.#starts ? "off" : "consent");
      this.#controls.alert(error.message, () => this.#startCamera(deviceId));
      return;
    }
    this.#starts += 1;
    const startMs = performance.now();
    this.#begin(this.#starts === 1 ? "camera" : `camera ${this.#starts}`, () => (performance.now() - startMs) / 1000);
    this.#go("live");
    this.#controls.focusWork();
    this.#results.announce("The camera is on. Looking for faces.");
    await this.#setCameras();
  }

  #endCamera(text) {
    this.#leave();
    this.#go("off");
    this.#results.announce(text);
  }

  /** Photos, or one clip, instead of the camera. */
  async #open(files) {
    const generation = this.#leave();
    const clip = files.find(isVideo);
    if (!clip) {
      await this.#analyzePhotos(files);
      return;
    }
    try {
      await this.#videoFile.play(clip);
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#go("off");
      this.#controls.alert(error.message);
      return;
    }
    this.#begin(clip.name, () => this.#video.currentTime);
    this.#go("clip");
    this.#controls.focusWork();
  }

  /** From now on every frame of the video element is drawn, and asked about if the last has been answered. */
  #begin(source, clock) {
    this.#api.restart();
    this.#results.begin(source);
    this.#seenAt = performance.now();
    this.#endLoop = eachFrame(this.#video, () => {
      if (!this.#moving) return;
      if (performance.now() >= this.#waitUntil) this.#frameLoop.submit(this.#video, clock());
      this.#draw();
    });
  }

  /** Lets go of whatever is shown now; gives the number of what comes next. */
  #leave() {
    this.#endLoop();
    this.#frameLoop.cancel();
    this.#camera.stop();
    this.#videoFile.stop();
    this.#photos.clear();
    this.#view.clear();
    this.#controls.hideAlert();
    this.#generation += 1;
    return this.#generation;
  }

  #pauseOrGoOn() {
    if (this.#moving) {
      this.#video.pause();
      this.#frameLoop.cancel();
      this.#go("paused");
      this.#results.announceFaces("Paused.", this.#view.faces ?? []);
      return;
    }
    if (this.#state === "ended") this.#api.restart();
    this.#video.play();
    this.#go(this.#camera.running ? "live" : "clip");
    this.#results.announce("Going on.");
  }

  #update(answer, frame, timeS) {
    this.#view.update(answer, frame);
    if (answer.faces.length) this.#seenAt = performance.now();
    this.#results.add(timeS, answer.faces);
    if (this.#waitUntil) {
      this.#waitUntil = 0;
      this.#controls.hideAlert();
    }
    this.#showResults();
  }

  #fail(error) {
    this.#waitUntil = performance.now() + AFTER_ERROR_MS;
    this.#view.clearPrediction();
    this.#showResults();
    this.#controls.alert(error.message);
  }

  #draw() {
    const mirror = this.#controls.mirror && this.#camera.running;
    const ahead = this.#moving && (!this.#slow || !this.#view.faces);
    this.#view.draw({ ahead, mirror, blur: this.#controls.blur });
  }

  #showResults() {
    this.#results.list(this.#view.faces, { mine: this.#view.mine, choose: this.#controls.blur });
    this.#controls.rows(this.#results.count);
    const nobody = this.#view.faces?.length === 0;
    const forLong = performance.now() - this.#seenAt > NO_FACE_AFTER_MS;
    this.#controls.note({ nobody, forLong, camera: this.#camera.running, startedBefore: this.#starts > 0 });
  }

  #blurOrNot() {
    this.#view.chooseLargest();
    this.#showResults();
    this.#draw();
  }

  #choose(id) {
    this.#view.choose(id);
    this.#showResults();
    this.#draw();
    this.#results.announce(`Face ${id} is yours. The others are hidden.`);
  }

  #useLabels(labels) {
    this.#api.setLabels(labels);
    this.#results.setNames(this.#labelSets[labels]);
    if (this.#state === "photos") this.#analyzePhotos(this.#photos.files());
  }

  async #setCameras() {
    if (this.#camera.running) this.#controls.setCameras(await Camera.list(), this.#camera.deviceId);
  }

  async #analyzePhotos(files) {
    const generation = this.#generation;
    this.#photos.clear();
    this.#controls.badge("Reading…");
    this.#go("photos");
    const failures = await analyzePhotos(files, this.#api, (photo) => {
      if (generation !== this.#generation) return;
      this.#results.addPhoto(photo.file.name, photo.answer.faces);
      this.#photos.add(photo);
      this.#showResults();
    });
    if (generation !== this.#generation) return;
    if (failures.length) this.#controls.alert(failures.join(" "));
    if (!this.#photos.count) this.#go("off");
  }

  #showPhoto({ file, answer, picture }) {
    this.#view.clear();
    this.#view.update(answer, picture, { width: answer.width, height: answer.height });
    this.#controls.badge(file.name);
    this.#blurOrNot();
    this.#results.announceFaces(`${file.name}:`, answer.faces);
  }

  async #saveSnapshot() {
    save(await this.#view.snapshot(), fileName("png"));
    this.#results.announce("The picture is saved.");
  }

  #saveTable() {
    save(this.#results.table(), fileName("csv"));
    this.#results.announce(`A table of ${this.#results.count} rows is saved.`);
  }

  #go(state) {
    this.#state = state;
    const camera = this.#camera.running;
    this.#controls.go(state, { camera, startedBefore: this.#starts > 0, photos: this.#photos.count });
    this.#showResults();
    this.#draw();
  }

  #updateFigures() {
    const figures = this.#moving ? this.#frameLoop.figures() : { fps: 0, latencyMs: null };
    this.#controls.figures(figures);
    this.#slow = figures.latencyMs > (this.#slow ? SLOW_MS / 2 : SLOW_MS);
    if (this.#videoFile.open) this.#controls.badge(this.#videoFile.progress());
  }

  #onFrozen(frozen) {
    if (!frozen) {
      this.#controls.hideAlert();
      return;
    }
    const text =
      "The camera has sent the same picture for 3 seconds: it is frozen or covered. Open its shutter, or " +
      "unplug it and plug it in again.";
    this.#controls.alert(text, () => this.#startCamera(this.#camera.deviceId));
  }
}
