/**
 * The last minute of a camera, or a whole clip: one lane per face with its emotions stacked, empty while the face
 * was not visible.
 */

import { ordered, percent } from "./emotions.js";
import { clock } from "./video-file.js";

const SPAN_S = 60;
const GAP_S = 0.7; // longer between two predictions: the face was not visible
const MAX_LANES = 4;
const LANE_PX = 54;
const LANE_GAP_PX = 8;
const AXIS_PX = 22;
const LABEL_PX = 62;
const MARK_PX = 5;
const INTERVAL_MS = 100;

export class Timeline {
  #canvas;
  #legend;
  #lanes = new Map(); // id -> [{timeS, emotions}]
  #names = [];
  #nowS = 0;
  #clipS = null; // the length of a clip; null for a camera
  #events = [];
  #drawnAt = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} legend
   */
  constructor(canvas, legend) {
    this.#canvas = canvas;
    this.#legend = legend;
    /** @type {(timeS: number) => void} called when the user clicks a time of a clip */
    this.onchoose = () => {};
    canvas.addEventListener("click", ({ offsetX }) => {
      const share = (offsetX - LABEL_PX) / (canvas.clientWidth - LABEL_PX);
      if (this.#clipS !== null && share >= 0) this.onchoose(share * this.#clipS);
    });
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Sets the names of the emotions that follow; lanes with other names stay. */
  setNames(names) {
    this.#names = ordered(names);
    const entries = this.#names.map((name) => {
      const item = document.createElement("li");
      const swatch = document.createElement("i");
      swatch.style.setProperty("--colour", `var(--${name}, var(--other))`);
      item.append(swatch, name);
      return item;
    });
    this.#legend.replaceChildren(...entries);
  }

  add(timeS, faces) {
    this.#nowS = timeS;
    for (const face of faces) {
      if (!this.#lanes.has(face.id)) this.#lanes.set(face.id, []);
      const samples = this.#lanes.get(face.id);
      const after = samples.findLastIndex((sample) => sample.timeS <= timeS) + 1;
      samples.splice(after, 0, { timeS, emotions: face.emotions });
    }
    if (this.#clipS === null) this.#forget(timeS - SPAN_S);
    this.#drawSoon();
  }

  /** Shows where a clip is. */
  setPosition(timeS) {
    this.#nowS = timeS;
    this.#drawSoon();
  }

  /** Marks the beginnings of these events. */
  setEvents(events) {
    this.#events = events;
    this.draw();
  }

  /** Removes all; `clipS` is the length of the clip that follows, null for a camera or an unknown length. */
  clear(clipS = null) {
    this.#lanes.clear();
    this.#events = [];
    this.#nowS = 0;
    this.#clipS = clipS;
    this.#canvas.classList.toggle("seekable", clipS !== null);
    this.draw();
  }

  #forget(beforeS) {
    for (const [id, samples] of this.#lanes) {
      while (samples.length && samples[0].timeS < beforeS) samples.shift();
      if (!samples.length) this.#lanes.delete(id);
    }
  }

  #drawSoon() {
    if (performance.now() - this.#drawnAt >= INTERVAL_MS) this.draw();
  }

  /** Where a time is on the canvas. */
  #x(timeS, width) {
    const share = this.#clipS === null ? 1 - (this.#nowS - timeS) / SPAN_S : timeS / this.#clipS;
    return LABEL_PX + share * (width - LABEL_PX);
  }

  draw() {
    this.#drawnAt = performance.now();
    const lanes = this.#shown();
    const style = getComputedStyle(this.#canvas);
    const width = this.#canvas.clientWidth;
    const height = Math.max(1, lanes.length) * (LANE_PX + LANE_GAP_PX) + AXIS_PX;
    const ratio = window.devicePixelRatio || 1;
    this.#canvas.style.height = `${height}px`;
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(height * ratio);
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim() || style.getPropertyValue("--other").trim();
    context.font = `13px ${style.fontFamily}`;
    const rows = lanes.length ? lanes : [[null, []]];
    rows.forEach(([id, samples], i) => {
      const top = i * (LANE_PX + LANE_GAP_PX);
      context.fillStyle = style.getPropertyValue("--sunken");
      context.fillRect(LABEL_PX, top, width - LABEL_PX, LANE_PX);
      if (id === null) return;
      context.fillStyle = style.getPropertyValue("--quiet");
      context.textBaseline = "middle";
      context.textAlign = "left";
      context.fillText(`Face ${id}`, 0, top + LANE_PX / 2);
      this.#area(context, samples, top, width, colour);
      this.#marks(context, id, top, width, style.getPropertyValue("--ink"));
    });
    const quiet = style.getPropertyValue("--quiet");
    if (this.#clipS === null) axis(context, quiet, width, height - AXIS_PX + 4);
    else this.#clipAxis(context, quiet, style.getPropertyValue("--ink"), width, height - AXIS_PX);
    this.#describe(lanes);
  }

  /** The faces seen most recently, or in a clip those seen most often, by id. */
  #shown() {
    const often = (a, b) => b[1].length - a[1].length || a[0] - b[0];
    const recent = (a, b) => b[1].at(-1).timeS - a[1].at(-1).timeS || a[0] - b[0];
    const first = [...this.#lanes].sort(this.#clipS === null ? recent : often);
    return first.slice(0, MAX_LANES).sort((a, b) => a[0] - b[0]);
  }

  /** A triangle at the top of the lane where an event of the face begins. */
  #marks(context, id, top, width, ink) {
    context.fillStyle = ink;
    for (const { onsetS } of this.#events.filter((event) => event.id === id)) {
      const x = this.#x(onsetS, width);
      context.beginPath();
      context.moveTo(x - MARK_PX, top);
      context.lineTo(x + MARK_PX, top);
      context.lineTo(x, top + 1.5 * MARK_PX);
      context.fill();
    }
  }

  /** Times below the lanes, and a line where the clip is. */
  #clipAxis(context, quiet, ink, width, bottom) {
    context.fillStyle = quiet;
    context.textBaseline = "top";
    const parts = width < 480 ? 2 : 4;
    for (let i = 0; i <= parts; i += 1) {
      context.textAlign = i === 0 ? "left" : i === parts ? "right" : "center";
      const timeS = (this.#clipS * i) / parts;
      context.fillText(clock(timeS, this.#clipS < 10 ? 1 : 0), this.#x(timeS, width), bottom + 4);
    }
    context.fillStyle = ink;
    context.fillRect(Math.min(this.#x(this.#nowS, width), width - 2), 0, 2, bottom);
  }

  #area(context, samples, top, width, colour) {
    const x = (timeS) => this.#x(timeS, width);
    for (const segment of segments(samples)) {
      // One sample per pixel: a long clip has many times more.
      const run = segment.filter((sample, i) => i === 0 || Math.floor(x(sample.timeS)) > Math.floor(x(segment[i - 1].timeS)));
      let below = run.map(() => 0);
      // A face that was visible for one frame is one pixel wide.
      const left = x(run[0].timeS);
      const right = Math.max(x(run.at(-1).timeS), left + 1);
      const xs = run.map(({ timeS }, i) => (i === run.length - 1 ? right : x(timeS)));
      for (const name of ordered(Object.keys(run[0].emotions))) {
        const above = run.map(({ emotions }, i) => below[i] + (emotions[name] ?? 0));
        context.beginPath();
        xs.forEach((at, i) => context.lineTo(at, top + LANE_PX * (1 - above[i])));
        for (let i = xs.length - 1; i >= 0; i -= 1) context.lineTo(xs[i], top + LANE_PX * (1 - below[i]));
        context.closePath();
        context.fillStyle = colour(name);
        context.fill();
        below = above;
      }
    }
  }

  /** Describes the chart for screen readers. */
  #describe(lanes) {
    const parts = lanes.map(([id, samples]) => {
      const [name, share] = mostFrequent(samples);
      return `face ${id} mostly ${name}, ${percent(share)} of the time`;
    });
    const span = this.#clipS === null ? `The last ${SPAN_S} seconds` : "The clip so far";
    const text = parts.length ? `${span}: ${parts.join("; ")}.` : "No face so far.";
    if (this.#canvas.getAttribute("aria-label") !== text) this.#canvas.setAttribute("aria-label", text);
  }
}

/** The samples, split where the face was not visible or the label set changed. */
function segments(samples) {
  const parts = [];
  let names = "";
  for (const sample of samples) {
    const last = parts.at(-1)?.at(-1);
    const these = Object.keys(sample.emotions).join();
    if (last && sample.timeS - last.timeS <= GAP_S && these === names) parts.at(-1).push(sample);
    else parts.push([sample]);
    names = these;
  }
  return parts;
}

function mostFrequent(samples) {
  const counts = {};
  for (const { emotions } of samples) {
    const top = Object.keys(emotions).reduce((a, b) => (emotions[b] > emotions[a] ? b : a));
    counts[top] = (counts[top] ?? 0) + 1;
  }
  const name = Object.keys(counts).reduce((a, b) => (counts[b] > counts[a] ? b : a));
  return [name, counts[name] / samples.length];
}

function axis(context, colour, width, top) {
  context.fillStyle = colour;
  context.textBaseline = "top";
  const step = width < 480 ? 30 : 15;
  for (let ago = SPAN_S; ago >= 0; ago -= step) {
    const x = LABEL_PX + (1 - ago / SPAN_S) * (width - LABEL_PX);
    context.textAlign = ago === SPAN_S ? "left" : ago === 0 ? "right" : "center";
    context.fillText(ago ? `${ago} s ago` : "now", x, top);
  }
}
