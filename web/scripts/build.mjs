// Builds dist/: the modules, their types, the models and ONNX Runtime's WASM.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const web = join(dirname(fileURLToPath(import.meta.url)), "..");
const weights = join(web, "../src/mien/models/weights");
const dist = join(web, "dist");
const require = createRequire(import.meta.url);

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
// ONNX Runtime names files that are not beside the bundle, its WASM is handed over as bytes. Bundlers would look
// for them: a wrapped address is left alone by all.
const addresses = {
  name: "addresses",
  setup({ onLoad }) {
    onLoad({ filter: /ort\.wasm\.bundle\.min\.mjs$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      const contents = text.replaceAll(/(new \w+\("[^"]+",)import\.meta\.url\)/g, "$1String(import.meta.url))");
      if (contents === text) throw new Error(`${path} names no file any more: remove this step.`);
      return { contents, loader: "js" };
    });
  },
};
const shared = { bundle: true, format: "esm", target: "es2022", minify: true, keepNames: true, absWorkingDir: web, legalComments: "none", plugins: [addresses], loader: { ".npy": "binary", ".obj": "text" } };
await build({ ...shared, entryPoints: ["src/index.ts", "src/worker.ts"], outdir: dist, platform: "browser" });
await build({ ...shared, entryPoints: ["src/node.ts"], outdir: dist, platform: "node" });

// What running a model needs of its card; the rest are figures and how it was trained.
const NEEDED = ["format", "name", "heads", "default_head", "input_size", "framing", "limits", "sha256", "licence"];
for (const model of ["mien-tiny", "mien-lite0"]) {
  copyFileSync(join(weights, `${model}.onnx`), join(dist, `${model}.onnx`));
  const card = JSON.parse(readFileSync(join(weights, `${model}.json`), "utf8"));
  const kept = Object.fromEntries(NEEDED.map((key) => [key, card[key]]));
  writeFileSync(join(dist, `${model}.json`), `${JSON.stringify(kept)}\n`);
}
for (const file of ["blazeface-back.onnx", "face-check.onnx", "facemesh.onnx"]) {
  copyFileSync(join(weights, file), join(dist, file));
}
copyFileSync(require.resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"), join(dist, "ort.wasm"));
for (const file of ["LICENSE", "NOTICE"]) copyFileSync(join(web, "..", file), join(web, file));
execFileSync(process.execPath, [require.resolve("typescript/bin/tsc"), "-p", web], { stdio: "inherit" });

// For `mien page`, in the wheel: it adds the models, which the wheel has already.
const page = join(web, "../src/mien/serve/static_page/mien-js");
rmSync(page, { recursive: true, force: true });
mkdirSync(page);
for (const file of ["index.js", "worker.js", "ort.wasm"]) copyFileSync(join(dist, file), join(page, file));
