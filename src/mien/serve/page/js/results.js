/** What is said of the faces, in every form: the list, the timeline, the table, and aloud. */

import { Announcer, summary } from "./announcer.js";
import { FaceList } from "./face-list.js";
import { CsvTable } from "./csv.js";
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
    /** @type {(id: number) => void} called when somebody says "this is me" */
    this.onown = () => {};
    this.#faces.onown = (id) => this.onown(id);
  }

  /** How many rows the table has. */
  get count() {
    return this.#table.count;
  }

  setNames(names) {
    this.#timeline.setNames(names);
  }

  /** From now on frames are of another source; `source` is what the table calls it. */
  begin(source) {
    this.#source = source;
    this.#frame = 0;
    this.#timeline.clear();
  }

  /** Takes the faces of the source's next frame. */
  add(timeS, faces) {
    this.#table.add(this.#source, this.#frame, timeS, faces);
    this.#frame += 1;
    this.#timeline.add(timeS, faces);
    this.#announcer.update(faces);
  }

  addPhoto(name, faces) {
    this.#table.add(name, null, null, faces);
  }

  /** Lists the faces; null where nothing has been answered. */
  list(faces, { mine, choose }) {
    this.#faces.show(faces, { mine, choose });
  }

  announce(text) {
    this.#announcer.announce(text);
  }

  announceFaces(before, faces) {
    this.#announcer.announce(`${before} ${summary(faces)}`);
  }

  table() {
    return new Blob([this.#table.csv()], { type: "text/csv;charset=utf-8" });
  }
}
