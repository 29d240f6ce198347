/** What the page and its worker send each other. */

import type { EngineFiles, EngineOptions } from "./engine.js";
import type { Face } from "./face.js";
import type { Pixels } from "./pixels.js";

export type Request =
  | { id: number; kind: "create"; files: EngineFiles; options: EngineOptions }
  | { id: number; kind: "analyze"; image: ImageBitmap | Pixels }
  | { id: number; kind: "crops"; images: (ImageBitmap | Pixels)[] }
  | { id: number; kind: "dispose" };

export type Reply =
  | { id: number; faces: Face[] | null; model?: string }
  | { id: number; error: { name: string; message: string } };
