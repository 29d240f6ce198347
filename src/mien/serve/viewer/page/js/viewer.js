/** The page's state, and everything that keys and buttons do. */

import { ask } from "./dialogs.js";
import { ordered } from "./emotions.js";
import { describe, nameOf, showEntries } from "./entries.js";
import { FrameStore } from "./frame-store.js";
import { clock, Lanes } from "./lanes.js";
import { showPeople } from "./people.js";
import { Picture } from "./picture.js";
import { Player } from "./player.js";
import * as server from "./server.js";

const $ = (id) => document.getElementById(id);
const RATES = [0.25, 0.5, 1, 1.5, 2, 4];
const SHORTEST_VIEW_S = 1;
const PROGRESS_MS = 400;
const ROUNDING_S = 0.0005;

export class Viewer {
  #player = new Player($("video"));
  #picture = new Picture($("canvas"));
  #lanes = new Lanes($("timeline"));
  #study = null;
  #corrections = { entries: [], undo: {}, redo: {}, behind: [] };
  #clip = null; // of the study
  #data = null; // of the clip
  #store = null;
  #person = null;
  #stretch = {};
  #view = { fromS: 0, toS: 1 };
  #timelineRequest = 0;
  #opening = 0; // counts, so that a clip that was opened before is not shown any more
  #busy = false;
  #asked = false; // for drawing

  async start() {
    this.#player.onchange = () => this.#draw();
    this.#player.onnote = (text) => this.#note(text);
    this.#lanes.onpoint = (timeS, person) => {
      if (person !== null) this.select(person);
      if (timeS !== null) this.seek(timeS);
    };
    $("alert-close").addEventListener("click", () => ($("alert").hidden = true));
    $("clips").addEventListener("change", () => this.run(() => this.open($("clips").value)));
    new ResizeObserver(() => this.#guard(() => this.#loadTimeline())).observe($("lanes"));
    await this.run(async () => {
      this.#study = await server.study();
      this.#corrections = this.#study;
      $("clips").replaceChildren(...this.#study.clips.map(({ name }) => new Option(name)));
      document.title = `${this.#study.folder}: mien view`;
      if (!this.#study.clips.length) throw new Error("The study has no clip.");
      await this.open(this.#study.clips[0].name);
    });
  }

  /** Does what the user wants, and shows its error if it fails; the error of before is gone. */
  async run(action) {
    $("alert").hidden = true;
    await this.#guard(action);
  }

  async #guard(action) {
    try {
      await action();
    } catch (error) {
      this.#alert(error.message);
      if (!(error instanceof server.ServerError)) console.error(error);
    }
  }

  /** Shows a clip of the study. */
  async open(name) {
    this.#player.pause();
    this.#opening += 1;
    const opening = this.#opening;
    this.#clip = this.#study.clips.find((clip) => clip.name === name);
    $("clips").value = name;
    this.#data = null;
    this.#person = null;
    this.#stretch = {};
    const waiting = setInterval(() => this.#guard(() => this.#progress(name)), PROGRESS_MS);
    try {
      await this.#load();
    } finally {
      clearInterval(waiting);
    }
    if (opening !== this.#opening) return;
    this.#picture.setSize(this.#clip.size);
    this.#view = { fromS: this.#data.from_s, toS: this.#data.to_s };
    this.#person = this.#data.people[0]?.id ?? null;
    this.#note(null);
    this.#show();
    await this.#player.open(this.#clip, this.#data.from_s);
    if (this.#clip.error) this.#alert(`This clip was not read whole: ${this.#clip.error}`);
    await this.#loadTimeline();
  }

  // Time.

  playOrPause() {
    if (this.#player.playing) {
      this.#player.pause();
      return;
    }
    if (this.#player.timeS >= this.#data.to_s - ROUNDING_S) this.seek(this.#data.from_s);
    this.#player.play();
    this.#loop();
  }

  seek(timeS) {
    this.#player.pause();
    this.#player.seek(Math.min(this.#data.to_s, Math.max(this.#data.from_s, timeS)));
    this.#follow();
  }

  async step(frames) {
    this.#player.pause();
    const now = this.#player.timeS;
    const frame = frames > 0 ? await this.#store.next(now) : await this.#store.previous(now);
    if (frame) this.seek(frame.timeS);
  }

  async skip(seconds) {
    const frame = await this.#store.at(this.#player.timeS + seconds);
    this.seek(frame?.timeS ?? this.#data.from_s);
  }

  async goToEdge(side) {
    if (side < 0) this.seek(this.#data.from_s);
    else this.seek((await this.#store.at(this.#data.to_s))?.timeS ?? this.#data.to_s);
  }

  changeRate(steps) {
    const now = RATES.indexOf(this.#player.rate);
    const rate = RATES[Math.min(RATES.length - 1, Math.max(0, now + steps))];
    this.#player.setRate(rate);
    this.#announce(`Speed ${rate}`);
  }

  /** Shows a part of the time that is longer or shorter by a factor; all of it for null. */
  async zoom(factor) {
    const { from_s: fromS, to_s: toS } = this.#data;
    const now = this.#player.timeS;
    const length = factor === null ? toS - fromS : (this.#view.toS - this.#view.fromS) * factor;
    const shown = Math.min(toS - fromS, Math.max(SHORTEST_VIEW_S, length));
    const start = Math.min(toS - shown, Math.max(fromS, now - shown / 2));
    this.#view = { fromS: Math.max(0, start), toS: start + shown };
    await this.#loadTimeline();
  }

  /** Goes to the next event or uncertain stretch, and makes it the stretch. */
  jump(kind, direction) {
    const what = kind === "events" ? "event" : "uncertain stretch";
    const now = this.#player.timeS;
    const list = this.#data[kind];
    const found =
      direction > 0
        ? list.find(({ from_s: fromS }) => fromS > now + 2 * ROUNDING_S)
        : list.findLast(({ from_s: fromS }) => fromS < now - 2 * ROUNDING_S);
    if (!found) {
      this.#announce(`No ${what} ${direction > 0 ? "behind" : "before"} this time`, true);
      return;
    }
    this.#stretch = { fromS: found.from_s, toS: found.to_s };
    this.select(found.person);
    this.seek(found.from_s);
    const emotion = found.emotion ? `, ${found.emotion}` : "";
    this.#announce(`${what} of ${this.#name(found.person)}${emotion} at ${clock(found.from_s)}`);
  }

  async goToPerson() {
    this.seek(this.#selected().first_s);
  }

  // The person and the stretch.

  select(id) {
    this.#person = id;
    this.#show();
  }

  selectNext(direction) {
    const ids = this.#data.people.map(({ id }) => id);
    const place = ids.indexOf(this.#person) + direction;
    if (ids[place] === undefined) return;
    this.select(ids[place]);
    this.#announce(`${this.#name(ids[place])}`);
  }

  /** Sets an end of the stretch to the frame that is shown; the frame belongs to the stretch. */
  async setStretch(end) {
    const frame = await this.#store.at(this.#player.timeS);
    if (!frame) return;
    const timeS = end === "fromS" ? frame.timeS : ((await this.#store.next(frame.timeS))?.timeS ?? this.#data.to_s);
    this.#stretch = { ...this.#stretch, [end]: timeS };
    const { fromS, toS } = this.#stretch;
    if (fromS !== undefined && toS !== undefined && toS <= fromS) this.#stretch = { [end]: timeS };
    this.#show();
    this.#announce(`Stretch ${end === "fromS" ? "begins" : "ends"} at ${clock(timeS)}`);
  }

  clearStretch() {
    this.#stretch = {};
    this.#show();
  }

  // Corrections.

  async merge() {
    const person = this.#selected();
    const others = this.#data.people.filter(({ id }) => id !== person.id);
    if (!others.length) throw new server.ServerError("There is nobody else to merge with.");
    const answer = await ask({
      title: `Merge ${this.#name(person.id)}`,
      text: "Both numbers are one person. All of the faces get the number of the other one.",
      yes: "Merge",
      choice: { name: "into", options: others.map(({ id }) => [String(id), this.#name(id)]) },
    });
    if (answer) await this.#correct({ kind: "merge", people: [person.id], into: Number(answer.choice) }, Number(answer.choice));
  }

  async split() {
    const person = this.#selected();
    const frame = await this.#store.at(this.#player.timeS);
    const fresh = this.#freeNumber();
    await this.#correct({ kind: "split", person: person.id, at_s: frame?.timeS ?? 0, new: fresh }, fresh);
  }

  async rename() {
    const person = this.#selected();
    const answer = await ask({
      title: `Name of ${this.#name(person.id)}`,
      text: "Stands in all tables. Leave it empty for no name.",
      yes: "Rename",
      input: { name: "name", value: person.name ?? "" },
    });
    if (answer) await this.#correct({ kind: "rename", person: person.id, name: answer.input.trim() || null });
  }

  async mark() {
    const person = this.#selected();
    const stretch = this.#wholeStretch();
    const answer = await ask({
      title: `Emotion of ${this.#name(person.id)}`,
      text: `From ${clock(stretch.from_s)} to ${clock(stretch.to_s)}, whatever the model predicted.`,
      yes: "Set",
      choice: { name: "emotion", options: ordered(this.#data.labels).map((name) => [name, name]) },
    });
    if (answer) await this.#correct({ kind: "mark", person: person.id, emotion: answer.choice, ...stretch });
  }

  async exclude(all) {
    const person = all ? null : this.#selected().id;
    await this.#correct({ kind: "exclude", person, ...this.#wholeStretch() });
  }

  async undo(number = this.#corrections.undo[this.#clip.name]) {
    if (!number) throw new server.ServerError("There is no correction of this clip to undo.");
    await this.#correct({ kind: "undo", entry: number });
  }

  async redo() {
    const number = this.#corrections.redo[this.#clip.name];
    if (!number) throw new server.ServerError("There is nothing to redo.");
    await this.#correct({ kind: "undo", entry: number });
  }

  /** Writes all tables again. */
  async save() {
    if (this.#busy) return;
    this.#busy = true;
    $("save").disabled = true;
    $("saved").textContent = "Writing tables…";
    try {
      this.#corrections = await server.save();
      this.#announce("All tables are written");
    } finally {
      this.#busy = false;
      $("save").disabled = false;
      this.#show();
    }
  }

  async #correct(entry, selected = this.#person) {
    if (this.#busy) return;
    this.#busy = true;
    try {
      this.#corrections = await server.correct({ clip: this.#clip.name, ...entry });
      await this.#load();
      this.#person = this.#data.people.some(({ id }) => id === selected) ? selected : (this.#data.people[0]?.id ?? null);
      this.#announce(entry.kind === "undo" ? "Done" : describe(entry));
    } finally {
      this.#busy = false;
      this.#show();
    }
    await this.#loadTimeline();
  }

  #selected() {
    const person = this.#data.people.find(({ id }) => id === this.#person);
    if (!person) throw new server.ServerError("Select a person first: Up and Down, or a click.");
    return person;
  }

  #wholeStretch() {
    const { fromS, toS } = this.#stretch;
    if (fromS === undefined || toS === undefined) {
      throw new server.ServerError("Set a stretch first: I at its first frame, O at its last, or N and U to go to one.");
    }
    return { from_s: fromS, to_s: toS };
  }

  /** A number that nobody has, or had before a correction. */
  #freeNumber() {
    const mine = this.#corrections.entries.filter(({ clip }) => clip === this.#clip.name || clip === null);
    const used = mine.flatMap(({ person, into, new: fresh, people }) => [person, into, fresh, ...(people ?? [])]);
    return 1 + Math.max(0, ...this.#data.people.map(({ id }) => id), ...used.filter(Number.isInteger));
  }

  #name(id) {
    return nameOf(this.#data.people, id);
  }

  // Data.

  async #load() {
    const name = this.#clip.name;
    const data = await server.clip(name);
    if (this.#clip.name !== name) return;
    this.#data = data;
    this.#store = new FrameStore(name, data.labels);
    this.#lanes.setClip(data);
    await this.#store.at(this.#player.timeS);
  }

  async #progress(name) {
    const { frames, of, ready } = await server.loaded(name);
    if (ready || this.#data || this.#clip.name !== name) return;
    this.#note(`Reading the log: ${frames.toLocaleString("en")} of ${of?.toLocaleString("en") ?? "?"} frames`);
  }

  async #loadTimeline() {
    if (!this.#data || this.#data.to_s <= this.#data.from_s) return;
    this.#timelineRequest += 1;
    const request = this.#timelineRequest;
    const { fromS, toS } = this.#view;
    const data = await server.timeline(this.#clip.name, fromS, toS, Math.min(2000, Math.round(this.#lanes.pixels / 2)));
    if (request === this.#timelineRequest) this.#lanes.setData(data);
  }

  /** Moves the part of the time that is shown, so that the playhead is in it. */
  #follow() {
    const { fromS, toS } = this.#view;
    const now = this.#player.timeS;
    if (now >= fromS && now <= toS) return;
    const length = toS - fromS;
    const start = Math.min(this.#data.to_s - length, Math.max(this.#data.from_s, now - length / 10));
    this.#view = { fromS: Math.max(0, start), toS: start + length };
    void this.#guard(() => this.#loadTimeline());
  }

  // Drawing.

  #loop() {
    requestAnimationFrame(() => {
      if (!this.#player.playing) return;
      this.#player.tick(this.#data.to_s);
      this.#store.ahead(this.#player.timeS);
      this.#follow();
      this.#draw();
      this.#loop();
    });
  }

  /** Draws the frame and the playhead soon; once, however often it is called. */
  #draw() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      void this.#guard(() => this.#paint());
    });
  }

  async #paint() {
    if (!this.#data) return;
    const timeS = this.#player.timeS;
    const frame = this.#player.playing ? this.#store.known(timeS) : await this.#store.at(timeS);
    this.#picture.draw(this.#player.image, frame ?? null, this.#data.people, this.#person);
    this.#lanes.setState({ timeS, person: this.#person, stretch: this.#stretch });
    const rate = this.#player.rate === 1 ? "" : `, ${this.#player.rate}×`;
    $("clock").textContent = `${clock(timeS)} / ${clock(this.#data.to_s)}${frame ? `, frame ${frame.number}` : ""}${rate}`;
    $("play").textContent = this.#player.playing ? "Pause" : "Play";
  }

  /** Shows the state beside the frame. */
  #show() {
    if (!this.#data) return;
    const mine = this.#corrections.entries.filter(({ clip }) => clip === this.#clip.name || clip === null);
    showPeople($("people"), this.#data.people, this.#person, (id) => this.select(id));
    showEntries($("entries"), mine, (number) => this.run(() => this.undo(number)));
    this.#lanes.setExcluded(mine.filter((entry) => entry.kind === "exclude" && entry.in_effect));
    $("no-entries").hidden = mine.some(({ kind }) => kind !== "undo");
    $("undo").disabled = !this.#corrections.undo[this.#clip.name];
    $("redo").disabled = !this.#corrections.redo[this.#clip.name];
    for (const id of ["merge", "split", "rename", "mark", "exclude"]) $(id).disabled = this.#person === null;
    const { behind } = this.#corrections;
    if (!this.#busy) {
      const clips = behind.length === 1 ? "1 clip" : `${behind.length} clips`;
      const none = this.#corrections.entries.length === 0;
      const all = none ? "No corrections" : "Tables have all corrections";
      $("saved").textContent = behind.length ? `Tables of ${clips} lack corrections` : all;
      $("saved").classList.toggle("behind", behind.length > 0);
    }
    const { fromS, toS } = this.#stretch;
    const ends = [fromS, toS].map((end) => (end === undefined ? "…" : clock(end)));
    $("stretch").textContent =
      fromS === undefined && toS === undefined ? "No stretch. I and O set its ends." : `Stretch ${ends.join(" to ")}`;
    const names = ordered(this.#data.labels);
    $("legend").replaceChildren(...names.map(legendEntry));
    this.#draw();
  }

  #note(text) {
    $("note").hidden = !text;
    $("note").textContent = text ?? "";
  }

  #alert(text) {
    $("alert-text").textContent = text;
    $("alert").hidden = false;
  }

  #announce(text, visibly = false) {
    $("announcer").textContent = text;
    if (visibly) $("stretch").textContent = text;
  }
}

function legendEntry(name) {
  const item = document.createElement("li");
  const swatch = document.createElement("i");
  swatch.style.setProperty("--colour", `var(--${name}, var(--other))`);
  item.append(swatch, name);
  return item;
}
