// The packages of benchmarks/web.mjs behind one form: `frame` of RGB bytes to emotions, `face` of a gray crop to
// one of FER2013's emotions. Runs in Node and in a page.

const SIDE = 48;
const FRAME = { width: 640, height: 480 };
const PLAIN = { fearful: "fear", disgusted: "disgust", surprised: "surprise" };

/** Loads a package and measures it. */
export async function measure(name, { place, base, peers, address, faces, frame, frames }) {
  const rgb = Uint8Array.from(frame);
  const crops = faces.map(({ gray }) => Uint8Array.from(gray.flatMap((value) => [value, value, value])));
  const started = performance.now();
  const open = { human, "face-api": faceApi }[name] ?? mien(name);
  const found = await open(place, base, peers, address);
  const first = await found.frame(rgb);
  const firstMs = performance.now() - started;
  if (!first) throw new Error(`${name} found no face in the frame`);
  if (crops.length) await found.face(crops[0]);
  const labels = [];
  const facesStarted = performance.now();
  for (const crop of crops) labels.push(await found.face(crop));
  const faceMs = (performance.now() - facesStarted) / crops.length;
  const framesStarted = performance.now();
  for (let i = 0; i < (crops.length ? frames : 0); i++) await found.frame(rgb);
  return { firstMs, faceMs, labels, frameMs: (performance.now() - framesStarted) / frames };
}

function image(place, rgb, width, height) {
  if (place === "node") return { width, height, data: rgb };
  const data = new ImageData(width, height);
  for (let from = 0, to = 0; to < data.data.length; to++) data.data[to] = to % 4 === 3 ? 255 : rgb[from++];
  return data;
}

const mien = (model) => async (place, base) => {
  const { Analyzer } = await import(`${base}web/dist/${place === "node" ? "node" : "index"}.js`);
  const analyzer = await Analyzer.create({ model, labels: "fer2013" });
  return {
    frame: async (rgb) => (await analyzer.analyze(image(place, rgb, FRAME.width, FRAME.height)))[0]?.top,
    face: async (rgb) => (await analyzer.analyzeCrops([image(place, rgb, SIDE, SIDE)]))[0].top,
  };
};

async function human(place, _, peers, address) {
  const root = `${peers}/node_modules/@vladmandic/human`;
  const loaded = await packageOf(place, root, "human");
  const Human = loaded.Human ?? loaded;
  const wasm = place === "node" ? `${peers}/node_modules/@tensorflow/tfjs-backend-wasm/dist/` : `/peers/node_modules/@tensorflow/tfjs-backend-wasm/dist/`;
  const off = { enabled: false };
  const instance = new Human({
    backend: "wasm",
    wasmPath: wasm,
    modelBasePath: `${address}/peers/node_modules/@vladmandic/human/models`, // it reads models by HTTP in Node, too
    cacheSensitivity: 0,
    filter: off,
    gesture: off,
    body: off,
    hand: off,
    object: off,
    face: { enabled: true, detector: { rotation: false }, mesh: off, iris: off, description: off, emotion: { enabled: true, minConfidence: 0 }, antispoof: off, liveness: off },
  });
  await instance.load();
  const { tf } = instance;
  const best = (result) => result.face[0]?.emotion?.[0]?.emotion;
  const detect = async (rgb, width, height) => {
    const tensor = tf.tensor(rgb, [1, height, width, 3], "float32");
    const result = await instance.detect(tensor);
    tf.dispose(tensor);
    return best(result);
  };
  const model = instance.models.models.emotion ?? instance.models.loaded?.().emotion;
  const names = EMOTIONS_OF_HUMAN;
  return {
    frame: (rgb) => detect(rgb, FRAME.width, FRAME.height),
    // What its emotion step does with the square of a face: resized, gray, -1..1.
    face: async (rgb) => {
      const output = tf.tidy(() => {
        const pixels = tf.div(tf.tensor(rgb, [1, SIDE, SIDE, 3], "float32"), 255);
        const side = model.inputs[0].shape[2];
        const gray = tf.sum(tf.mul(tf.image.resizeBilinear(pixels, [side, side]), [0.2989, 0.587, 0.114]), 3, true);
        return model.execute(tf.mul(tf.sub(gray, 0.5), 2));
      });
      const shares = await output.data();
      tf.dispose(output);
      return names[shares.indexOf(Math.max(...shares))];
    },
  };
}

const EMOTIONS_OF_HUMAN = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

async function faceApi(place, _, peers) {
  const root = `${peers}/node_modules/@vladmandic/face-api`;
  const api = await packageOf(place, root, "face-api");
  const { tf, nets } = api;
  const wasm = `${peers}/node_modules/@tensorflow/tfjs-backend-wasm/dist/`;
  if (place === "node") (await import(`${peers}/node_modules/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.node.js`)).default.setWasmPaths(wasm);
  else tf.setWasmPaths(wasm);
  await tf.setBackend("wasm");
  await tf.ready();
  const load = (net) => (place === "node" ? net.loadFromDisk(`${root}/model`) : net.loadFromUri(`${root}/model`));
  await load(nets.tinyFaceDetector);
  await load(nets.faceExpressionNet);
  const options = new api.TinyFaceDetectorOptions();
  const best = (expressions) => {
    const [{ expression }] = expressions.asSortedArray();
    return PLAIN[expression] ?? expression;
  };
  const with3d = async (rgb, width, height, work) => {
    const tensor = tf.tensor3d(rgb, [height, width, 3], "int32");
    const result = await work(tensor);
    tf.dispose(tensor);
    return result;
  };
  return {
    frame: (rgb) =>
      with3d(rgb, FRAME.width, FRAME.height, async (tensor) => {
        const found = await api.detectAllFaces(tensor, options).withFaceExpressions();
        return found[0] && best(found[0].expressions);
      }),
    face: (rgb) => with3d(rgb, SIDE, SIDE, async (tensor) => best(await nets.faceExpressionNet.predictExpressions(tensor))),
  };
}

async function packageOf(place, root, name) {
  const file = `${root}/dist/${name}.${place === "node" ? "node-wasm.js" : "esm.js"}`;
  const loaded = await import(file);
  return loaded.default ?? loaded;
}
