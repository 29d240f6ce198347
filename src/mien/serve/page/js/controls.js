/** The parts of the page that are neither picture nor results: buttons, signs, notes, choices. */

const LABEL_SETS = { fer2013: "7 emotions (FER2013)", ferplus: "8 emotions (FER+)" };
const LOCAL = ["127.0.0.1", "localhost", "[::1]"];
const MOVING = ["live", "paused", "clip", "ended"];

const $ = (id) => document.getElementById(id);

export class Controls {
  #retry = null;
  #state = "consent";

  constructor() {
    $("where").textContent = LOCAL.includes(location.hostname) ? "on this computer" : `at ${location.host}`;
    $("agreed").addEventListener("change", () => this.#allowStart());
    $("alert-close").addEventListener("click", () => this.hideAlert());
    $("alert-retry").addEventListener("click", () => this.#retry?.());
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

  /** Shows what belongs to a state, and hides the rest. */
  go(state, { camera, startedBefore, photos }) {
    this.#state = state;
    document.body.dataset.state = state;
    document.title = camera ? "● Camera on – mien" : "mien";
    show("consent", state === "consent");
    show("work", state !== "consent");
    show("sign", camera);
    $("sign-text").textContent = state === "paused" ? "Camera on, paused" : "Camera on";
    show("pause", MOVING.includes(state));
    $("pause").textContent = { paused: "Go on", ended: "Play again" }[state] ?? "Pause";
    show("stop", camera);
    show("again", !camera);
    $("again").textContent = startedBefore ? "Start camera again" : "Start the camera";
    $("mirror").closest("label").hidden = !camera;
    if (!camera) show("cameras-label", false);
    show("photos", state === "photos" && photos > 1);
    show("badge", !camera && ["clip", "paused", "ended", "photos"].includes(state));
    $("snapshot").disabled = state === "off";
    this.#allowStart();
  }

  /** The camera is being started: once is enough. */
  starting() {
    $("start").disabled = true;
    $("again").disabled = true;
  }

  #allowStart() {
    $("start").disabled = !this.agreed;
    $("again").disabled = false;
  }

  focusConsent() {
    $("agreed").focus();
  }

  focusWork() {
    $("work").focus({ preventScroll: true });
  }

  /** The line over the picture: what is not as one might think, or that nobody is there. */
  note({ nobody, forLong, camera, startedBefore }) {
    const text =
      {
        off: startedBefore ? "The camera is off." : "",
        paused: camera ? "Paused. The camera is still on." : "Paused.",
        photos: nobody ? "No face in this photo." : "",
      }[this.#state] ?? (nobody && forLong ? "No face in view." : "");
    show("note", Boolean(text));
    write("note", text);
  }

  badge(text) {
    write("badge", text);
  }

  model(name) {
    write("model", `model ${name}`);
  }

  rows(count) {
    write("rows", String(count));
    $("download").disabled = count === 0;
  }

  figures({ fps, latencyMs }) {
    write("fps", fps ? fps.toFixed(0) : "–");
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

  showKeyForm(needed) {
    show("key-form", needed);
  }

  setLabelSets(labelSets, chosen) {
    $("labels").replaceChildren(...Object.keys(labelSets).map((name) => new Option(LABEL_SETS[name] ?? name, name)));
    $("labels").value = chosen;
  }

  /** A choice only where there is one. */
  setCameras(cameras, chosen) {
    $("cameras").replaceChildren(...cameras.map(({ id, name }) => new Option(name, id)));
    $("cameras").value = chosen;
    show("cameras-label", cameras.length > 1);
  }
}

function show(id, shown) {
  $(id).hidden = !shown;
}

function write(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}
