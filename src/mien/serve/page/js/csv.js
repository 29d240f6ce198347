/** What was seen, as rows of a table with the columns of `mien predict` for clips. In memory until saved. */

const MOST_ROWS = 500_000; // four hours of one face at 30 frames a second
const PLACE = ["source", "frame", "time_s", "face_id", "x", "y", "box_width", "box_height"];
const SAID = ["confidence", "detected", "top", "uncertain"];

export class CsvTable {
  #rows = [];

  get count() {
    return this.#rows.length;
  }

  /** Whether rows had to be left out. */
  get full() {
    return this.#rows.length >= MOST_ROWS;
  }

  /** Takes the faces of one picture; one without faces has a row without a face, so that it is counted. */
  add(source, frame, timeS, faces) {
    if (this.full) return;
    if (!faces.length) this.#rows.push({ source, frame, timeS, face: null });
    for (const face of faces) this.#rows.push({ source, frame, timeS, face });
  }

  clear() {
    this.#rows = [];
  }

  /** The table as CSV: a row a face and picture, each emotion smoothed and, behind it, raw. */
  csv() {
    const names = [...this.#names("emotions"), ...this.#names("abstentions")];
    const header = [...PLACE, ...SAID, ...names, ...names.map((name) => `raw_${name}`)];
    const lines = this.#rows.map(({ source, frame, timeS, face }) => {
      const at = [source, frame ?? "", timeS === null ? "" : timeS.toFixed(3)];
      if (!face) return [...at, ...Array(header.length - at.length).fill("")];
      const { x, y, width, height } = face.box;
      const box = [x, y, width, height].map((value) => value.toFixed(2));
      const confidence = face.confidence === null ? "" : face.confidence.toFixed(4);
      const said = [confidence, "True", face.top, face.uncertain ? "True" : "False"];
      const values = (emotions) => names.map((name) => (name in emotions ? emotions[name].toFixed(4) : ""));
      return [...at, face.id, ...box, ...said, ...values({ ...face.emotions, ...face.abstentions }), ...values(face.raw)];
    });
    return [header, ...lines].map((cells) => cells.map(quoted).join(",")).join("\n") + "\n";
  }

  /** All names that a part of any face has, in the order in which they came. */
  #names(part) {
    return [...new Set(this.#rows.flatMap(({ face }) => Object.keys(face?.[part] ?? {})))];
  }
}

/** A cell of CSV. A leading =, + or @ would run as a formula in a spreadsheet: names of files may begin so. */
function quoted(value) {
  const text = typeof value === "string" && /^[=+@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
