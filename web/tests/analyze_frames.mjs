// Analyzes raw RGB frames (JSON: model, options, frames of file, width, height, time_s) and prints the results of each.
// usage: node analyze_frames.mjs LIST
import { readFileSync } from "node:fs";
import { Analyzer } from "../dist/node.js";

const { model, runs, frames } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const analyzer = await Analyzer.create({ model });
const results = [];
for (const options of runs) {
  const video = await analyzer.openVideo(options);
  const done = [];
  for (const { file, width, height, time_s } of frames) {
    done.push(...(await video.feed({ width, height, data: new Uint8Array(readFileSync(file)) }, time_s)));
  }
  done.push(...(await video.finish()));
  results.push(done);
}
const late = await (await analyzer.openVideo()).finish();
await analyzer.dispose();
console.log(JSON.stringify({ results, late }));
