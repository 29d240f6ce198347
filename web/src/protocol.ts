/** What the page and its worker send each other. */

import type { EngineFiles, EngineOptions } from "./engine.js";
import type { Pixels } from "./pixels.js";
import type { VideoOptions } from "./video.js";

/** `video` is the number that the page gave to a clip or stream. */
export type Request =
  | { id: number; kind: "create"; files: EngineFiles; options: EngineOptions }
  | { id: number; kind: "analyze"; image: ImageBitmap | Pixels }
  | { id: number; kind: "crops"; images: (ImageBitmap | Pixels)[] }
  | { id: number; kind: "open"; video: number; options: VideoOptions }
  | { id: number; kind: "feed"; video: number; image: ImageBitmap | Pixels; timeS: number }
  | { id: number; kind: "finish"; video: number };

/** `value` is what the method of `Analyzer` or `VideoAnalysis` resolves to; of "create", the model's name and the threads. */
export type Reply = { id: number; value: unknown } | { id: number; error: { name: string; message: string } };
