/**
 * The source of predictions. The rest of the page uses this interface only, so that another source can
 * replace the server, such as onnxruntime-web with the same models in the browser.
 *
 * @typedef {{x: number, y: number, width: number, height: number}} Box in pixels of the image
 *
 * @typedef {object} Face
 * @property {number|null} id constant while a face is tracked; a running number in a photo
 * @property {Box} box
 * @property {number|null} confidence of the detector, 0..1
 * @property {string} top the most probable emotion
 * @property {boolean} uncertain whether it should not be read as one emotion
 * @property {Object<string, number>} emotions name to probability, smoothed over time
 * @property {Object<string, number>} abstentions reason to abstain to its share of the votes
 * @property {number} [change] gray levels by which the face differs from when it appeared; not for photos
 * @property {Object<string, number|null>} [quality] by name, as in `Face.quality` of Python
 * @property {Object<string, number>} raw emotions and abstentions of this frame alone
 * @property {Object<string, number|null>|null} [movements] by name; null without landmarks, undefined if not measured
 * @property {string[]} [warnings] why the face is hard to see, such as "blurred"
 *
 * @typedef {object} Prediction
 * @property {number} width of the analyzed image
 * @property {number} height
 * @property {Face[]} faces
 * @property {Box[]} unconfirmed where a face may be; blurred together with the faces of others
 *
 * @typedef {object} About
 * @property {string} model
 * @property {string[]} [models] those that `setModel` can choose from; none if omitted
 * @property {string} labels the label set in use
 * @property {Object<string, string[]>} labelSets label set to its emotions
 *
 * @typedef {object} Api
 * @property {() => Promise<About>} open
 * @property {(frame: HTMLCanvasElement, timeS: number) => Promise<Prediction>} predict for the next frame
 * @property {(frame: HTMLCanvasElement) => Promise<Prediction>} predictStill for a single frame of a paused clip
 * @property {(file: File) => Promise<Prediction>} analyzePhoto
 * @property {(labels: string) => void|Promise<void>} setLabels for the frames and photos that follow
 * @property {(on: boolean) => void|Promise<void>} setMovements measure movements of the frames and photos that follow
 * @property {(model: string) => Promise<About>} [setModel] only where `About.models` has several
 * @property {() => void} restart the next frame starts a new scene
 * @property {() => void} close
 */

/** A request that failed; `code` is for programs, `message` for people. */
export class ApiError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const JPEG_QUALITY = 0.85;
const HEADER_BYTES = 12; // frame number (uint32) and time (float64), as mien.serve.routes.stream unpacks them
const TIMEOUT_MS = 10_000;

/** The server that this page was loaded from: frames over one WebSocket, photos over HTTP. */
export class ServerApi {
  #key = "";
  #labels = "";
  #movements = false;
  #socket = null;
  #opening = null;
  #frame = 0;
  #pending = new Map(); // frame number -> {resolve, reject, timer}

  /** @param {string} [key] the server's API key, if it requires one */
  constructor(key = "") {
    this.#key = key;
  }

  /** The model and the label sets. Throws ApiError "api_key_required" if the key is missing or wrong. */
  async open() {
    const about = await this.#fetch("/v1/about");
    this.#labels ||= about.labels;
    return { model: about.model, labels: this.#labels, labelSets: about.label_sets };
  }

  async predict(image, timeS) {
    const [jpeg, socket] = await Promise.all([encode(image), this.#connected()]);
    const frame = this.#frame++ >>> 0;
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, frame);
    header.setFloat64(4, timeS);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#settle(frame, "reject", new ApiError("timeout", "The server did not respond for 10 seconds."));
      }, TIMEOUT_MS);
      this.#pending.set(frame, { resolve, reject, timer });
      if (socket.readyState === WebSocket.OPEN) socket.send(new Blob([header, jpeg]));
      else this.#settle(frame, "reject", connectionLost());
    });
  }

  async predictStill(image) {
    return this.analyzePhoto(new File([await encode(image)], "frame.jpg", { type: "image/jpeg" }));
  }

  async analyzePhoto(file) {
    const form = new FormData();
    form.append("images", file, file.name);
    const labels = encodeURIComponent(this.#labels);
    const movements = this.#movements ? "on" : "off";
    const body = await this.#fetch(`/v1/analyze?labels=${labels}&movements=${movements}`, { method: "POST", body: form });
    const { width, height, faces } = body.results[0];
    const numbered = faces.map((face, i) => ({
      ...faceOf(face),
      id: i + 1,
      raw: { ...face.emotions, ...face.abstentions },
    }));
    return { width, height, faces: numbered, unconfirmed: [] };
  }

  setLabels(labels) {
    this.#labels = labels;
    this.#sendSettings();
  }

  setMovements(on) {
    this.#movements = on;
    this.#sendSettings();
  }

  #sendSettings() {
    const settings = { labels: this.#labels, movements: this.#movements };
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(settings));
  }

  restart() {
    this.close();
  }

  close() {
    this.#socket?.close(1000);
    this.#socket = null;
    this.#opening = null;
  }

  async #fetch(path, options = {}) {
    const headers = this.#key ? { Authorization: `Bearer ${this.#key}` } : {};
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch {
      throw connectionLost();
    }
    const body = await response.json();
    if (!response.ok) throw new ApiError(body.code, body.message);
    return body;
  }

  /** The open socket; a new one is opened if there is none. */
  #connected() {
    if (this.#socket?.readyState === WebSocket.OPEN) return Promise.resolve(this.#socket);
    this.#opening ??= new Promise((resolve, reject) => {
      const address = new URL("/v1/stream", location.href);
      address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      const protocols = ["mien.v1", ...(this.#key ? [`mien.key.${base64url(this.#key)}`] : [])];
      const socket = new WebSocket(address, protocols);
      socket.onopen = () => {
        this.#socket = socket;
        this.#sendSettings();
        resolve(socket);
      };
      socket.onmessage = (event) => this.#onMessage(JSON.parse(event.data));
      socket.onclose = (event) => {
        const error = event.reason ? new ApiError("refused", event.reason) : connectionLost();
        if (this.#socket === socket) this.#socket = null;
        this.#opening = null;
        reject(error);
        for (const frame of [...this.#pending.keys()]) this.#settle(frame, "reject", error);
      };
    });
    return this.#opening.finally(() => {
      this.#opening = null;
    });
  }

  #onMessage(message) {
    if (message.type === "faces") {
      const { width, height } = message;
      const faces = message.faces.map((face) => ({
        ...faceOf(face),
        id: face.face_id,
        change: face.change,
        raw: { ...face.raw.emotions, ...face.raw.abstentions },
      }));
      const unconfirmed = message.unconfirmed.map(boxOf);
      this.#settle(message.frame, "resolve", { width, height, faces, unconfirmed });
    } else if (message.type === "error" && message.frame !== null) {
      this.#settle(message.frame, "reject", new ApiError(message.code, message.message));
    }
  }

  #settle(frame, how, value) {
    const pending = this.#pending.get(frame);
    if (!pending) return;
    clearTimeout(pending.timer);
    this.#pending.delete(frame);
    pending[how](value);
  }
}

function faceOf({ box, confidence, top, uncertain, emotions, abstentions, movements, warnings, quality }) {
  return { box: boxOf(box), confidence, top, uncertain, emotions, abstentions, movements, warnings, quality };
}

function boxOf([x, y, width, height]) {
  return { x, y, width, height };
}

function encode(canvas) {
  return new Promise((resolve, reject) => {
    const done = (blob) => (blob ? resolve(blob) : reject(new ApiError("empty_frame", "The frame is empty.")));
    canvas.toBlob(done, "image/jpeg", JPEG_QUALITY);
  });
}

function connectionLost() {
  return new ApiError(
    "connection_lost",
    "The server does not respond. Check whether mien is still running in its terminal; start it again if not.",
  );
}

function base64url(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
