/** Buttons, settings, messages and the sign of the camera: everything but the image and the results. */

const LABEL_SETS = {
  combined: "8 emotions (both)",
  ferplus: "8 emotions (FER+ votes)",
  fer2013: "7 emotions (FER2013 labels)",
};
const MODELS = {
  "mien-tiny": "mien-tiny (faster)",
  "mien-lite0": "mien-lite0 (more accurate)",
};
const LOCAL = ["127.0.0.1", "localhost", "[::1]"];
const MOVING = ["live", "paused", "video", "ended"];
const SLIDERS = ["confidence", "probability", "event-threshold"];

const $ = (id) => document.getElementById(id);

export class Controls {
  #retry = null;
  #state = "consent";

  constructor() {
    const where = $("where"); // not on the page that works without a server
    if (where) where.textContent = LOCAL.includes(location.hostname) ? "on this computer" : `at ${location.host}`;
    $("agreed").addEventListener("change", () => this.#enableStart());
    $("alert-close").addEventListener("click", () => this.hideAlert());
    $("alert-retry").addEventListener("click", () => this.#retry?.());
    for (const id of SLIDERS) {
      $(id).addEventListener("input", () => this.#writeSlider(id));
      this.#writeSlider(id); // browsers keep its value when a page is reloaded
    }
  }

  /** From which confidence on a face is shown, and from which probability on its emotion is named; 0..1. */
  get thresholds() {
    return { confidence: $("confidence").value / 100, probability: $("probability").value / 100 };
  }

  get eventThreshold() {
    return $("event-threshold").value / 100;
  }

  #writeSlider(id) {
    const value = Number($(id).value);
    write(`${id}-value`, id === "probability" && value === 0 ? "the model's rule" : `${value} %`);
  }

  get agreed() {
    return $("agreed").checked;
  }

  get mirror() {
    return $("mirror").checked;
  }

  get blur() {
    return $("blur").checked;
  }

  /** Shows the elements of a state and hides the others. */
  setState(state, { camera, startedBefore, photos, clip }) {
    this.#state = state;
    document.body.dataset.state = state;
    document.title = camera ? "● Camera on – mien" : "mien";
    show("consent", state === "consent");
    show("work", state !== "consent");
    show("sign", camera);
    $("sign-text").textContent = state === "paused" ? "Camera on, paused" : "Camera on";
    show("pause", MOVING.includes(state));
    $("pause").textContent = { paused: "Continue", ended: "Play again" }[state] ?? "Pause";
    show("stop", camera);
    show("again", !camera);
    $("again").textContent = startedBefore ? "Start camera again" : "Start the camera";
    $("mirror").closest("label").hidden = !camera;
    if (!camera) show("cameras-label", false);
    show("photos", state === "photos" && photos > 1);
    show("clip-events", clip);
    show("timeline", state !== "photos");
    show("legend", state !== "photos");
    if (!clip) show("seek-bar", false);
    show("badge", !camera && ["video", "paused", "ended", "photos"].includes(state));
    $("snapshot").disabled = state === "off";
    this.#enableStart();
  }

  /** Disables the start buttons while the camera starts. */
  starting() {
    $("start").disabled = true;
    $("again").disabled = true;
  }

  #enableStart() {
    $("start").disabled = !this.agreed;
    $("again").disabled = false;
  }

  focusConsent() {
    $("agreed").focus();
  }

  focusWork() {
    $("work").focus({ preventScroll: true });
  }

  /** Updates the line over the image: camera off, paused, or no face. */
  updateNote({ noFace, lasting, camera, startedBefore }) {
    const text =
      {
        off: startedBefore ? "The camera is off." : "",
        paused: camera ? "Paused. The camera is still on." : "Paused.",
        photos: noFace ? "No face in this photo." : "",
      }[this.#state] ?? (noFace && lasting ? "No face in view." : "");
    show("note", Boolean(text));
    write("note", text);
  }

  setBadge(text) {
    write("badge", text);
  }

  /** Shows the model in use; the others can be chosen if there are any. */
  setModels(names, selected) {
    write("model", `model ${selected}`);
    $("models").replaceChildren(...names.map((name) => new Option(MODELS[name] ?? name, name)));
    $("models").value = selected;
    show("models-label", names.length > 1);
  }

  /** Shows what is being loaded; nothing for an empty text. */
  setLoading(text) {
    write("loading", text);
    show("loading", Boolean(text));
  }

  setRowCount(count) {
    write("rows", String(count));
    $("download").disabled = count === 0;
  }

  /** The position in a clip; without a length there is no bar. */
  setPosition(timeS, durationS, text) {
    show("seek-bar", durationS !== null);
    $("seek").max = durationS ?? 0;
    $("seek").value = timeS;
    $("seek").setAttribute("aria-valuetext", text);
    write("position", text);
  }

  /** Predictions per second, of how many frames per second of the video, and the latency. */
  setPerformance({ fps, offered, latencyMs }) {
    write("fps", fps ? fps.toFixed(0) : "–");
    write("offered", fps && offered > fps + 0.5 ? ` of ${offered.toFixed(0)}` : "");
    write("latency", latencyMs === null ? "–" : `${latencyMs.toFixed(0)} ms`);
  }

  alert(text, retry = null) {
    this.#retry = retry;
    write("alert-text", text);
    show("alert-retry", Boolean(retry));
    show("alert", true);
  }

  hideAlert() {
    show("alert", false);
    this.#retry = null;
  }

  showKeyForm(required) {
    show("key-form", required);
  }

  setLabelSets(labelSets, selected) {
    $("labels").replaceChildren(...Object.keys(labelSets).map((name) => new Option(LABEL_SETS[name] ?? name, name)));
    $("labels").value = selected;
  }

  /** Lists the cameras; the list is shown if there are several. */
  setCameras(cameras, selected) {
    $("cameras").replaceChildren(...cameras.map(({ id, name }) => new Option(name, id)));
    $("cameras").value = selected;
    show("cameras-label", cameras.length > 1);
  }
}

function show(id, shown) {
  $(id).hidden = !shown;
}

function write(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}
