/** What `Analyzer.create` takes, and which files it means. */

import { UnknownModel } from "./errors.js";
import type { EngineOptions } from "./engine.js";

/** The models that ship. */
export const MODELS = ["mien-tiny", "mien-lite0"] as const;

export interface AnalyzerOptions extends EngineOptions {
  /** A shipped name, or the address of an ONNX file with its card beside it; "mien-tiny" if omitted. */
  model?: string;
  /** The address of a folder with the package's `dist` files; the package's own if omitted. */
  assets?: string;
}

/** The names of a model's two files, or their addresses. */
export function modelFiles(model: string): { onnx: string; card: string; shipped: boolean } {
  if ((MODELS as readonly string[]).includes(model)) {
    return { onnx: `${model}.onnx`, card: `${model}.json`, shipped: true };
  }
  if (!model.endsWith(".onnx")) {
    throw new UnknownModel(
      `'${model}' is neither a model that ships (${MODELS.join(", ")}) nor the address of an .onnx file.`,
    );
  }
  return { onnx: model, card: model.replace(/\.onnx$/, ".json"), shipped: false };
}
