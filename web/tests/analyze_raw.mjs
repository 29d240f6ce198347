// Reads a list of raw RGB images (JSON: file, width, height, crop) and prints the faces of each as JSON.
// usage: node analyze_raw.mjs MODEL LIST
import { readFileSync } from "node:fs";
import { Analyzer } from "../dist/node.js";

const [model, list] = process.argv.slice(2);
const entries = JSON.parse(readFileSync(list, "utf8"));
const analyzer = await Analyzer.create({ model });
const faces = [];
const started = performance.now();
for (const { file, width, height, crop } of entries) {
  const image = { width, height, data: new Uint8Array(readFileSync(file)) };
  faces.push(crop ? await analyzer.analyzeCrops([image]) : await analyzer.analyze(image));
}
console.log(JSON.stringify({ faces, ms: (performance.now() - started) / entries.length }));
await analyzer.dispose();
