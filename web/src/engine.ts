/** The models in ONNX Runtime and the steps from pixels to faces. Runs in a worker, or in Node. */

import * as ort from "onnxruntime-web/wasm";
import { brightened, faceSquare, sampleSquare, type Detection } from "./crop.js";
import { BlazeFace } from "./detector.js";
import { CardError, ModelError, UsageError } from "./errors.js";
import { readFace, type Face } from "./face.js";
import { qualityOf, type Quality } from "./quality.js";
import { headOf, LABEL_SETS, readCard, softmax, type Card } from "./model.js";
import type { Pixels } from "./pixels.js";

export interface EngineFiles {
  wasm: ArrayBuffer;
  detector: ArrayBuffer;
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
}

export class Engine {
  private constructor(
    readonly card: Card,
    private readonly model: ort.InferenceSession,
    private readonly detectorSession: ort.InferenceSession,
    private readonly options: EngineOptions,
  ) {
    this.detector = new BlazeFace((image) => this.runDetector(image), options.threshold, options.minFace);
  }

  private readonly detector: BlazeFace;

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
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = files.wasm;
    ort.env.logLevel = "error";
    const detector = await open(files.detector, "the detector");
    const model = await open(files.model, `model '${card.name}'`);
    return new Engine(card, model, detector, options);
  }

  /** The faces of an RGB image, the largest first. */
  async analyze(image: Pixels): Promise<Face[]> {
    const found = await this.detector.detectTurned(image);
    const detections = found.sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3]);
    const { framing, input_size: size } = this.card;
    const squares = detections.map((face) => faceSquare(image, face, framing, size, this.options.align ?? false));
    const qualities = detections.map((face, i) => qualityOf(face, squares[i], image));
    return this.classify(squares.map(brightened), detections.map((face) => face.box), detections, qualities);
  }

  /** One face per RGB image, each whole image treated as one cropped face. */
  async analyzeCrops(images: Pixels[]): Promise<Face[]> {
    const boxes = images.map(({ width, height }) => {
      const side = Math.min(width, height);
      return [(width - side) >> 1, (height - side) >> 1, side, side] as Detection["box"];
    });
    const size = this.card.input_size;
    const crops = images.map((image, i) => sampleSquare(image, boxes[i][0], boxes[i][1], boxes[i][2], size, true));
    return this.classify(crops, boxes, null);
  }

  /** Frees the memory of both models. */
  async dispose(): Promise<void> {
    await this.model.release();
    await this.detectorSession.release();
  }

  private async classify(
    crops: Pixels[],
    boxes: Detection["box"][],
    found: Detection[] | null,
    qualities: Quality[] = [],
  ): Promise<Face[]> {
    if (!crops.length) return [];
    const { labels } = this.options;
    const head = headOf(this.card, labels === undefined ? this.card.default_head : LABEL_SETS[labels]);
    const size = this.card.input_size;
    const pixels = new Uint8Array(crops.length * size * size);
    crops.forEach((crop, i) => pixels.set(crop.data, i * size * size));
    const results = await run(
      this.model,
      { pixels: new ort.Tensor("uint8", pixels, [crops.length, size, size]) },
      `model '${this.card.name}'`,
    );
    return crops.map((_, i) => {
      const outputs: Record<string, number[]> = {};
      for (const each of this.card.heads.filter((one) => !one.combination)) {
        const n = each.labels.length;
        const logits = (results[each.name].data as Float32Array).subarray(i * n, (i + 1) * n);
        if (!logits.every(Number.isFinite)) {
          throw new ModelError(`model '${this.card.name}' gave NaN or infinity. Export it again.`);
        }
        outputs[each.name] = softmax(logits, each.temperature);
      }
      return readFace(outputs, head, boxes[i], found && found[i], qualities[i] ?? null, this.card.limits);
    });
  }

  private async runDetector({ data, width, height }: Pixels) {
    const image = new ort.Tensor("uint8", data, [1, height, width, 3]);
    const { boxes, scores } = await run(this.detectorSession, { image }, "the detector");
    return { boxes: boxes.data as Float32Array, scores: scores.data as Float32Array };
  }
}

function checkOptions({ labels, minFace, threshold }: EngineOptions): void {
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
