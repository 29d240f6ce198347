/** The worker: holds the models, so that the page stays responsive. */

import { Engine } from "./engine.js";
import { ImageError, UsageError } from "./errors.js";
import { fromRgba, type Pixels } from "./pixels.js";
import type { Reply, Request } from "./protocol.js";
import { VideoPipeline } from "./video.js";

let engine: Engine | null = null;
const videos = new Map<number, VideoPipeline>();
let canvas: OffscreenCanvas | null = null;

function toPixels(image: ImageBitmap | Pixels): Pixels {
  if (!("close" in image)) return image;
  const { width, height } = image;
  canvas ??= new OffscreenCanvas(width, height);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new ImageError("this browser gives workers no 2D canvas; pass ImageData instead.");
  context.drawImage(image, 0, 0);
  image.close();
  return fromRgba(context.getImageData(0, 0, width, height).data, width, height);
}

async function answer(request: Request): Promise<unknown> {
  if (request.kind === "create") {
    engine = await Engine.create(request.files, request.options);
    return { model: engine.card.name, threads: engine.threads };
  }
  if (!engine) throw new UsageError("the analyzer has no model yet. Create it first.");
  if (request.kind === "analyze") return engine.analyze(toPixels(request.image));
  if (request.kind === "crops") return engine.analyzeCrops(request.images.map(toPixels));
  if (request.kind === "open") {
    videos.set(request.video, new VideoPipeline(engine, request.options));
    return null;
  }
  const video = videos.get(request.video);
  if (!video) throw new UsageError("the video is finished. Open another one.");
  if (request.kind === "feed") return video.feed(toPixels(request.image), request.timeS);
  videos.delete(request.video);
  return video.finish();
}

// One request at a time: a session of ONNX Runtime on WASM runs no two at once.
let last: Promise<void> = Promise.resolve();

function take({ data }: MessageEvent<Request>): void {
  last = last.then(async () => {
    let reply: Reply;
    try {
      reply = { id: data.id, value: await answer(data) };
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      reply = { id: data.id, error: { name, message } };
    }
    self.postMessage(reply);
  });
}

// ONNX Runtime starts this file again for each of its threads, under a name of its own, and listens there itself.
if (!self.name.startsWith("em-pthread")) self.onmessage = take;
