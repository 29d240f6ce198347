// The same as analyze_raw.mjs in a page: pixels come as ImageData, through the worker.
import { Analyzer } from "./dist/index.js";

window.analyzeRaw = async (model) => {
  const entries = await (await fetch("list.json")).json();
  const analyzer = await Analyzer.create({ model });
  const faces = [];
  let ms = 0;
  for (const { name, width, height, crop } of entries) {
    const rgb = new Uint8Array(await (await fetch(name)).arrayBuffer());
    const image = new ImageData(width, height);
    for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
      image.data.set(rgb.subarray(from, from + 3), to);
      image.data[to + 3] = 255;
    }
    const started = performance.now();
    faces.push(crop ? await analyzer.analyzeCrops([image]) : await analyzer.analyze(image));
    ms += performance.now() - started;
  }
  analyzer.dispose();
  return { faces, ms: ms / entries.length };
};
