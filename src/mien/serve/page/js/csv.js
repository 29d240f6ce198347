/** The results as a table with the columns of `mien predict` for clips. In memory until the user saves it. */

const MAX_ROWS = 500_000; // four hours of one face at 30 frames per second
const POSITION = ["source", "frame", "time_s", "face_id", "x", "y", "box_width", "box_height"];
const PREDICTION = ["confidence", "detected", "change", "top", "uncertain"];

// Valence is derived as FaceReader derives it: happy less the strongest of these.
const AGAINST_HAPPY = ["angry", "disgust", "fear", "sad"];

export class CsvTable {
  #parts = [[]]; // rows, or the results of a clip, which may still grow
  #count = 0; // of the rows

  get count() {
    return this.#parts.reduce((sum, part) => sum + (part.clip ? part.clip.rows : 0), this.#count);
  }

  /** Adds a clip; its rows are those of its results at the time of `csv`. */
  addClip(source, clip) {
    this.#parts.push({ source, clip }, []);
  }

  /** Adds the faces of one image; an image without faces has one row without a face. */
  add(source, frame, timeS, faces) {
    if (this.#count >= MAX_ROWS) return;
    const rows = rowsOf(source, frame, timeS, faces);
    this.#parts.at(-1).push(...rows);
    this.#count += rows.length;
  }

  /** The table as CSV: one row per face and frame, each emotion smoothed and then raw. */
  csv() {
    const rows = this.#rows();
    const names = [...namesIn(rows, "emotions"), ...namesIn(rows, "abstentions")];
    const derived = [...AGAINST_HAPPY, "happy"].every((name) => names.includes(name)) ? ["valence"] : [];
    const columns = names.map((name) => name.replaceAll(" ", "_"));
    const moved = namesIn(rows, "movements");
    const raw = columns.map((name) => `raw_${name}`);
    const header = [...POSITION, ...PREDICTION, ...columns, ...derived, ...moved, ...raw, "warnings"];
    const lines = rows.map(({ source, frame, timeS, face }) => {
      const position = [source, frame ?? "", timeS === null ? "" : timeS.toFixed(3)];
      if (!face) return [...position, ...Array(header.length - position.length).fill("")];
      const { x, y, width, height } = face.box;
      const box = [x, y, width, height].map((value) => value.toFixed(2));
      const confidence = face.confidence === null ? "" : face.confidence.toFixed(4);
      const change = face.change?.toFixed(2) ?? ""; // of a photo there is none
      const prediction = [confidence, "True", change, face.top, face.uncertain ? "True" : "False"];
      const values = (emotions) => names.map((name) => (name in emotions ? emotions[name].toFixed(4) : ""));
      const smoothed = values({ ...face.emotions, ...face.abstentions });
      const valence = derived.map(() => valenceOf(face.emotions));
      const movements = moved.map((name) => face.movements?.[name] ?? "");
      const why = (face.warnings ?? []).join("; ");
      const rest = [...smoothed, ...valence, ...movements, ...values(face.raw), why];
      return [...position, face.id, ...box, ...prediction, ...rest];
    });
    return [header, ...lines].map((cells) => cells.map(quoted).join(",")).join("\n") + "\n";
  }

  #rows() {
    const ofClip = ({ source, clip }) =>
      clip.frames.flatMap(({ timeS, prediction }, frame) => rowsOf(source, frame, timeS, prediction.faces));
    return this.#parts.flatMap((part) => (part.clip ? ofClip(part) : part));
  }
}

/** The rows of one image: one per face, or one without a face. */
function rowsOf(source, frame, timeS, faces) {
  return (faces.length ? faces : [null]).map((face) => ({ source, frame, timeS, face }));
}

/** All names in this field of any face, in order of appearance. */
function namesIn(rows, field) {
  return [...new Set(rows.flatMap(({ face }) => Object.keys(face?.[field] ?? {})))];
}

/** Happy less the strongest negative emotion; empty where an emotion is missing. */
function valenceOf(emotions) {
  const value = emotions.happy - Math.max(...AGAINST_HAPPY.map((name) => emotions[name]));
  return Number.isNaN(value) ? "" : value.toFixed(4);
}

/** A cell of CSV. A leading =, + or @ would run as a formula in a spreadsheet; file names may start so. */
function quoted(value) {
  const text = typeof value === "string" && /^[=+@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
