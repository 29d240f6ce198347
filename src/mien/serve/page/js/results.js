/** What is said of the faces, in every form: the list, the timeline, the table, and aloud. */

import { Announcer, summary } from "./announcer.js";
import { FaceList } from "./faces.js";
import { Recorder } from "./recorder.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);

export class Results {
  #faces = new FaceList($("faces"), $("no-faces"));
  #timeline = new Timeline($("timeline"), $("legend"));
  #recorder = new Recorder();
  #announcer = new Announcer($("announcer"));
  #source = "";
  #frame = 0;

  constructor() {
    /** @type {(id: number) => void} called when somebody says "this is me" */
    this.onmine = () => {};
    this.#faces.onmine = (id) => this.onmine(id);
  }

  /** How many rows the table has. */
  get count() {
    return this.#recorder.count;
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
    this.#recorder.add(this.#source, this.#frame, timeS, faces);
    this.#frame += 1;
    this.#timeline.add(timeS, faces);
    this.#announcer.tell(faces);
  }

  addPhoto(name, faces) {
    this.#recorder.add(name, null, null, faces);
  }

  /** Lists the faces; null where nothing has been answered. */
  list(faces, { mine, choose }) {
    this.#faces.show(faces, { mine, choose });
  }

  say(text) {
    this.#announcer.say(text);
  }

  sayFaces(before, faces) {
    this.#announcer.say(`${before} ${summary(faces)}`);
  }

  table() {
    return new Blob([this.#recorder.csv()], { type: "text/csv;charset=utf-8" });
  }
}
