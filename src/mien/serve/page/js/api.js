/**
 * Where answers come from. The rest of the page knows this interface alone, so that something else can
 * stand in for the server, such as onnxruntime-web with the same models in the browser.
 *
 * @typedef {{x: number, y: number, width: number, height: number}} Box in pixels of the picture
 *
 * @typedef {object} Face
 * @property {number|null} id stays with a face from frame to frame; its number in a photo
 * @property {Box} box
 * @property {number|null} confidence of the detector, 0..1
 * @property {string} top the most probable emotion
 * @property {boolean} uncertain whether it should not be read as one emotion
 * @property {Object<string, number>} emotions name to probability, smoothed over time
 * @property {Object<string, number>} abstentions grounds to abstain, to their share of the votes
 * @property {Object<string, number>} raw emotions and abstentions of this frame alone
 *
 * @typedef {object} Prediction
 * @property {number} width of the picture that was read
 * @property {number} height
 * @property {Face[]} faces
 * @property {Box[]} unconfirmed where a face may be; to be hidden with the faces of others
 *
 * @typedef {object} About
 * @property {string} model
 * @property {string} labels the label set in use
 * @property {Object<string, string[]>} labelSets label set to its emotions
 * @property {number} pictures the most photos that can be asked about at once
 *
 * @typedef {object} Api
 * @property {() => Promise<About>} open
 * @property {(picture: HTMLCanvasElement, timeS: number) => Promise<Prediction>}
 * @property {(file: File) => Promise<Prediction>} analyzePhoto
 * @property {(labels: string) => void} setLabels from the next question on
 * @property {() => void} restart the next frame begins a new scene
 * @property {() => void} close
 */

/** Something went wrong; `code` is for programs, `message` for people. */
export class ApiError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const JPEG_QUALITY = 0.85;
const HEADER_BYTES = 12; // number (uint32) and time (float64), as mien.serve.stream reads them
const PATIENCE_MS = 10_000;

/** Api of the server that this page came from: frames over one WebSocket, photos over HTTP. */
export class ServerApi {
  #key = "";
  #labels = "";
  #socket = null;
  #opening = null;
  #number = 0;
  #waiting = new Map(); // number -> {resolve, reject, timer}

  /** @param {string} [key] the server's API key, where it asks for one */
  constructor(key = "") {
    this.#key = key;
  }

  /** What the server can do. Throws ApiError "key_needed" where the key is missing or wrong. */
  async open() {
    const about = await this.#fetch("/v1/about");
    this.#labels ||= about.labels;
    return {
      model: about.model,
      labels: this.#labels,
      labelSets: about.label_sets,
      pictures: about.limits.pictures,
    };
  }

  async predict(picture, timeS) {
    const [jpeg, socket] = await Promise.all([encode(picture), this.#connected()]);
    const number = this.#number++ >>> 0;
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, number);
    header.setFloat64(4, timeS);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#settle(number, "reject", new ApiError("no_answer", "The server has not answered for 10 s."));
      }, PATIENCE_MS);
      this.#waiting.set(number, { resolve, reject, timer });
      if (socket.readyState === WebSocket.OPEN) socket.send(new Blob([header, jpeg]));
      else this.#settle(number, "reject", lost());
    });
  }

  async analyzePhoto(file) {
    const form = new FormData();
    form.append("pictures", file, file.name);
    const labels = encodeURIComponent(this.#labels);
    const body = await this.#fetch(`/v1/analyze?labels=${labels}`, { method: "POST", body: form });
    const result = body.results[0];
    return {
      width: result.width,
      height: result.height,
      faces: result.faces.map((face, i) => ({ ...faceOf(face), id: i + 1, raw: { ...face.emotions, ...face.abstentions } })),
      unconfirmed: [],
    };
  }

  setLabels(labels) {
    this.#labels = labels;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ labels }));
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
      throw lost();
    }
    const body = await response.json();
    if (!response.ok) throw new ApiError(body.code, body.message);
    return body;
  }

  /** The open socket; one is opened where there is none. */
  #connected() {
    if (this.#socket?.readyState === WebSocket.OPEN) return Promise.resolve(this.#socket);
    this.#opening ??= new Promise((resolve, reject) => {
      const address = new URL("/v1/stream", location.href);
      address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      const protocols = ["mien.v1", ...(this.#key ? [`mien.key.${base64url(this.#key)}`] : [])];
      const socket = new WebSocket(address, protocols);
      let why = lost();
      socket.onopen = () => {
        this.#socket = socket;
        socket.send(JSON.stringify({ labels: this.#labels }));
        resolve(socket);
      };
      socket.onmessage = (event) => this.#onMessage(JSON.parse(event.data));
      socket.onclose = (event) => {
        if (event.reason) why = new ApiError("refused", event.reason);
        if (this.#socket === socket) this.#socket = null;
        this.#opening = null;
        reject(why);
        for (const number of [...this.#waiting.keys()]) this.#settle(number, "reject", why);
      };
    });
    return this.#opening.finally(() => {
      this.#opening = null;
    });
  }

  #onMessage(message) {
    if (message.type === "faces") {
      this.#settle(message.number, "resolve", {
        width: message.width,
        height: message.height,
        faces: message.faces.map((face) => ({
          ...faceOf(face),
          id: face.face_id,
          raw: { ...face.raw.emotions, ...face.raw.abstentions },
        })),
        unconfirmed: message.unconfirmed.map(boxOf),
      });
    } else if (message.type === "error" && message.number !== null) {
      this.#settle(message.number, "reject", new ApiError(message.code, message.message));
    }
  }

  #settle(number, how, value) {
    const waiting = this.#waiting.get(number);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(number);
    waiting[how](value);
  }
}

function faceOf({ box, confidence, top, uncertain, emotions, abstentions }) {
  return { box: boxOf(box), confidence, top, uncertain, emotions, abstentions };
}

function boxOf([x, y, width, height]) {
  return { x, y, width, height };
}

function encode(canvas) {
  return new Promise((resolve, reject) => {
    const done = (blob) => (blob ? resolve(blob) : reject(new ApiError("no_picture", "The frame is empty.")));
    canvas.toBlob(done, "image/jpeg", JPEG_QUALITY);
  });
}

function lost() {
  return new ApiError(
    "lost",
    "The server does not answer. See whether mien still runs in its terminal; start it again if not.",
  );
}

function base64url(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
