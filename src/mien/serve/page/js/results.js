/** The predictions in each of their forms: face list, timeline, table, screen reader. */

import { Announcer, summary } from "./announcer.js";
import { CsvTable } from "./csv.js";
import { FaceList } from "./face-list.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);

export class Results {
  #faces = new FaceList($("faces"), $("no-faces"));
  #timeline = new Timeline($("timeline"), $("legend"));
  #table = new CsvTable();
  #announcer = new Announcer($("announcer"));
  #source = "";
  #frame = 0;

  constructor() {
    /** @type {(id: number) => void} called when the user clicks "This is me" */
    this.onown = () => {};
    this.#faces.onown = (id) => this.onown(id);
  }

  /** The number of rows in the table. */
  get count() {
    return this.#table.count;
  }

  setNames(names) {
    this.#timeline.setNames(names);
  }

  /** Starts a new source of frames; `source` is its name in the table. */
  begin(source) {
    this.#source = source;
    this.#frame = 0;
    this.#timeline.clear();
  }

  /** Adds the faces of the source's next frame. */
  add(timeS, faces) {
    this.#table.add(this.#source, this.#frame, timeS, faces);
    this.#frame += 1;
    this.#timeline.add(timeS, faces);
    this.#announcer.update(faces);
  }

  addPhoto(name, faces) {
    this.#table.add(name, null, null, faces);
  }

  /** Lists the faces; null before the first prediction. */
  list(faces, { own, choose }) {
    this.#faces.update(faces, { own, choose });
  }

  announce(text) {
    this.#announcer.announce(text);
  }

  announceFaces(before, faces) {
    this.#announcer.announce(`${before} ${summary(faces)}`);
  }

  toBlob() {
    return new Blob([this.#table.csv()], { type: "text/csv;charset=utf-8" });
  }
}
