/** The page's source of predictions without a server: mien-js in a worker. The interface is that of api.js. */

import { Analyzer } from "../mien-js/index.js";
import { ApiError } from "./api.js";

const LABEL_SETS = { combined: "combined", fer2013: "fer2013", ferplus: "votes" };
const SAME_FACE_IOU = 0.3;
const FORGET_S = 1;

export class WorkerApi {
  #model;
  #labels = "";
  #analyzer = null;
  #tracks = []; // {id, box, seen}: the faces of the last second
  #nextId = 1;

  constructor(model = "mien-tiny") {
    this.#model = model;
  }

  async open() {
    const reply = await fetch(`mien-js/${this.#model}.json`);
    const card = await reply.json();
    const sets = Object.entries(LABEL_SETS).flatMap(([labels, name]) => {
      const head = card.heads.find((each) => each.name === name);
      return head ? [[labels, head.labels.filter((label) => !head.abstain.includes(label))]] : [];
    });
    const first = Object.keys(LABEL_SETS).find((labels) => LABEL_SETS[labels] === card.default_head);
    this.#labels ||= first;
    this.#load();
    await this.#analyzer;
    return { model: card.name, labels: this.#labels, labelSets: Object.fromEntries(sets) };
  }

  async predict(image, timeS) {
    const faces = (await this.#analyze(image)).map(faceOf);
    this.#number(faces, timeS);
    return { width: image.width, height: image.height, faces, unconfirmed: [] };
  }

  async analyzePhoto(file) {
    let image;
    try {
      image = await createImageBitmap(file, { imageOrientation: "from-image" });
    } catch {
      throw new ApiError("unreadable", `${file.name} cannot be read by this browser. Save it as JPEG or PNG.`);
    }
    const { width, height } = image;
    const faces = (await this.#analyze(image)).map((face, i) => ({ ...faceOf(face), id: i + 1 }));
    image.close();
    return { width, height, faces, unconfirmed: [] };
  }

  setLabels(labels) {
    this.#labels = labels;
    this.#load();
  }

  restart() {
    this.#tracks = [];
  }

  close() {
    this.#analyzer?.then((analyzer) => analyzer.dispose());
    this.#analyzer = null;
  }

  #load() {
    this.close();
    this.#analyzer = Analyzer.create({ model: this.#model, labels: this.#labels });
  }

  async #analyze(image) {
    try {
      return await (await this.#analyzer).analyze(image);
    } catch (error) {
      throw new ApiError(error.name, error.message);
    }
  }

  /** Numbers each face as the one that it overlaps most in the frames before, within a second. */
  #number(faces, timeS) {
    const left = this.#tracks.filter(({ seen }) => timeS - seen <= FORGET_S && timeS >= seen);
    for (const face of faces) {
      const best = left.reduce((a, b) => (a && iou(a.box, face.box) >= iou(b.box, face.box) ? a : b), null);
      if (best && iou(best.box, face.box) > SAME_FACE_IOU) {
        face.id = best.id;
        left.splice(left.indexOf(best), 1);
      } else {
        face.id = this.#nextId++;
      }
    }
    this.#tracks = [...left, ...faces.map(({ id, box }) => ({ id, box, seen: timeS }))];
  }
}

function faceOf({ box: [x, y, width, height], confidence, top, uncertain, emotions, abstentions }) {
  const raw = { ...emotions, ...abstentions };
  return { id: null, box: { x, y, width, height }, confidence, top, uncertain, emotions, abstentions, raw };
}

function iou(a, b) {
  const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const tall = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  const shared = Math.max(wide, 0) * Math.max(tall, 0);
  return shared / (a.width * a.height + b.width * b.height - shared);
}
