/** The page's states (consent, live, paused, clip, ended, photos, off) and the way from one to the other. */

import { Camera } from "./camera.js";
import { Clip } from "./clip.js";
import { acceptFiles, isClip } from "./files.js";
import { PhotoStrip, readPhotos } from "./photos.js";
import { Pump, eachFrame } from "./pump.js";
import { Results } from "./results.js";
import { fileName, save } from "./saving.js";
import { Screen } from "./screen.js";
import { View } from "./view.js";

// Boxes that are older than that lie visibly beside the faces of a video that goes on.
const SLOW_MS = 120;
const FIGURES_MS = 500;
const NO_FACE_AFTER_MS = 600;
const AFTER_ERROR_MS = 1000; // before the next frame is tried

const $ = (id) => document.getElementById(id);

export class App {
  #makeAnswers;
  #answers = null;
  #pump = null;
  #labelSets = {};
  #screen = new Screen();
  #results = new Results();
  #video = $("video");
  #view = new View($("canvas"), this.#video);
  #camera = new Camera(this.#video);
  #clip = new Clip(this.#video);
  #photos = new PhotoStrip($("photos"));
  #state = "consent";
  #turn = 0; // counts what has been shown; who was waiting for something earlier finds another number
  #starts = 0; // how often the camera was started
  #endLoop = () => {};
  #slow = false;
  #seenAt = 0;
  #waitUntil = 0;

  /** @param {(key: string) => import("./answers.js").Answers} makeAnswers */
  constructor(makeAnswers) {
    this.#makeAnswers = makeAnswers;
    this.#listen();
    setInterval(() => this.#everyMoment(), FIGURES_MS);
  }

  /** Ask what the answers can be; where a key is wanted, ask for that. */
  async connect(key) {
    this.#answers?.close();
    this.#answers = this.#makeAnswers(key);
    this.#pump = new Pump(this.#answers);
    this.#pump.onanswer = (answer, frame, timeS) => this.#take(answer, frame, timeS);
    this.#pump.onerror = (error) => this.#fail(error);
    try {
      const about = await this.#answers.open();
      this.#screen.askForKey(false);
      this.#screen.hideAlert();
      this.#screen.model(about.model);
      this.#screen.offerLabels(about.labelSets, about.labels);
      this.#labelSets = about.labelSets;
      this.#results.setNames(about.labelSets[about.labels]);
    } catch (error) {
      const keyNeeded = error.code === "key_needed";
      this.#screen.askForKey(keyNeeded);
      if (!keyNeeded || key) this.#screen.alert(error.message, () => this.connect(key));
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
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#offerCameras());
    this.#results.onmine = (id) => this.#choose(id);
    this.#camera.onlost = (error) => {
      this.#endCamera("The camera is gone.");
      this.#screen.alert(error.message, () => this.#startCamera());
    };
    this.#camera.onfrozen = (frozen) => this.#tellFrozen(frozen);
    this.#clip.onended = () => this.#go("ended");
    this.#photos.onpick = (photo) => this.#showPhoto(photo);
    const elements = { input: $("files"), buttons: document.querySelectorAll(".open-files"), veil: $("drop") };
    acceptFiles(elements, (files) => this.#open(files));
  }

  async #startCamera(deviceId = "") {
    const turn = this.#leave();
    if (!this.#screen.told) {
      this.#go("consent");
      this.#screen.askForTelling();
      return;
    }
    this.#screen.starting();
    try {
      await this.#camera.start(deviceId);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#go(this.#starts ? "off" : "consent");
      this.#screen.alert(error.message, () => this.#startCamera(deviceId));
      return;
    }
    this.#starts += 1;
    const startMs = performance.now();
    this.#begin(this.#starts === 1 ? "camera" : `camera ${this.#starts}`, () => (performance.now() - startMs) / 1000);
    this.#go("live");
    this.#screen.focusWork();
    this.#results.say("The camera is on. Looking for faces.");
    await this.#offerCameras();
  }

  #endCamera(text) {
    this.#leave();
    this.#go("off");
    this.#results.say(text);
  }

  /** Photos, or one clip, instead of the camera. */
  async #open(files) {
    const turn = this.#leave();
    const clip = files.find(isClip);
    if (!clip) {
      await this.#readPhotos(files);
      return;
    }
    try {
      await this.#clip.play(clip);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#go("off");
      this.#screen.alert(error.message);
      return;
    }
    this.#begin(clip.name, () => this.#video.currentTime);
    this.#go("clip");
    this.#screen.focusWork();
  }

  /** From now on every frame of the video element is drawn, and asked about if the last has been answered. */
  #begin(source, clock) {
    this.#answers.restart();
    this.#results.begin(source);
    this.#seenAt = performance.now();
    this.#endLoop = eachFrame(this.#video, () => {
      if (!this.#moving) return;
      if (performance.now() >= this.#waitUntil) this.#pump.offer(this.#video, clock());
      this.#draw();
    });
  }

  /** Lets go of whatever is shown now; gives the number of what comes next. */
  #leave() {
    this.#endLoop();
    this.#pump.cancel();
    this.#camera.stop();
    this.#clip.stop();
    this.#photos.clear();
    this.#view.clear();
    this.#screen.hideAlert();
    this.#turn += 1;
    return this.#turn;
  }

  #pauseOrGoOn() {
    if (this.#moving) {
      this.#video.pause();
      this.#pump.cancel();
      this.#go("paused");
      this.#results.sayFaces("Paused.", this.#view.faces ?? []);
      return;
    }
    if (this.#state === "ended") this.#answers.restart();
    this.#video.play();
    this.#go(this.#camera.running ? "live" : "clip");
    this.#results.say("Going on.");
  }

  #take(answer, frame, timeS) {
    this.#view.take(answer, frame);
    if (answer.faces.length) this.#seenAt = performance.now();
    this.#results.add(timeS, answer.faces);
    if (this.#waitUntil) {
      this.#waitUntil = 0;
      this.#screen.hideAlert();
    }
    this.#showResults();
  }

  #fail(error) {
    this.#waitUntil = performance.now() + AFTER_ERROR_MS;
    this.#view.forgetAnswer();
    this.#showResults();
    this.#screen.alert(error.message);
  }

  #draw() {
    const mirror = this.#screen.mirror && this.#camera.running;
    const ahead = this.#moving && (!this.#slow || !this.#view.faces);
    this.#view.draw({ ahead, mirror, blur: this.#screen.blur });
  }

  #showResults() {
    this.#results.list(this.#view.faces, { mine: this.#view.mine, choose: this.#screen.blur });
    this.#screen.rows(this.#results.count);
    const nobody = this.#view.faces?.length === 0;
    const forLong = performance.now() - this.#seenAt > NO_FACE_AFTER_MS;
    this.#screen.note({ nobody, forLong, camera: this.#camera.running, startedBefore: this.#starts > 0 });
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
    this.#results.say(`Face ${id} is yours. The others are hidden.`);
  }

  #useLabels(labels) {
    this.#answers.setLabels(labels);
    this.#results.setNames(this.#labelSets[labels]);
    if (this.#state === "photos") this.#readPhotos(this.#photos.files());
  }

  async #offerCameras() {
    if (this.#camera.running) this.#screen.offerCameras(await Camera.list(), this.#camera.deviceId);
  }

  async #readPhotos(files) {
    const turn = this.#turn;
    this.#photos.clear();
    this.#screen.badge("Reading…");
    this.#go("photos");
    const failures = await readPhotos(files, this.#answers, (photo) => {
      if (turn !== this.#turn) return;
      this.#results.addPhoto(photo.file.name, photo.answer.faces);
      this.#photos.add(photo);
      this.#showResults();
    });
    if (turn !== this.#turn) return;
    if (failures.length) this.#screen.alert(failures.join(" "));
    if (!this.#photos.count) this.#go("off");
  }

  #showPhoto({ file, answer, picture }) {
    this.#view.clear();
    this.#view.take(answer, picture, { width: answer.width, height: answer.height });
    this.#screen.badge(file.name);
    this.#blurOrNot();
    this.#results.sayFaces(`${file.name}:`, answer.faces);
  }

  async #saveSnapshot() {
    save(await this.#view.snapshot(), fileName("png"));
    this.#results.say("The picture is saved.");
  }

  #saveTable() {
    save(this.#results.table(), fileName("csv"));
    this.#results.say(`A table of ${this.#results.count} rows is saved.`);
  }

  #go(state) {
    this.#state = state;
    const camera = this.#camera.running;
    this.#screen.go(state, { camera, startedBefore: this.#starts > 0, photos: this.#photos.count });
    this.#showResults();
    this.#draw();
  }

  #everyMoment() {
    const figures = this.#moving ? this.#pump.figures() : { fps: 0, latencyMs: null };
    this.#screen.figures(figures);
    this.#slow = figures.latencyMs > (this.#slow ? SLOW_MS / 2 : SLOW_MS);
    if (this.#clip.open) this.#screen.badge(this.#clip.progress());
  }

  #tellFrozen(frozen) {
    if (!frozen) {
      this.#screen.hideAlert();
      return;
    }
    const text =
      "The camera has sent the same picture for 3 seconds: it is frozen or covered. Open its shutter, or " +
      "unplug it and plug it in again.";
    this.#screen.alert(text, () => this.#startCamera(this.#camera.deviceId));
  }
}
