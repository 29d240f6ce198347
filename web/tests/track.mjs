// Runs the tracking modules on the cases of a file of JSON and prints what they give, for tests/web/test_web_tracking.py.
// usage: node track.mjs CASES
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const source = (name) => JSON.stringify(fileURLToPath(new URL(`../src/tracking/${name}.ts`, import.meta.url)));
const contents = ["assignment", "cuts", "people", "portrait", "smoothing", "tracker"].map((name) => `export * from ${source(name)};`).join("\n");
const outfile = join(tmpdir(), `mien-tracking-${process.pid}.mjs`);
await build({
  stdin: { contents, resolveDir: "." },
  outfile,
  bundle: true,
  format: "esm",
  target: "es2022",
  loader: { ".npy": "binary" },
});
const { alike, appearanceOf, assign, CausalSmoother, centred, likeness, People, portraitOf, SceneCounter, shrink, Tracker } =
  await import(pathToFileURL(outfile));
rmSync(outfile);

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));

const portraits = cases.portraits.map(({ crop, side, frame, width, height, box }) =>
  portraitOf(
    { width: side, height: side, channels: 1, data: bytes(crop) },
    { width, height, channels: 3, data: bytes(frame) },
    box,
  ),
);
const shrunk = cases.portraits.map(({ crop, side }) => shrink({ width: side, height: side, channels: 1, data: bytes(crop) }));

function tracked({ recognize, frames }) {
  const tracker = new Tracker(new People(recognize));
  const rows = frames.map(({ time_s, cut, faces }) => {
    const sightings = faces.map(({ box, look, detected }) => ({
      box,
      appearance: appearanceOf(shrunk[look]),
      portrait: detected ? portraits[look] : null,
    }));
    const tracks = tracker.update(time_s, sightings, cut);
    return {
      numbers: tracks.map(({ number }) => number),
      people: tracks.map(({ faceId }) => faceId),
      changes: tracks.map((track, i) => track.changeFromFirst(shrunk[faces[i].look])),
      unseen: [...tracker.unseen(time_s, 1)],
    };
  });
  tracker.finish();
  return { rows, ids: [...tracker.ids()] };
}

function smoothed({ times, rows, tau_s }) {
  const how = { tauS: tau_s, gapS: 0.5 };
  const causal = new CausalSmoother(how);
  return { centred: times.map((_, at) => centred(times, rows, at, how)), causal: times.map((time, i) => causal.step(time, rows[i])) };
}

function scenes({ levels, thumbnails }) {
  const counter = new SceneCounter(levels);
  return thumbnails.map((text) => counter.feed({ width: 32, height: 18, channels: 3, data: bytes(text) }));
}

console.log(
  JSON.stringify({
    assignments: cases.assignments.map(({ cost, limit }) => assign(cost.map((row) => row.map((value) => value ?? Infinity)), limit)),
    small: shrunk.map(({ data }) => [...data]),
    likeness: portraits.map((a) => portraits.map((b) => [alike(a, b), likeness(a, b)])),
    scenes: cases.cuts.map(scenes),
    smoothing: cases.smoothing.map(smoothed),
    tracks: cases.tracks.map(tracked),
  }),
);
