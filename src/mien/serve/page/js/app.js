/** The states of the page (consent, live, paused, video, ended, photos, off) and the transitions between them. */

import { Camera } from "./camera.js";
import { ClipResults } from "./clip-results.js";
import { Controls } from "./controls.js";
import { fileName, save } from "./download.js";
import { acceptFiles, isVideo } from "./dropzone.js";
import { FrameLoop, copyFrame, eachFrame } from "./frame-loop.js";
import { PhotoStrip, analyzePhotos } from "./photos.js";
import { Results } from "./results.js";
import { applyThresholds } from "./thresholds.js";
import { VideoFile } from "./video-file.js";
import { View } from "./view.js";

const SLOW_MS = 120; // from this latency on, boxes lie visibly beside the faces of a moving video
const PERFORMANCE_MS = 500;
const NO_FACE_AFTER_MS = 600;
const AFTER_ERROR_MS = 1000; // before the next frame is sent

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
  #photoMs = null; // what the shown photo took
  #clip = null; // the results of the open clip
  #frameS = 0; // the time of its frame that is shown
  #jumped = false; // the clip went on elsewhere since its last frame was sent
  #hidden = false; // the clip was stopped because nobody could see it
  #connected = Promise.resolve();
  #state = "consent";
  #generation = 0; // of what is shown; a callback for something earlier sees another number
  #starts = 0; // how often the camera was started
  #endLoop = () => {};
  #slow = false;
  #lastFaceMs = 0;
  #waitUntil = 0;

  /** @param {(key: string) => import("./api.js").Api} makeApi */
  constructor(makeApi) {
    this.#makeApi = makeApi;
    this.#listen();
    setInterval(() => this.#updatePerformance(), PERFORMANCE_MS);
  }

  /** Connects to the server; shows the form for the key if one is required. */
  async connect(key) {
    this.#api?.close();
    this.#api = this.#makeApi(key);
    this.#frameLoop = new FrameLoop(this.#api);
    this.#frameLoop.onprediction = (...prediction) => this.#update(...prediction);
    this.#frameLoop.onerror = (error) => this.#onError(error);
    this.#controls.setLoading("Loading the model…");
    const opened = this.#api.open();
    this.#connected = opened.catch(() => {}); // whatever failed is shown below
    try {
      this.#showAbout(await opened);
      this.#controls.showKeyForm(false);
      this.#controls.hideAlert();
    } catch (error) {
      this.#controls.setLoading("");
      const keyRequired = error.code === "api_key_required";
      this.#controls.showKeyForm(keyRequired);
      if (!keyRequired) this.#controls.alert(error.message, () => this.connect(key));
      else if (key) this.#controls.alert("This API key is wrong. Enter the key of the server.");
    }
  }

  #showAbout(about) {
    this.#controls.setLoading("");
    this.#controls.setModels(about.models ?? [], about.model);
    this.#controls.setLabelSets(about.labelSets, about.labels);
    this.#labelSets = about.labelSets;
    this.#results.setNames(about.labelSets[about.labels]);
  }

  get #moving() {
    return this.#state === "live" || this.#state === "video";
  }

  #listen() {
    const on = (id, event, action) => $(id).addEventListener(event, action);
    on("start", "click", () => this.#startCamera());
    on("again", "click", () => this.#startCamera());
    on("stop", "click", () => this.#endCamera("The camera is off. The results are kept."));
    on("pause", "click", () => this.#pauseOrContinue());
    on("snapshot", "click", () => this.#saveSnapshot());
    on("download", "click", () => this.#saveTable());
    on("mirror", "change", () => this.#draw());
    on("blur", "change", () => this.#updateBlur());
    on("confidence", "input", () => this.#updateThresholds());
    on("probability", "input", () => this.#updateThresholds());
    on("event-threshold", "input", () => this.#updateClip(true));
    on("seek", "input", () => this.#videoFile.seek(Number($("seek").value)));
    document.addEventListener("visibilitychange", () => this.#onVisibility());
    on("labels", "change", () => this.#setLabels($("labels").value));
    on("movements", "change", () => this.#setMovements($("movements").checked));
    on("models", "change", () => this.#setModel($("models").value));
    on("cameras", "change", () => this.#startCamera($("cameras").value));
    on("key-form", "submit", (event) => {
      event.preventDefault();
      this.connect($("key").value);
    });
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#updateCameras());
    this.#results.onown = (id) => this.#chooseOwn(id);
    this.#camera.onlost = (error) => {
      this.#endCamera("The camera was disconnected.");
      this.#controls.alert(error.message, () => this.#startCamera());
    };
    this.#camera.onfrozen = (frozen) => this.#onFrozen(frozen);
    this.#videoFile.onended = () => this.#setState("ended");
    this.#videoFile.onjump = () => this.#onJump();
    this.#results.onseek = (timeS) => this.#clip && this.#videoFile.seek(timeS);
    this.#photos.onchoose = (photo) => this.#showPhoto(photo);
    const elements = { input: $("files"), buttons: document.querySelectorAll(".open-files"), veil: $("drop") };
    acceptFiles(elements, (files) => this.#open(files));
  }

  async #startCamera(deviceId = "") {
    const generation = this.#leave();
    if (!this.#controls.agreed) {
      this.#setState("consent");
      this.#controls.focusConsent();
      return;
    }
    this.#controls.starting();
    try {
      await this.#camera.start(deviceId);
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#setState(this.#starts ? "off" : "consent");
      this.#controls.alert(error.message, () => this.#startCamera(deviceId));
      return;
    }
    this.#starts += 1;
    const startMs = performance.now();
    this.#api.restart();
    this.#results.begin(this.#starts === 1 ? "camera" : `camera ${this.#starts}`);
    this.#lastFaceMs = startMs;
    this.#endLoop = eachFrame(this.#video, () => this.#onCameraFrame((performance.now() - startMs) / 1000));
    this.#setState("live");
    this.#controls.focusWork();
    this.#results.announce("The camera is on. Detecting faces.");
    await this.#updateCameras();
  }

  #endCamera(text) {
    this.#leave();
    this.#setState("off");
    this.#results.announce(text);
  }

  /** Opens photos, or one clip, in place of the camera. */
  async #open(files) {
    const generation = this.#leave();
    const video = files.find(isVideo);
    if (!video) {
      await this.#analyzePhotos(files);
      return;
    }
    try {
      await this.#videoFile.play(video);
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#setState("off");
      this.#controls.alert(error.message);
      return;
    }
    if (generation !== this.#generation) return;
    this.#beginClip();
    this.#setState("video");
    this.#controls.focusWork();
  }

  /** Analyzes the open clip from here on; what was predicted before stays in the table. */
  #beginClip() {
    this.#frameLoop.cancel();
    this.#clip = new ClipResults();
    this.#jumped = true;
    this.#lastFaceMs = performance.now();
    this.#results.beginClip(this.#videoFile.name, this.#clip, this.#videoFile.durationS);
    this.#endLoop();
    this.#endLoop = eachFrame(this.#video, (timeS) => this.#onClipFrame(timeS));
  }

  /** Draws a frame of the camera, and sends it if no prediction is pending. */
  #onCameraFrame(timeS) {
    if (!this.#moving) return;
    if (performance.now() >= this.#waitUntil) this.#frameLoop.submit(this.#video, timeS);
    this.#draw();
  }

  /** Draws a frame of the clip, with its prediction if it has one; sends it otherwise. Also while it is paused. */
  #onClipFrame(timeS) {
    this.#frameS = timeS;
    const known = this.#clip.at(timeS);
    if (known && !this.#clip.open(timeS)) {
      this.#frameLoop.skip();
      this.#view.update(known, copyFrame(this.#video));
      if (known.faces.length) this.#lastFaceMs = performance.now();
      this.#showResults();
    } else if (performance.now() >= this.#waitUntil) {
      this.#sendClipFrame(timeS);
    }
    this.#updateClip();
    this.#draw();
  }

  /** A face is tracked from a few frames on; so the frame of a paused clip is analyzed by itself. */
  #sendClipFrame(timeS) {
    if (!this.#moving) {
      this.#frameLoop.submitStill(this.#video, timeS, () => this.#clip.open(timeS));
      return;
    }
    if (this.#jumped) {
      this.#jumped = false;
      this.#api.restart();
      this.#clip.jump();
    }
    this.#frameLoop.submit(this.#video, timeS);
  }

  #onJump() {
    this.#jumped = true; // a pending prediction still belongs to what was before
    if (this.#state === "ended") this.#setState("paused");
  }

  /** Shows where the clip is and what was found in it so far. */
  #updateClip(atOnce = false) {
    if (!this.#clip) return;
    const { timeS, durationS } = this.#videoFile;
    this.#controls.setPosition(timeS, durationS, this.#videoFile.position());
    const options = { threshold: this.#controls.eventThreshold };
    this.#results.updateClip(timeS, (prediction) => this.#shown(prediction).faces, options, atOnce);
  }

  #shown(prediction) {
    return applyThresholds(prediction, this.#controls.thresholds);
  }

  /** Nobody sees the frames of a hidden page, so a clip waits; a camera goes on, with its sign in the title. */
  #onVisibility() {
    this.#lastFaceMs = performance.now();
    if (document.hidden && this.#state === "video") {
      this.#hidden = true;
      this.#video.pause();
    } else if (!document.hidden && this.#hidden) {
      this.#hidden = false;
      if (this.#state === "video") this.#video.play();
    }
  }

  /** Stops whatever is shown now; returns the generation of what comes next. */
  #leave() {
    this.#endLoop();
    this.#frameLoop.cancel();
    this.#camera.stop();
    this.#videoFile.stop();
    this.#clip = null;
    this.#hidden = false;
    this.#photos.clear();
    this.#view.clear();
    this.#controls.hideAlert();
    this.#generation += 1;
    return this.#generation;
  }

  #pauseOrContinue() {
    if (this.#moving) {
      this.#video.pause();
      if (!this.#clip) this.#frameLoop.cancel();
      this.#setState("paused");
      if (this.#clip) this.#onClipFrame(this.#frameS);
      this.#results.announceFaces("Paused.", this.#view.faces ?? []);
      return;
    }
    this.#video.play();
    this.#setState(this.#camera.running ? "live" : "video");
    this.#results.announce("Continued.");
  }

  #update(prediction, frame, timeS, still) {
    if (still) {
      this.#jumped = true; // the numbers of a single frame mean nothing in the next one
      this.#clip.jump();
    }
    const predicted = this.#clip ? this.#clip.add(timeS, prediction) : prediction;
    this.#view.update(predicted, frame);
    const { faces } = this.#view;
    if (faces.length) this.#lastFaceMs = performance.now();
    if (this.#clip) this.#results.addShown(timeS, faces);
    else this.#results.add(timeS, predicted.faces, faces);
    if (this.#waitUntil) {
      this.#waitUntil = 0;
      this.#controls.hideAlert();
    }
    this.#showResults();
    if (!this.#moving) this.#updateClip(true);
    if (!this.#moving) this.#draw();
  }

  #onError(error) {
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
    this.#results.list(this.#view.faces, { own: this.#view.own, choose: this.#controls.blur });
    this.#controls.setRowCount(this.#results.count);
    const noFace = this.#view.faces?.length === 0;
    const lasting = performance.now() - this.#lastFaceMs > NO_FACE_AFTER_MS;
    this.#controls.updateNote({ noFace, lasting, camera: this.#camera.running, startedBefore: this.#starts > 0 });
  }

  #updateThresholds() {
    this.#view.setThresholds(this.#controls.thresholds);
    if (this.#clip) {
      this.#results.redrawClip(this.#videoFile.durationS, (prediction) => this.#shown(prediction).faces);
      this.#updateClip(true);
    }
    this.#showResults();
    this.#draw();
  }

  #updateBlur() {
    this.#view.chooseLargest();
    this.#showResults();
    this.#draw();
  }

  #chooseOwn(id) {
    this.#view.chooseOwn(id);
    this.#showResults();
    this.#draw();
    this.#results.announce(`Face ${id} is yours. The others are blurred.`);
  }

  #setLabels(labels) {
    return this.#change("Loading the labels…", async () => {
      await this.#api.setLabels(labels);
      this.#results.setNames(this.#labelSets[labels]);
    });
  }

  #setMovements(on) {
    return this.#change("Loading the landmarks…", async () => this.#api.setMovements(on));
  }

  #setModel(model) {
    return this.#change(`Loading ${model}…`, async () => this.#showAbout(await this.#api.setModel(model)));
  }

  /** Changes what predicts; photos are analyzed again. Meanwhile frames are analyzed as before. */
  async #change(text, action) {
    this.#controls.setLoading(text);
    try {
      await action();
    } catch (error) {
      this.#controls.alert(error.message);
      return;
    } finally {
      this.#controls.setLoading("");
    }
    if (this.#state === "photos") this.#analyzePhotos(this.#photos.files());
    if (!this.#clip) return;
    this.#beginClip();
    if (!this.#moving) this.#videoFile.seek(this.#videoFile.timeS); // so that the frame is given once more
  }

  async #updateCameras() {
    if (this.#camera.running) this.#controls.setCameras(await Camera.list(), this.#camera.deviceId);
  }

  async #analyzePhotos(files) {
    const generation = this.#generation;
    this.#view.clear(); // the photo that it shows is closed next
    this.#photos.clear();
    this.#controls.setBadge("Analyzing…");
    this.#results.beginPhotos();
    this.#setState("photos");
    await this.#connected; // the time of a photo is without that of loading the model
    const errors = await analyzePhotos(files, this.#api, (photo) => {
      if (generation !== this.#generation) return;
      this.#results.addPhoto(photo.file.name, photo.prediction.faces);
      this.#photos.add(photo);
      this.#showResults();
    });
    if (generation !== this.#generation) return;
    if (errors.length) this.#controls.alert(errors.join(" "));
    if (!this.#photos.count) this.#setState("off");
  }

  #showPhoto({ file, prediction, ms, image }) {
    this.#photoMs = ms;
    this.#view.clear();
    this.#view.update(prediction, image, { width: prediction.width, height: prediction.height });
    this.#controls.setBadge(file.name);
    this.#updateBlur();
    this.#results.announceFaces(`${file.name}:`, prediction.faces);
  }

  async #saveSnapshot() {
    save(await this.#view.snapshot(), fileName("png"));
    this.#results.announce("The image is saved.");
  }

  #saveTable() {
    save(this.#results.toBlob(), fileName("csv"));
    this.#results.announce(`A table of ${this.#results.count} rows is saved.`);
  }

  #setState(state) {
    this.#state = state;
    const camera = this.#camera.running;
    const shown = { camera, startedBefore: this.#starts > 0, photos: this.#photos.count, clip: this.#clip !== null };
    this.#controls.setState(state, shown);
    this.#updateClip(true);
    this.#showResults();
    this.#draw();
  }

  #updatePerformance() {
    const photoMs = this.#state === "photos" ? this.#photoMs : null;
    const measured = this.#moving ? this.#frameLoop.statistics() : { fps: 0, offered: 0, latencyMs: photoMs };
    this.#controls.setPerformance(measured);
    this.#slow = measured.latencyMs > (this.#slow ? SLOW_MS / 2 : SLOW_MS);
    if (this.#videoFile.open) this.#controls.setBadge(this.#videoFile.progress());
  }

  #onFrozen(frozen) {
    if (!frozen) {
      this.#controls.hideAlert();
      return;
    }
    const text =
      "The camera has sent the same image for 3 seconds: it is frozen or covered. Open its shutter, or " +
      "disconnect it and connect it again.";
    this.#controls.alert(text, () => this.#startCamera(this.#camera.deviceId));
  }
}
