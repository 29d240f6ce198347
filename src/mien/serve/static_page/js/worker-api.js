/** The page's source of predictions without a server: mien-js in a worker. The interface is that of api.js. */

import { Analyzer } from "../mien-js/index.js";
import { ApiError } from "./api.js";

const LABEL_SETS = { combined: "combined", fer2013: "fer2013", ferplus: "votes" };

export class WorkerApi {
  #models = [];
  #model = "";
  #labels = null; // null: the model's own
  #labelSets = {};
  #analyzer = null; // a promise; replaced once its successor is ready
  #loads = 0;
  #movements = false;
  #stream = null; // {of: an analyzer's promise, video: a promise of what tracks the persons}

  async open() {
    const settings = await (await fetched("settings.json")).json();
    this.#models = settings.models;
    this.#labels = settings.labels;
    return this.setModel(this.#model || this.#models[0]);
  }

  /** Loads a model; frames are analyzed by the one before until it is ready. */
  async setModel(model) {
    const card = await (await fetched(`models/${model}.json`)).json();
    const sets = Object.entries(LABEL_SETS).flatMap(([labels, name]) => {
      const head = card.heads.find((each) => each.name === name);
      return head ? [[labels, namesOf(head)]] : [];
    });
    const own = card.heads.find((each) => each.name === card.default_head);
    const known = sets.find(([labels]) => LABEL_SETS[labels] === own.name)?.[0];
    const labelSets = known ? Object.fromEntries(sets) : { [own.name]: namesOf(own) };
    const labels = this.#labels in labelSets ? this.#labels : (known ?? own.name);
    await this.#load(model, known ? labels : undefined);
    [this.#model, this.#labels, this.#labelSets] = [model, labels, labelSets];
    return { model, models: this.#models, labels, labelSets };
  }

  async predict(image, timeS) {
    const [result] = await this.#use(async (analyzer, used) => {
      if (this.#stream?.of !== used) this.#stream = { of: used, video: analyzer.openVideo() };
      return (await this.#stream.video).feed(image, timeS);
    });
    const { faces, others } = result;
    return { width: image.width, height: image.height, faces: faces.map(trackedOf), unconfirmed: others.map(boxOf) };
  }

  async predictStill(image) {
    const faces = await this.#use((analyzer) => analyzer.analyze(image));
    const numbered = faces.map((face, i) => ({ ...faceOf(face), id: i + 1 }));
    return { width: image.width, height: image.height, faces: numbered, unconfirmed: [] };
  }

  async analyzePhoto(file) {
    let image;
    try {
      image = await createImageBitmap(file, { imageOrientation: "from-image" });
    } catch {
      throw new ApiError("unreadable", `${file.name} cannot be read by this browser. Save it as JPEG or PNG.`);
    }
    const prediction = await this.predictStill(image);
    image.close();
    return prediction;
  }

  async setLabels(labels) {
    this.#labels = labels;
    await this.#load(this.#model, this.#sets(labels));
  }

  async setMovements(on) {
    const before = this.#movements;
    this.#movements = on;
    try {
      await this.#load(this.#model, this.#sets(this.#labels));
    } catch (error) {
      this.#movements = before;
      throw error;
    }
  }

  restart() {
    const video = this.#stream?.video;
    this.#stream = null;
    video?.then((one) => one.finish()).catch(() => {}); // its analyzer is gone, or was never there
  }

  close() {
    this.#loads += 1;
    this.#stream = null;
    dispose(this.#analyzer);
    this.#analyzer = null;
  }

  /** Makes an analyzer and then lets it replace the present one, unless another was wanted meanwhile. */
  async #load(model, labels) {
    const load = ++this.#loads;
    const next = Analyzer.create({ model: `models/${model}.onnx`, labels, movements: this.#movements });
    this.#analyzer ??= next; // photos that are opened early wait for it
    try {
      await next;
    } catch (error) {
      if (this.#analyzer === next) this.#analyzer = null;
      throw apiError(error);
    }
    if (load !== this.#loads) {
      if (this.#analyzer !== next) dispose(next);
      return;
    }
    if (this.#analyzer !== next) dispose(this.#analyzer);
    this.#analyzer = next;
  }

  /** Does something with the present analyzer; again with its successor if it was replaced meanwhile. */
  async #use(action) {
    if (!this.#analyzer) throw new ApiError("no_model", "No model is loaded. Reload the page, or choose another model.");
    const used = this.#analyzer;
    try {
      return await action(await used, used);
    } catch (error) {
      if (used !== this.#analyzer && this.#analyzer) return this.#use(action);
      throw apiError(error);
    }
  }

  #sets(labels) {
    return labels in LABEL_SETS ? labels : undefined;
  }
}

async function fetched(path) {
  try {
    const reply = await fetch(path);
    if (reply.ok) return reply;
    throw new Error(`the host replied ${reply.status}`);
  } catch (error) {
    throw new ApiError("not_loaded", `${path} cannot be loaded: ${error.message}. Check the connection, then try again.`);
  }
}

function apiError(error) {
  // What fetch reports without a network names no remedy that a visitor of the page has.
  const offline = /cannot be loaded/.test(error.message) && !navigator.onLine;
  const remedy = " It is not kept on this device yet: connect to the network once, or go on without it.";
  return new ApiError(error.name, offline ? error.message.split(": ")[0] + "." + remedy : error.message);
}

function dispose(analyzer) {
  analyzer?.then(
    (one) => one.dispose(),
    () => {}, // it failed to load, which was reported then
  );
}

const namesOf = ({ labels, abstain }) => labels.filter((label) => !abstain.includes(label));

function faceOf({ box, confidence, top, uncertain, emotions, abstentions, quality, warnings, movements }) {
  const raw = { ...emotions, ...abstentions };
  return { box: boxOf(box), confidence, top, uncertain, emotions, abstentions, quality, warnings, movements, raw };
}

function trackedOf({ face_id, change, raw, ...face }) {
  return { ...faceOf(face), id: face_id, change, raw: { ...raw.emotions, ...raw.abstentions } };
}

function boxOf([x, y, width, height]) {
  return { x, y, width, height };
}
