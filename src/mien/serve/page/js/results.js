/** The predictions in each of their forms: face list, timeline, events, table, screen reader. */

import { Announcer, summary } from "./announcer.js";
import { CsvTable } from "./csv.js";
import { EventList } from "./event-list.js";
import { findEvents } from "./events.js";
import { FaceList } from "./face-list.js";
import { Timeline } from "./timeline.js";

const EVENTS_MS = 700; // between two searches for events while a clip plays

const $ = (id) => document.getElementById(id);

export class Results {
  #faces = new FaceList($("faces"), $("no-faces"));
  #timeline = new Timeline($("timeline"), $("legend"));
  #events = new EventList($("events"), $("no-events"));
  #table = new CsvTable();
  #announcer = new Announcer($("announcer"));
  #source = "";
  #frame = 0;
  #clip = null; // the results of the last clip
  #searchedAt = 0;

  constructor() {
    /** @type {(id: number) => void} called when the user clicks "This is me" */
    this.onown = () => {};
    /** @type {(timeS: number) => void} called when the user chooses a time of the clip */
    this.onseek = () => {};
    this.#faces.onown = (id) => this.onown(id);
    this.#timeline.onchoose = (timeS) => this.onseek(timeS);
    this.#events.onchoose = (timeS) => this.onseek(timeS);
  }

  /** The number of rows in the table. */
  get count() {
    return this.#table.count;
  }

  setNames(names) {
    this.#timeline.setNames(names);
  }

  /** Starts a camera; `source` is its name in the table. */
  begin(source) {
    $("history-title").textContent = "The last minute";
    this.#source = source;
    this.#frame = 0;
    this.#timeline.clear();
  }

  /**
   * Starts a clip, or another analysis of it.
   *
   * @param {import("./clip-results.js").ClipResults} clip
   * @param {number|null} durationS
   */
  beginClip(source, clip, durationS) {
    $("history-title").textContent = "The clip";
    this.#clip = clip;
    this.#table.addClip(source, clip);
    this.#timeline.clear(durationS);
    this.#events.update([]);
  }

  /** Adds the faces of a camera's next frame to the table: as predicted, and as they are shown. */
  add(timeS, faces, shown) {
    this.#table.add(this.#source, this.#frame, timeS, faces);
    this.#frame += 1;
    this.addShown(timeS, shown);
  }

  /** Adds the faces that are shown for a frame. */
  addShown(timeS, shown) {
    this.#timeline.add(timeS, shown);
    this.#announcer.update(shown);
  }

  /** Shows where the clip is, and now and then its events: `atOnce` if they changed for another reason. */
  updateClip(timeS, shownOf, options, atOnce = false) {
    this.#timeline.setPosition(timeS);
    if (!atOnce && performance.now() - this.#searchedAt < EVENTS_MS) return;
    this.#searchedAt = performance.now();
    const frames = this.#clip.frames.map(({ timeS: at, prediction }) => ({ timeS: at, faces: shownOf(prediction) }));
    const events = findEvents(frames, options);
    this.#events.update(events);
    this.#timeline.setEvents(events);
  }

  /** Draws the clip's timeline again, as its faces are shown now. */
  redrawClip(durationS, shownOf) {
    this.#timeline.clear(durationS);
    for (const { timeS, prediction } of this.#clip.frames) this.#timeline.add(timeS, shownOf(prediction));
  }

  /** Starts photos, which have no timeline. */
  beginPhotos() {
    $("history-title").textContent = "Photos";
    this.#timeline.clear();
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
