/** The models in ONNX Runtime and the steps from pixels to faces. Runs in a worker, or in Node. */

import * as ort from "onnxruntime-web/wasm";
import { brightened, faceSquare, sampleSquare, type Detection } from "./crop.js";
import { BlazeFace } from "./detector.js";
import { CardError, ModelError, UsageError } from "./errors.js";
import { readFace, type Face, type Outputs } from "./face.js";
import { CHECK_SIDE, FER2013_FRAMING, type Checks } from "./face-check.js";
import { qualityOf, withChecks, type Quality } from "./quality.js";
import { landmarksOf, SIDE as MESH_SIDE } from "./movements/facemesh.js";
import { movementsOf, type Movements } from "./movements/measures.js";
import { headOf, LABEL_SETS, readCard, softmax, type Card, type Head } from "./model.js";
import type { Pixels } from "./pixels.js";

export interface EngineFiles {
  wasm: ArrayBuffer;
  detector: ArrayBuffer;
  faceCheck: ArrayBuffer;
  /** The face mesh, if movements are requested. */
  mesh?: ArrayBuffer;
  model: ArrayBuffer;
  card: unknown;
  /** Where the card came from, for messages. */
  cardName: string;
}

export interface EngineOptions {
  labels?: string;
  align?: boolean;
  minFace?: number | null;
  threshold?: number;
  /** Measure the movements of each face; loads the face mesh, 2.5 MB. */
  movements?: boolean;
  /**
   * Threads of ONNX Runtime. If omitted, as many as the device has, up to 4, where the page is cross-origin isolated,
   * and one elsewhere and in Node.
   */
  threads?: number;
}

// The models are small: more threads wait for each other longer than they save.
const MOST_THREADS = 4;

export class Engine {
  private constructor(
    readonly card: Card,
    private readonly model: ort.InferenceSession,
    private readonly detectorSession: ort.InferenceSession,
    private readonly checkSession: ort.InferenceSession,
    private readonly mesh: ort.InferenceSession | null,
    private readonly options: EngineOptions,
  ) {
    this.detector = new BlazeFace(
      (image) => this.runDetector(image),
      (image, faces) => this.check(image, faces),
      options.threshold,
      options.minFace,
    );
  }

  private readonly detector: BlazeFace;

  /** The threads that ONNX Runtime uses. */
  get threads(): number {
    return ort.env.wasm.numThreads ?? 1;
  }

  /**
   * Opens the models.
   * @throws UsageError an option out of range.
   * @throws CardError the card describes other weights, or is none.
   * @throws ModelError ONNX Runtime cannot open a file.
   */
  static async create(files: EngineFiles, options: EngineOptions): Promise<Engine> {
    checkOptions(options);
    const card = readCard(files.card, files.cardName);
    await checkHash(files.model, card, files.cardName);
    ort.env.wasm.numThreads = threadsOf(options.threads);
    ort.env.wasm.wasmBinary = files.wasm;
    ort.env.logLevel = "error";
    const detector = await open(files.detector, "the detector");
    const faceCheck = await open(files.faceCheck, "the face check");
    const model = await open(files.model, `model '${card.name}'`);
    const mesh = files.mesh ? await open(files.mesh, "the face mesh") : null;
    return new Engine(card, model, detector, faceCheck, mesh, options);
  }

  /** The faces of an RGB image, the largest first. */
  async analyze(image: Pixels): Promise<Face[]> {
    const found = await this.detector.detectTurned(image);
    const detections = found.sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3]);
    const { crops, qualities } = await this.see(image, detections);
    const movements = await this.measure(image, detections);
    const boxes = detections.map((face) => face.box);
    return this.classify(crops, boxes, detections, qualities, movements);
  }

  /** One face per RGB image, each whole image treated as one cropped face. */
  async analyzeCrops(images: Pixels[]): Promise<Face[]> {
    if (this.mesh) {
      throw new UsageError("movements need detected faces, and cropped faces are not detected. Leave out one.");
    }
    const boxes = images.map(({ width, height }) => {
      const side = Math.min(width, height);
      return [(width - side) >> 1, (height - side) >> 1, side, side] as Detection["box"];
    });
    const size = this.card.input_size;
    const crops = images.map((image, i) => sampleSquare(image, boxes[i][0], boxes[i][1], boxes[i][2], size, true));
    return this.classify(crops, boxes, null);
  }

  /** The faces of a frame of a clip, the most confident first; frames are upright. */
  detect(image: Pixels): Promise<Detection[]> {
    return this.detector.detect(image);
  }

  /** The faces as the model gets them, and how well each can be seen. */
  async see(image: Pixels, faces: Detection[]): Promise<{ crops: Pixels[]; qualities: Quality[] }> {
    const squares = faces.map((face) => this.square(image, face));
    const checks = await this.check(image, faces);
    const qualities = faces.map((face, i) => qualityOf(face, squares[i], image, checks[i]));
    return { crops: squares.map(brightened), qualities };
  }

  /** The movements of each face, null for one without landmarks; empty if they are not requested. */
  async measure(image: Pixels, faces: Detection[]): Promise<(Movements | null)[]> {
    const found: (Movements | null)[] = [];
    if (!this.mesh) return found;
    for (const face of faces) {
      const landmarks = await landmarksOf((square) => this.runMesh(square), image, face);
      found.push(landmarks && movementsOf(landmarks));
    }
    return found;
  }

  /** The probabilities of all outputs of the network in one row per crop. */
  async rows(crops: Pixels[]): Promise<number[][]> {
    return (await this.outputs(crops)).map((outputs) => this.heads.flatMap(({ name }) => outputs[name]));
  }

  /** The face of a row of `rows`. */
  faceOf(row: number[], detection: Detection, quality: Quality, movements?: Movements | null): Face {
    const outputs: Outputs = {};
    let from = 0;
    for (const { name, labels } of this.heads) outputs[name] = row.slice(from, (from += labels.length));
    const limits = withChecks(this.card.limits);
    return readFace(outputs, this.head, detection.box, detection, quality, limits, movements);
  }

  /** Frees the memory of both models. */
  async dispose(): Promise<void> {
    await this.model.release();
    await this.detectorSession.release();
    await this.checkSession.release();
    await this.mesh?.release();
  }

  private async classify(
    crops: Pixels[],
    boxes: Detection["box"][],
    found: Detection[] | null,
    qualities: Quality[] = [],
    movements: (Movements | null)[] = [],
  ): Promise<Face[]> {
    const limits = withChecks(this.card.limits);
    return (await this.outputs(crops)).map((outputs, i) =>
      readFace(outputs, this.head, boxes[i], found && found[i], qualities[i] ?? null, limits, movements[i]),
    );
  }

  private square(image: Pixels, face: Detection): Pixels {
    return faceSquare(image, face, this.card.framing, this.card.input_size, this.options.align ?? false);
  }

  /** The head that predicts. */
  private get head(): Head {
    const { labels } = this.options;
    return headOf(this.card, labels === undefined ? this.card.default_head : LABEL_SETS[labels]);
  }

  /** The heads that are outputs of the network. */
  private get heads(): Head[] {
    return this.card.heads.filter((one) => !one.combination);
  }

  /** The probabilities of each output of the network, per crop. */
  private async outputs(crops: Pixels[]): Promise<Outputs[]> {
    if (!crops.length) return [];
    const size = this.card.input_size;
    const pixels = new Uint8Array(crops.length * size * size);
    crops.forEach((crop, i) => pixels.set(crop.data, i * size * size));
    const results = await run(
      this.model,
      { pixels: new ort.Tensor("uint8", pixels, [crops.length, size, size]) },
      `model '${this.card.name}'`,
    );
    return crops.map((_, i) => {
      const outputs: Outputs = {};
      for (const each of this.heads) {
        const n = each.labels.length;
        const logits = (results[each.name].data as Float32Array).subarray(i * n, (i + 1) * n);
        if (!logits.every(Number.isFinite)) {
          throw new ModelError(`model '${this.card.name}' gave NaN or infinity. Export it again.`);
        }
        outputs[each.name] = softmax(logits, each.temperature);
      }
      return outputs;
    });
  }

  private async check(image: Pixels, faces: Detection[]): Promise<Checks[]> {
    if (!faces.length) return [];
    const area = CHECK_SIDE * CHECK_SIDE;
    const crops = new Uint8Array(faces.length * area);
    faces.forEach((face, i) => crops.set(faceSquare(image, face, FER2013_FRAMING, CHECK_SIDE, false).data, i * area));
    const pixels = new ort.Tensor("uint8", crops, [faces.length, CHECK_SIDE, CHECK_SIDE]);
    const { checks } = await run(this.checkSession, { pixels }, "the face check");
    const scores = checks.data as Float32Array;
    return faces.map((_, i) => ({ face: scores[3 * i], covered: scores[3 * i + 1], moved: scores[3 * i + 2] }));
  }

  private async runMesh({ data }: Pixels) {
    if (!this.mesh) throw new UsageError("movements were not requested.");
    const image = new ort.Tensor("uint8", data, [1, MESH_SIDE, MESH_SIDE, 3]);
    const { landmarks, presence } = await run(this.mesh, { image }, "the face mesh");
    return { landmarks: landmarks.data as Float32Array, presence: (presence.data as Float32Array)[0] };
  }

  private async runDetector({ data, width, height }: Pixels) {
    const image = new ort.Tensor("uint8", data, [1, height, width, 3]);
    const { boxes, scores } = await run(this.detectorSession, { image }, "the detector");
    return { boxes: boxes.data as Float32Array, scores: scores.data as Float32Array };
  }
}

/** Only a page that is cross-origin isolated can share memory between threads. */
function threadsOf(wanted: number | undefined): number {
  if (!globalThis.crossOriginIsolated) return 1;
  return wanted ?? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1);
}

function checkOptions({ labels, minFace, threshold, threads }: EngineOptions): void {
  if (threads !== undefined && !(Number.isInteger(threads) && threads > 0)) {
    throw new UsageError(`threads must be 1 or more, not ${threads}.`);
  }
  if (labels !== undefined && !(labels in LABEL_SETS)) {
    throw new UsageError(`labels must be one of ${Object.keys(LABEL_SETS).join(", ")}, not '${labels}'.`);
  }
  if (threshold !== undefined && !(threshold >= 0 && threshold <= 1)) {
    throw new UsageError(`the detector's threshold must lie in 0..1, not ${threshold}.`);
  }
  if (minFace !== undefined && minFace !== null && !(minFace > 0)) {
    throw new UsageError(`minFace must be a number of pixels above 0, or null, not ${minFace}.`);
  }
}

/** Web Crypto exists only in secure contexts: on plain HTTP the hash is not compared. */
async function checkHash(model: ArrayBuffer, card: Card, cardName: string): Promise<void> {
  if (!globalThis.crypto?.subtle) return;
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", model));
  const found = Array.from(bytes, (value) => value.toString(16).padStart(2, "0")).join("");
  if (found !== card.sha256) {
    throw new CardError(
      `the weights are not the file that ${cardName} describes (SHA-256 ${found}, card ${card.sha256}). ` +
        "Install mien-js again, or export the model again.",
    );
  }
}

async function open(content: ArrayBuffer, name: string): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new ModelError(`ONNX Runtime cannot open ${name}: ${error}`);
  }
}

async function run(session: ort.InferenceSession, feeds: Record<string, ort.Tensor>, name: string) {
  try {
    return await session.run(feeds);
  } catch (error) {
    throw new ModelError(`${name} failed in ONNX Runtime: ${error}`);
  }
}
