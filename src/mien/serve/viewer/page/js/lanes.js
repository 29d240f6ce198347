/** The timeline: one lane per person with the emotions stacked, the playhead, the stretch and the events. */

import { ordered } from "./emotions.js";

const LANE_PX = 36;
const GAP_PX = 10;
const AXIS_PX = 24;
const LABEL_PX = 112;
const UNCERTAIN_PX = 4;
const HATCH_PX = 7;
const STEPS_S = [0.04, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

export class Lanes {
  #canvas;
  #data = null; // of the server
  #view = { labels: [], people: [], events: [] };
  #excluded = []; // entries
  #state = { timeS: 0, person: null, stretch: {} };

  /** Called with a time when the user points at one, and with the person of the lane, or null. */
  onpoint = () => {};

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#point(event, true);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) this.#point(event, false);
    });
  }

  /** How many pixels the time has: as many bins are drawn. */
  get pixels() {
    return Math.max(50, this.#canvas.clientWidth - LABEL_PX);
  }

  setClip({ labels, people, events }) {
    this.#view = { labels, people, events };
  }

  /** Sets the entries whose stretches are hatched. */
  setExcluded(entries) {
    this.#excluded = entries;
  }

  setData(data) {
    this.#data = data;
    this.draw();
  }

  setState(state) {
    this.#state = { ...this.#state, ...state };
    this.draw();
  }

  draw() {
    const lanes = this.#data?.lanes ?? [];
    const width = this.#canvas.clientWidth;
    if (!width) return;
    const height = Math.max(1, lanes.length) * (LANE_PX + GAP_PX) + AXIS_PX + (this.#data?.hidden ? 20 : 0);
    const ratio = window.devicePixelRatio || 1;
    this.#canvas.style.height = `${height}px`;
    const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    if (this.#canvas.width !== size.width || this.#canvas.height !== size.height) Object.assign(this.#canvas, size);
    const context = this.#canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.#canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim() || style.getPropertyValue("--other").trim();
    context.font = `13px ${style.fontFamily}`;
    if (!this.#data) return;
    lanes.forEach((lane, i) => this.#lane(context, lane, AXIS_PX + i * (LANE_PX + GAP_PX), width, colour));
    this.#axis(context, width, colour);
    this.#marks(context, width, height, colour);
    if (this.#data.hidden) {
      context.fillStyle = colour("quiet");
      context.fillText(`and ${this.#data.hidden} people more, seen for less time here`, LABEL_PX, height - 6);
    }
    const text = lanes.map(({ id }) => this.#nameOf(id)).join(", ");
    this.#canvas.setAttribute("aria-label", text ? `Expressions over time of ${text}` : "Nobody is seen here");
  }

  #x(timeS) {
    const { from_s: fromS, to_s: toS } = this.#data;
    return LABEL_PX + ((timeS - fromS) / (toS - fromS)) * this.pixels;
  }

  #nameOf(id) {
    return this.#view.people.find((person) => person.id === id)?.name ?? `person ${id}`;
  }

  #lane(context, { id, bins }, top, width, colour) {
    const selected = id === this.#state.person;
    context.fillStyle = colour("sunken");
    context.fillRect(LABEL_PX, top, width - LABEL_PX, LANE_PX);
    context.fillStyle = colour(selected ? "accent" : "quiet");
    if (selected) context.fillRect(0, top, 4, LANE_PX);
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillText(short(context, this.#nameOf(id), LABEL_PX - 18), 10, top + LANE_PX / 2);
    const names = ordered(this.#view.labels);
    const places = names.map((name) => 3 + this.#view.labels.indexOf(name));
    const step = this.pixels / this.#data.bins;
    for (const bin of bins) {
      const x = LABEL_PX + bin[0] * step;
      let below = 0;
      names.forEach((name, i) => {
        const share = bin[places[i]];
        context.fillStyle = colour(name);
        context.fillRect(x, top + LANE_PX * (1 - below - share), step + 0.6, LANE_PX * share + 0.3);
        below += share;
      });
      if (bin[1] > 0.5) {
        context.fillStyle = colour("ink");
        context.fillRect(x, top + LANE_PX + 1, step + 0.6, UNCERTAIN_PX);
      }
      if (bin[2] > 0.5) {
        context.fillStyle = colour("accent");
        context.fillRect(x, top - 4, step + 0.6, 3);
      }
    }
    for (const entry of this.#excluded) {
      if (entry.person === null || entry.person === id) this.#hatch(context, entry, top, width, colour("quiet"));
    }
    context.fillStyle = colour("ink");
    for (const event of this.#view.events) {
      const x = this.#x(event.from_s);
      if (event.person === id && x >= LABEL_PX && x <= width) triangle(context, x, top);
    }
  }

  #hatch(context, entry, top, width, colour) {
    const left = Math.max(LABEL_PX, this.#x(entry.from_s));
    const right = Math.min(width, this.#x(entry.to_s));
    if (right <= left) return;
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, LANE_PX);
    context.clip();
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.beginPath();
    for (let x = left - LANE_PX; x < right; x += HATCH_PX) {
      context.moveTo(x, top + LANE_PX);
      context.lineTo(x + LANE_PX, top);
    }
    context.stroke();
    context.restore();
  }

  #axis(context, width, colour) {
    const { from_s: fromS, to_s: toS } = this.#data;
    const step = STEPS_S.find((each) => (each / (toS - fromS)) * this.pixels >= 74) ?? STEPS_S.at(-1);
    context.fillStyle = colour("quiet");
    context.textBaseline = "top";
    context.textAlign = "center";
    for (let i = Math.ceil(fromS / step); i * step <= toS; i += 1) {
      const x = this.#x(i * step);
      if (x < LABEL_PX + 12 || x > width - 20) continue;
      context.fillText(axisTime(i * step, step), x, 2);
      context.fillRect(x, AXIS_PX - 6, 1, 4);
    }
  }

  #marks(context, width, height, colour) {
    const { timeS, stretch } = this.#state;
    const clamp = (x) => Math.min(width, Math.max(LABEL_PX, x));
    if (stretch.fromS !== undefined || stretch.toS !== undefined) {
      const left = clamp(this.#x(stretch.fromS ?? stretch.toS));
      const right = clamp(this.#x(stretch.toS ?? stretch.fromS));
      context.fillStyle = colour("accent");
      context.globalAlpha = 0.18;
      context.fillRect(left, AXIS_PX - 4, right - left, height - AXIS_PX);
      context.globalAlpha = 1;
      for (const x of [left, right]) context.fillRect(x - 1, AXIS_PX - 4, 2, height - AXIS_PX);
    }
    const x = this.#x(timeS);
    if (x < LABEL_PX - 1 || x > width + 1) return;
    context.fillStyle = colour("lamp");
    context.fillRect(x - 1, AXIS_PX - 8, 2, height - AXIS_PX + 8);
    context.beginPath();
    context.arc(x, AXIS_PX - 8, 4, 0, 2 * Math.PI);
    context.fill();
  }

  #point(event, first) {
    if (!this.#data) return;
    const box = this.#canvas.getBoundingClientRect();
    const { from_s: fromS, to_s: toS } = this.#data;
    const share = (event.clientX - box.left - LABEL_PX) / this.pixels;
    const lane = this.#data.lanes[Math.floor((event.clientY - box.top - AXIS_PX) / (LANE_PX + GAP_PX))];
    const person = first ? (lane?.id ?? null) : null;
    const inside = share >= 0 || !first;
    this.onpoint(inside ? fromS + Math.min(1, Math.max(0, share)) * (toS - fromS) : null, person);
  }
}

/** A time as m:ss.hh, or h:mm:ss.hh. */
export function clock(timeS) {
  const hundredths = Math.floor(timeS * 100 + 1e-6);
  const seconds = Math.floor(hundredths / 100);
  const rest = [seconds % 60, hundredths % 100].map((value) => String(value).padStart(2, "0")).join(".");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

function axisTime(timeS, step) {
  const text = clock(timeS + 0.001);
  return step < 1 ? text : text.slice(0, text.indexOf("."));
}

function triangle(context, x, top) {
  context.beginPath();
  context.moveTo(x - 4, top - 7);
  context.lineTo(x + 4, top - 7);
  context.lineTo(x, top);
  context.closePath();
  context.fill();
}

function short(context, text, most) {
  let shown = text;
  while (shown.length > 1 && context.measureText(shown).width > most) shown = `${shown.slice(0, -2)}…`;
  return shown;
}
