/** The photos that were opened, one of them shown; buttons to choose another where there are several. */

export class PhotoStrip {
  #group;
  #photos = [];

  /** @param {HTMLElement} group takes the buttons */
  constructor(group) {
    this.#group = group;
    /** @type {(photo: {file: File, answer, picture: CanvasImageSource}) => void} */
    this.onpick = () => {};
  }

  get count() {
    return this.#photos.length;
  }

  files() {
    return this.#photos.map(({ file }) => file);
  }

  /** Takes a photo that was read; the first is shown. */
  add(photo) {
    this.#photos.push(photo);
    const button = document.createElement("button");
    button.type = "button";
    const count = photo.answer.faces.length;
    button.textContent = `${photo.file.name} (${count})`;
    button.title = `${photo.file.name}: ${count} ${count === 1 ? "face" : "faces"}`;
    button.addEventListener("click", () => this.#pick(photo, button));
    this.#group.append(button);
    this.#group.hidden = this.#photos.length < 2;
    if (this.#photos.length === 1) this.#pick(photo, button);
  }

  clear() {
    for (const { picture } of this.#photos) picture.close?.();
    this.#photos = [];
    this.#group.replaceChildren();
    this.#group.hidden = true;
  }

  #pick(photo, button) {
    for (const other of this.#group.children) other.setAttribute("aria-pressed", String(other === button));
    this.onpick(photo);
  }
}

/**
 * Several photos, one after the other; one that cannot be read is agreed and the others go on.
 *
 * @param {File[]} files
 * @param {import("./api.js").Api} answers
 * @param {(photo: {file: File, answer, picture: CanvasImageSource}) => void} take
 * @returns {Promise<string[]>} what went wrong
 */
export async function analyzePhotos(files, answers, take) {
  const failures = [];
  for (const file of files) {
    try {
      const answer = await answers.analyzePhoto(file);
      take({ file, answer, picture: await decode(file, answer) });
    } catch (error) {
      failures.push(error.message);
    }
  }
  return failures;
}

/** The photo's pixels, upright; black where the server knows a format that this browser does not. */
async function decode(file, { width, height }) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return Object.assign(document.createElement("canvas"), { width, height });
  }
}
