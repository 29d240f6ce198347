/** The addresses of the package's files. Bundlers find each by its literal text and copy the file. */

export const ASSETS: Record<string, () => URL> = {
  "mien-tiny.onnx": () => new URL("./mien-tiny.onnx", import.meta.url),
  "mien-tiny.json": () => new URL("./mien-tiny.json", import.meta.url),
  "mien-lite0.onnx": () => new URL("./mien-lite0.onnx", import.meta.url),
  "mien-lite0.json": () => new URL("./mien-lite0.json", import.meta.url),
  "blazeface-back.onnx": () => new URL("./blazeface-back.onnx", import.meta.url),
  "face-check.onnx": () => new URL("./face-check.onnx", import.meta.url),
  "facemesh.onnx": () => new URL("./facemesh.onnx", import.meta.url),
  "ort.wasm": () => new URL("./ort.wasm", import.meta.url),
};
