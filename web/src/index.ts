/** mien in the browser: the faces of an image and their apparent expression, computed in a worker. */

import { ASSETS } from "./assets.js";
import { ImageError, ModelError, restoreError, UsageError } from "./errors.js";
import type { EngineFiles, EngineOptions } from "./engine.js";
import type { Face } from "./face.js";
import { modelFiles, type AnalyzerOptions } from "./options.js";
import { fromRgba, type Pixels } from "./pixels.js";
import type { Reply, Request } from "./protocol.js";
import type { FrameResult, VideoOptions } from "./video.js";

export { CardError, ImageError, MienError, ModelError, UnknownModel, UsageError } from "./errors.js";
export { MODELS, type AnalyzerOptions } from "./options.js";
export type { Face } from "./face.js";
export type { Movements } from "./movements/measures.js";
export type { Quality } from "./quality.js";
export type { FrameResult, TrackedFace, VideoOptions } from "./video.js";

/** What `analyze` takes. */
export type ImageSource =
  | ImageBitmap
  | ImageData
  | Blob
  | HTMLImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement;

type Wanted = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;
interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/** One stream or clip: frames in, faces with persons' numbers out. */
export interface VideoAnalysis {
  /**
   * Takes the next frame and its time in seconds, the present if omitted; resolves to the results that are complete
   * by now: of a stream, that of this frame.
   */
  feed(source: ImageSource, timeS?: number): Promise<FrameResult[]>;
  /** Ends it; resolves to the results that were still waiting. */
  finish(): Promise<FrameResult[]>;
}

/** Finds the faces in images and predicts the expression of each; made once, used often. */
export class Analyzer {
  private readonly waiting = new Map<number, Waiting>();
  private requests = 0;
  private videos = 0;
  private broken: Error | null = null;
  /** The model's name, from its card. */
  readonly model: string = "";
  /** The threads that ONNX Runtime uses. */
  readonly threads: number = 1;

  private constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const one = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) one?.reject(restoreError(data.error.name, data.error.message));
      else one?.resolve(data.value);
    };
    worker.onerror = (event) => this.stop(new ModelError(`the worker stopped: ${event.message || "no reason given"}.`));
  }

  /**
   * Loads the models into a worker.
   * @throws UnknownModel neither a shipped name nor the address of an .onnx file.
   * @throws CardError, ModelError, UsageError as in Python; ModelError also if a file cannot be loaded.
   */
  static async create(options: AnalyzerOptions = {}): Promise<Analyzer> {
    const files = await load(options);
    const worker = options.assets
      ? new Worker(new URL("worker.js", folder(options.assets)), { type: "module" })
      : new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    const analyzer = new Analyzer(worker);
    const { labels, align, minFace, threshold, threads, movements } = options;
    const engine: EngineOptions = { labels, align, minFace, threshold, threads, movements };
    try {
      const transfer = [files.wasm, files.detector, files.faceCheck, files.model, ...(files.mesh ? [files.mesh] : [])];
      Object.assign(analyzer, await analyzer.send({ kind: "create", files, options: engine }, transfer));
    } catch (error) {
      worker.terminate();
      throw error;
    }
    return analyzer;
  }

  /**
   * The faces of an image, the largest first; an empty list where there is none.
   * @throws ImageError the image cannot be read.
   * @throws UsageError the analyzer is disposed.
   */
  async analyze(source: ImageSource): Promise<Face[]> {
    const image = await toImage(source);
    return this.send({ kind: "analyze", image }, transferable(image));
  }

  /** One face per image, each whole image treated as one cropped face; no face is searched for. */
  async analyzeCrops(sources: ImageSource[]): Promise<Face[]> {
    const images = await Promise.all(sources.map(toImage));
    return this.send({ kind: "crops", images }, images.flatMap(transferable));
  }

  /**
   * Frames of a stream or a clip, in which persons keep their numbers.
   * @throws UsageError an option out of range.
   */
  async openVideo(options: VideoOptions = {}): Promise<VideoAnalysis> {
    const video = this.videos++;
    await this.send({ kind: "open", video, options });
    return {
      feed: async (source, timeS = performance.now() / 1000) => {
        const image = await toImage(source);
        return this.send({ kind: "feed", video, image, timeS }, transferable(image));
      },
      finish: () => this.send({ kind: "finish", video }),
    };
  }

  /** Ends the worker and frees its memory; what is being analyzed is given up with an error. */
  dispose(): void {
    this.stop(new UsageError("the analyzer is disposed. Create another one."));
  }

  private stop(error: Error): void {
    this.broken ??= error;
    this.worker.terminate();
    for (const one of this.waiting.values()) one.reject(error);
    this.waiting.clear();
  }

  private send<T>(request: Wanted, transfer: Transferable[] = []): Promise<T> {
    if (this.broken) return Promise.reject(this.broken);
    const id = this.requests++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.worker.postMessage({ ...request, id }, transfer);
    });
  }
}

function folder(assets: string): URL {
  return new URL(assets.endsWith("/") ? assets : `${assets}/`, document.baseURI);
}

async function load({ model = "mien-tiny", assets, movements }: AnalyzerOptions): Promise<EngineFiles> {
  const names = modelFiles(model);
  const own = (name: string) => (assets ? new URL(name, folder(assets)) : ASSETS[name]());
  const address = (name: string) => (names.shipped ? own(name) : new URL(name, document.baseURI));
  const [wasm, detector, faceCheck, onnx, card, mesh] = await Promise.all([
    fetched(own("ort.wasm"), (reply) => reply.arrayBuffer()),
    fetched(own("blazeface-back.onnx"), (reply) => reply.arrayBuffer()),
    fetched(own("face-check.onnx"), (reply) => reply.arrayBuffer()),
    fetched(address(names.onnx), (reply) => reply.arrayBuffer()),
    fetched(address(names.card), (reply) => reply.json() as Promise<unknown>),
    movements ? fetched(own("facemesh.onnx"), (reply) => reply.arrayBuffer()) : undefined,
  ]);
  return { wasm, detector, faceCheck, mesh, model: onnx, card, cardName: names.card };
}

async function fetched<T>(url: URL, read: (reply: Response) => Promise<T>): Promise<T> {
  try {
    const reply = await fetch(url);
    if (!reply.ok) throw new Error(`the server replied ${reply.status}`);
    return await read(reply);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ModelError(`${url.href} cannot be loaded: ${why}. Serve the package's files there, or set 'assets'.`);
  }
}

async function toImage(source: ImageSource): Promise<ImageBitmap | Pixels> {
  if (typeof ImageData !== "undefined" && source instanceof ImageData) {
    return fromRgba(source.data as Uint8ClampedArray, source.width, source.height);
  }
  try {
    return await createImageBitmap(source as ImageBitmapSource);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ImageError(`the image cannot be read: ${why}`);
  }
}

function transferable(image: ImageBitmap | Pixels): Transferable[] {
  return ["close" in image ? image : (image.data.buffer as ArrayBuffer)];
}
