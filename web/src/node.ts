/** mien in Node: the same analyzer without a worker. Images are decoded by the caller. */

import { readFile } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Engine } from "./engine.js";
import { ImageError, ModelError, UsageError } from "./errors.js";
import type { Face } from "./face.js";
import { modelFiles, type AnalyzerOptions } from "./options.js";
import { fromRgba, type Pixels } from "./pixels.js";
import { VideoPipeline, type FrameResult, type VideoOptions } from "./video.js";

export { CardError, ImageError, MienError, ModelError, UnknownModel, UsageError } from "./errors.js";
export { MODELS, type AnalyzerOptions } from "./options.js";
export type { Face } from "./face.js";
export type { Movements } from "./movements/measures.js";
export type { Quality } from "./quality.js";
export type { FrameResult, TrackedFace, VideoOptions } from "./video.js";

/** Decoded pixels: RGB or RGBA, row by row. */
export interface RawImage {
  width: number;
  height: number;
  data: Uint8Array | Uint8ClampedArray;
}

/** One stream or clip: frames in, faces with persons' numbers out. */
export interface VideoAnalysis {
  /** Takes the next frame and its time in seconds; resolves to the results that are complete by now. */
  feed(image: RawImage, timeS?: number): Promise<FrameResult[]>;
  /** Ends it; resolves to the results that were still waiting. */
  finish(): Promise<FrameResult[]>;
}

/** Finds the faces in images and predicts the expression of each; made once, used often. */
export class Analyzer {
  private last: Promise<unknown> = Promise.resolve();
  private disposed = false;

  private constructor(private readonly engine: Engine) {}

  /** The model's name, from its card. */
  get model(): string {
    return this.engine.card.name;
  }

  /** Loads the models. @throws UnknownModel, CardError, ModelError, UsageError as in the browser. */
  static async create(options: AnalyzerOptions = {}): Promise<Analyzer> {
    const names = modelFiles(options.model ?? "mien-tiny");
    const base = options.assets ? pathToFileURL(`${resolve(options.assets)}/`) : new URL("./", import.meta.url);
    const own = (name: string) => fileURLToPath(new URL(name, base));
    const path = (name: string) => (names.shipped ? own(name) : isAbsolute(name) ? name : resolve(name));
    const [wasm, detector, faceCheck, model, card] = await Promise.all(
      [own("ort.wasm"), own("blazeface-back.onnx"), own("face-check.onnx"), path(names.onnx), path(names.card)].map(bytes),
    );
    const mesh = options.movements ? await bytes(own("facemesh.onnx")) : undefined;
    const about = { card: JSON.parse(new TextDecoder().decode(card)), cardName: names.card };
    const files = { wasm, detector, faceCheck, mesh, model, ...about };
    return new Analyzer(await Engine.create(files, options));
  }

  /** The faces of an image, the largest first. @throws ImageError the bytes do not fit the size. */
  analyze(image: RawImage): Promise<Face[]> {
    return this.next(() => this.engine.analyze(toPixels(image)));
  }

  /** One face per image, each whole image treated as one cropped face. */
  analyzeCrops(images: RawImage[]): Promise<Face[]> {
    return this.next(() => this.engine.analyzeCrops(images.map(toPixels)));
  }

  /** Frames of a stream or a clip, in which persons keep their numbers. @throws UsageError an option out of range. */
  async openVideo(options: VideoOptions = {}): Promise<VideoAnalysis> {
    const video = new VideoPipeline(this.engine, options);
    let finished = false;
    const open = <T>(work: () => Promise<T>): Promise<T> => {
      if (finished) return Promise.reject(new UsageError("the video is finished. Open another one."));
      return this.next(work);
    };
    return {
      feed: (image, timeS = performance.now() / 1000) => open(() => video.feed(toPixels(image), timeS)),
      finish: () => {
        const rest = open(() => video.finish());
        finished = true;
        return rest;
      },
    };
  }

  /** Frees the memory of the models, once what is being analyzed is done. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    const done = this.next(() => this.engine.dispose());
    this.disposed = true;
    await done;
  }

  private next<T>(work: () => Promise<T>): Promise<T> {
    if (this.disposed) return Promise.reject(new UsageError("the analyzer is disposed. Create another one."));
    const result = this.last.then(work);
    this.last = result.catch(() => undefined); // the caller has the error; the next request does not
    return result;
  }
}

function toPixels({ width, height, data }: RawImage): Pixels {
  const n = width * height;
  if (data.length === 4 * n && n > 0) return fromRgba(data, width, height);
  if (data.length === 3 * n && n > 0) {
    return { width, height, channels: 3, data: new Uint8Array(data.buffer, data.byteOffset, data.length) };
  }
  throw new ImageError(`an image of ${width} by ${height} has RGB or RGBA bytes, not ${data.length} bytes.`);
}

async function bytes(path: string): Promise<ArrayBuffer> {
  try {
    const content = await readFile(path);
    return new Uint8Array(content).buffer;
  } catch (error) {
    throw new ModelError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
