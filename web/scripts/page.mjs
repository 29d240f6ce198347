// Writes the static page: the page of `mien live`, with answers from mien-js instead of a server.
// usage: node scripts/page.mjs FOLDER
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const web = join(dirname(fileURLToPath(import.meta.url)), "..");
const source = join(web, "../src/mien/serve/page");
const [folder] = process.argv.slice(2);
if (!folder) throw new Error("Name the folder to write to: node scripts/page.mjs FOLDER");
const out = resolve(folder);
if (!existsSync(join(web, "dist/index.js"))) throw new Error("web/dist is missing: run `npm run build` first.");

const PACKAGE = ["index.js", "worker.js", "ort.wasm", "blazeface-back.onnx", "mien-tiny.onnx", "mien-tiny.json"];
const POLICY = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "img-src 'self' blob: data:",
  "media-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

// The notice to people in front of the camera, as the server shows it.
const settings = readFileSync(join(web, "../src/mien/serve/settings.py"), "utf8");
const parts = /^NOTICE = \(\s*"([^"]*)"\s*"([^"]*)"\s*\)/m.exec(settings);
if (!parts) throw new Error("settings.py contains no NOTICE of two strings any more: change page.mjs.");
const notice = `<p class="notice" role="note">${parts[1]}${parts[2]}</p>`;

// Each text must be there: a page that changed is noticed here.
const CHANGES = [
  ['<meta charset="utf-8">', `<meta charset="utf-8">\n  <meta http-equiv="Content-Security-Policy" content="${POLICY}">`],
  ['href="/icon.svg"', 'href="icon.svg"'],
  ['src="/icon.svg"', 'src="icon.svg"'],
  ['href="/style.css">', 'href="style.css">\n  <link rel="manifest" href="manifest.webmanifest">'],
  ['src="/js/main.js"', 'src="js/main.js"'],
  [/Frames are sent to the mien program <strong id="where">on this computer<\/strong>, and nowhere else\./, 'Frames are analyzed <strong>in this browser</strong>; none leaves this device.'],
  ["<!-- notice -->", notice],
  [' <a href="/docs">API</a>', ""],
];
let html = readFileSync(join(source, "index.html"), "utf8");
for (const [from, to] of CHANGES) {
  const changed = html.replace(from, to);
  if (changed === html) throw new Error(`index.html does not contain ${from} any more: change page.mjs.`);
  html = changed;
}

mkdirSync(join(out, "mien-js"), { recursive: true });
cpSync(join(source, "js"), join(out, "js"), { recursive: true });
for (const name of ["style.css", "icon.svg"]) cpSync(join(source, name), join(out, name));
for (const name of ["main.js", "worker-api.js"]) cpSync(join(web, "page", name), join(out, "js", name));
for (const name of PACKAGE) cpSync(join(web, "dist", name), join(out, "mien-js", name));
writeFileSync(join(out, "index.html"), html);
const icons = [{ src: "icon.svg", sizes: "any", type: "image/svg+xml" }];
const manifest = { name: "mien", short_name: "mien", start_url: ".", display: "standalone", icons };
writeFileSync(join(out, "manifest.webmanifest"), JSON.stringify(manifest));

const modules = readdirSync(join(out, "js")).map((name) => `js/${name}`);
const kept = ["index.html", "style.css", "icon.svg", "manifest.webmanifest", ...modules];
kept.push(...PACKAGE.map((name) => `mien-js/${name}`));
const hash = createHash("sha256");
for (const name of kept) hash.update(readFileSync(join(out, name)));
const worker = readFileSync(join(web, "page/sw.js"), "utf8")
  .replace("{{version}}", `mien-${hash.digest("hex").slice(0, 12)}`)
  .replace("const FILES = [];", `const FILES = ${JSON.stringify([".", ...kept])};`);
writeFileSync(join(out, "sw.js"), worker);
