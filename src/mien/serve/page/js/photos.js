/** The opened photos, one of them shown; buttons to choose another if there are several. */

export class PhotoStrip {
  #group;
  #photos = [];

  /** @param {HTMLElement} group contains the buttons */
  constructor(group) {
    this.#group = group;
    /** @type {(photo: {file: File, prediction, ms: number, image: CanvasImageSource}) => void} */
    this.onchoose = () => {};
  }

  get count() {
    return this.#photos.length;
  }

  files() {
    return this.#photos.map(({ file }) => file);
  }

  /** Adds an analyzed photo; the first one is shown. */
  add(photo) {
    this.#photos.push(photo);
    const button = document.createElement("button");
    button.type = "button";
    const count = photo.prediction.faces.length;
    button.textContent = `${photo.file.name} (${count})`;
    button.title = `${photo.file.name}: ${count} ${count === 1 ? "face" : "faces"}`;
    button.addEventListener("click", () => this.#choose(photo, button));
    this.#group.append(button);
    this.#group.hidden = this.#photos.length < 2;
    if (this.#photos.length === 1) this.#choose(photo, button);
  }

  clear() {
    for (const { image } of this.#photos) image.close?.();
    this.#photos = [];
    this.#group.replaceChildren();
    this.#group.hidden = true;
  }

  #choose(photo, button) {
    for (const other of this.#group.children) other.setAttribute("aria-pressed", String(other === button));
    this.onchoose(photo);
  }
}

/**
 * Analyzes several photos, one after the other; a photo that fails does not stop the others.
 *
 * @param {File[]} files
 * @param {import("./api.js").Api} api
 * @param {(photo: {file: File, prediction, ms: number, image: CanvasImageSource}) => void} onPhoto
 * @returns {Promise<string[]>} the error messages
 */
export async function analyzePhotos(files, api, onPhoto) {
  const errors = [];
  for (const file of files) {
    try {
      const startMs = performance.now();
      const prediction = await api.analyzePhoto(file);
      const ms = performance.now() - startMs;
      onPhoto({ file, prediction, ms, image: await decode(file, prediction) });
    } catch (error) {
      errors.push(error.message);
    }
  }
  return errors;
}

/** The photo's pixels, upright; transparent if only the server can decode its format. */
async function decode(file, { width, height }) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return Object.assign(document.createElement("canvas"), { width, height });
  }
}
