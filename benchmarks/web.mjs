// mien-js beside @vladmandic/human and @vladmandic/face-api, in Node and Chromium, all on WASM:
//
//     make web && node benchmarks/web.mjs fer2013.csv photo.jpg [--count 700] [--frames 20] [--peers FOLDER]
//
// The peers and playwright-core are installed in a temporary folder, or found in --peers. Each package is loaded
// three times in a fresh process or page: "first answer" is from the import to the first analyzed frame (the
// median, from a server on this machine), "load" what that fetched, gzipped. A frame is the photo cut to 640 by
// 480, decoded before. A face is one of PublicTest's, cropped already: only the emotion model runs. Each package
// reads frames with the detector and the steps that it needs for emotions, others are off. Chromium is
// MIEN_CHROMIUM, or /usr/bin/chromium. Prints a table in Markdown.
import { execFileSync, fork } from "node:child_process";
import { createReadStream, existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import os from "node:os";
import { join, normalize } from "node:path";
import readline from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PEERS = {
  "@vladmandic/human": "3.3.6",
  "@vladmandic/face-api": "1.7.15",
  "@tensorflow/tfjs": "4.22.0",
  "@tensorflow/tfjs-backend-wasm": "4.22.0",
  "playwright-core": "1.56.1",
};
const EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]; // FER2013's order
const LOADS = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: "string", default: "700" }, frames: { type: "string", default: "20" }, peers: { type: "string" } },
});

async function inNode({ name, faces, frame, frames, peers, address }) {
  const { measure } = await import(pathToFileURL(join(ROOT, "benchmarks/peers/web_packages.mjs")));
  const json = (path) => JSON.parse(readFileSync(path, "utf8"));
  return measure(name, { place: "node", base: ROOT, peers, address, faces: json(faces), frame: json(frame), frames });
}

async function main() {
  const [csv, photo] = positionals;
  if (!csv || !photo) throw new Error("usage: node benchmarks/web.mjs fer2013.csv photo.jpg [--count N]");
  const folder = mkdtempSync(join(os.tmpdir(), "web-peers-"));
  const peers = values.peers ?? install(folder);
  const { chromium } = await import(pathToFileURL(join(peers, "node_modules/playwright-core/index.mjs")));
  const browser = await chromium.launch({
    executablePath: process.env.MIEN_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
  const rows = await publicTest(csv, Number(values.count));
  const files = { faces: join(folder, "faces.json"), frame: join(folder, "frame.json"), none: join(folder, "none.json") };
  writeFileSync(files.faces, JSON.stringify(rows));
  writeFileSync(files.none, "[]");
  const server = await serve({ "/peers/": peers, "/root/": ROOT, "/files/": folder });
  const address = `http://127.0.0.1:${server.address().port}`;
  writeFileSync(files.frame, JSON.stringify(await decoded(browser, photo)));

  console.log(`${rows.length} faces of PublicTest, ${values.frames} frames; ${os.cpus()[0].model}, load ${os.loadavg()[0].toFixed(1)}\n`);
  console.log("| package | in | right, of n faces | ms per face | ms per frame | MB to load, gzipped | first answer, s |");
  console.log("|---|---|---|---|---|---|---|");
  for (const name of ["mien-tiny", "mien-lite0", "human", "face-api"]) {
    for (const place of ["node", "chromium"]) {
      const run = (faces) =>
        place === "node" ? forked(name, faces, files, peers, address) : inPage(browser, address, name, faces);
      const loads = [];
      for (let i = 0; i < LOADS - 1; i++) loads.push(await run("none"));
      const whole = await run("faces");
      const first = [...loads, whole].map((each) => each.firstMs).sort((a, b) => a - b)[(LOADS - 1) / 2];
      const right = rows.filter(({ label }, i) => EMOTIONS[label] === whole.labels[i]).length;
      const share = ((100 * right) / rows.length).toFixed(1);
      const cell = [name, place, `${share} %, ${rows.length}`, whole.faceMs.toFixed(1), whole.frameMs.toFixed(1)];
      const size = whole.bytes ? (whole.bytes / 1e6).toFixed(1) : "from disk";
      console.log(`| ${[...cell, size, (first / 1000).toFixed(2)].join(" | ")} |`);
    }
  }
  await browser.close();
  server.close();
}

function install(folder) {
  writeFileSync(join(folder, "package.json"), '{"private": true}');
  const packages = Object.entries(PEERS).map(([name, version]) => `${name}@${version}`);
  const options = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
  execFileSync("npm", [...options, ...packages], { cwd: folder, stdio: "inherit" });
  return folder;
}

/** The first faces of FER2013's PublicTest: label and 48 by 48 gray values. */
async function publicTest(path, count) {
  const rows = [];
  for await (const line of readline.createInterface({ input: createReadStream(path) })) {
    const [label, pixels, usage] = line.split(",");
    if (usage !== "PublicTest") continue;
    rows.push({ label: Number(label), gray: pixels.split(" ").map(Number) });
    if (rows.length === count) break;
  }
  return rows;
}

/** RGB bytes of a photo, cut to 640 by 480. Chromium decodes it. */
async function decoded(browser, photo) {
  const page = await browser.newPage();
  const url = `data:image/jpeg;base64,${readFileSync(photo).toString("base64")}`;
  const data = await page.evaluate(async (source) => {
    const image = await createImageBitmap(await (await fetch(source)).blob());
    const scale = Math.max(640 / image.width, 480 / image.height);
    const [width, height] = [640 / scale, 480 / scale];
    const canvas = new OffscreenCanvas(640, 480);
    const context = canvas.getContext("2d");
    context.drawImage(image, (image.width - width) / 2, 0, width, height, 0, 0, 640, 480);
    return Array.from(context.getImageData(0, 0, 640, 480).data).filter((_, i) => i % 4 !== 3);
  }, url);
  await page.close();
  return data;
}

function forked(name, faces, files, peers, address) {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    child.once("message", (result) => {
      child.kill();
      resolve(result);
    });
    child.once("exit", (code) => reject(new Error(`${name} in Node ended with ${code}`)));
    child.send({ name, faces: files[faces], frame: files.frame, frames: Number(values.frames), peers, address });
  });
}

async function inPage(browser, address, name, faces) {
  const context = await browser.newContext();
  const page = await context.newPage();
  let bytes = 0;
  const counted = [];
  page.on("response", (reply) => {
    const ours = !/\/files\/|web_packages|bench\.html/.test(reply.url());
    if (ours && reply.ok()) counted.push(reply.url());
  });
  await page.goto(`${address}/files/bench.html`);
  const task = { name, faces: `/files/${faces}.json`, frames: Number(values.frames) };
  const result = await page.evaluate(async (it) => {
    const { measure } = await import("/root/benchmarks/peers/web_packages.mjs");
    const json = async (path) => (await fetch(path)).json();
    const data = { faces: await json(it.faces), frame: await json("/files/frame.json"), frames: it.frames };
    return measure(it.name, { place: "chromium", base: "/root/", peers: "/peers", address: "", ...data });
  }, task);
  for (const url of new Set(counted)) bytes += gzipped(new URL(url).pathname);
  await context.close();
  return { ...result, bytes };
}

let roots = {};
const sizes = new Map();

function pathOf(url) {
  const prefix = Object.keys(roots).find((each) => url.startsWith(each));
  return prefix && join(roots[prefix], normalize(`/${url.slice(prefix.length)}`));
}

function gzipped(url) {
  if (!sizes.has(url)) sizes.set(url, gzipSync(readFileSync(pathOf(url)), { level: 9 }).length);
  return sizes.get(url);
}

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };

function serve(folders) {
  roots = folders;
  writeFileSync(join(folders["/files/"], "bench.html"), "<!doctype html><title>benchmark</title>");
  const server = createServer((request, reply) => {
    const path = pathOf(new URL(request.url, "http://127.0.0.1").pathname);
    if (!path || !existsSync(path) || !statSync(path).isFile()) return reply.writeHead(404).end();
    reply.writeHead(200, { "content-type": TYPES[/\.\w+$/.exec(path)?.[0]] ?? "application/octet-stream" });
    createReadStream(path).pipe(reply);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

if (process.send) process.on("message", (task) => inNode(task).then((result) => process.send(result)));
else await main();
