/** The worker: holds the models, so that the page stays responsive. */

import { Engine } from "./engine.js";
import { ImageError, UsageError } from "./errors.js";
import { fromRgba, type Pixels } from "./pixels.js";
import type { Reply, Request } from "./protocol.js";

let engine: Engine | null = null;
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

async function answer(request: Request): Promise<Reply> {
  const { id } = request;
  if (request.kind === "create") {
    engine = await Engine.create(request.files, request.options);
    return { id, faces: null, model: engine.card.name };
  }
  if (!engine) throw new UsageError("the analyzer is disposed. Create another one.");
  if (request.kind === "analyze") return { id, faces: await engine.analyze(toPixels(request.image)) };
  if (request.kind === "crops") return { id, faces: await engine.analyzeCrops(request.images.map(toPixels)) };
  await engine.dispose();
  engine = null;
  return { id, faces: null };
}

// One request at a time: a session of ONNX Runtime on WASM runs no two at once.
let last: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Request>) => {
  last = last.then(async () => {
    let reply: Reply;
    try {
      reply = await answer(data);
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      reply = { id: data.id, error: { name, message } };
    }
    self.postMessage(reply);
  });
};
