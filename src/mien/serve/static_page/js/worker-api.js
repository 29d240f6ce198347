/** The page's source of predictions without a server: mien-js in a worker. The interface is that of api.js. */

import { Analyzer } from "../mien-js/index.js";
import { ApiError } from "./api.js";
import { Tracks } from "./tracks.js";

const LABEL_SETS = { combined: "combined", fer2013: "fer2013", ferplus: "votes" };

export class WorkerApi {
  #models = [];
  #model = "";
  #labels = null; // null: the model's own
  #labelSets = {};
  #analyzer = null; // a promise; replaced once its successor is ready
  #loads = 0;
  #tracks = new Tracks();

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
    const faces = (await this.#analyze(image)).map(faceOf);
    const unconfirmed = this.#tracks.number(faces, timeS);
    return { width: image.width, height: image.height, faces, unconfirmed };
  }

  async predictStill(image) {
    const faces = (await this.#analyze(image)).map((face, i) => ({ ...faceOf(face), id: i + 1 }));
    return { width: image.width, height: image.height, faces, unconfirmed: [] };
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
    await this.#load(this.#model, labels in LABEL_SETS ? labels : undefined);
  }

  restart() {
    this.#tracks.restart();
  }

  close() {
    this.#loads += 1;
    dispose(this.#analyzer);
    this.#analyzer = null;
  }

  /** Makes an analyzer and then lets it replace the present one, unless another was wanted meanwhile. */
  async #load(model, labels) {
    const load = ++this.#loads;
    const next = Analyzer.create({ model: `models/${model}.onnx`, labels });
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

  async #analyze(image) {
    if (!this.#analyzer) throw new ApiError("no_model", "No model is loaded. Reload the page, or choose another model.");
    const used = this.#analyzer;
    try {
      return await (await used).analyze(image);
    } catch (error) {
      if (used !== this.#analyzer && this.#analyzer) return this.#analyze(image); // it was replaced meanwhile
      throw apiError(error);
    }
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
  const remedy = " This model is not kept on this device yet: connect to the network once, or choose another model.";
  return new ApiError(error.name, offline ? error.message.split(": ")[0] + "." + remedy : error.message);
}

function dispose(analyzer) {
  analyzer?.then(
    (one) => one.dispose(),
    () => {}, // it failed to load, which was reported then
  );
}

const namesOf = ({ labels, abstain }) => labels.filter((label) => !abstain.includes(label));

function faceOf({ box: [x, y, width, height], confidence, top, uncertain, emotions, abstentions, quality, warnings }) {
  const raw = { ...emotions, ...abstentions };
  return { id: null, box: { x, y, width, height }, confidence, top, uncertain, emotions, abstentions, quality, warnings, raw };
}
