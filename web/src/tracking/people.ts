/** Gives people who return their number back, by their portraits, as mien.video.tracking.people. */

import { alike, likeness, type Portrait } from "./portrait.js";

// Each number is explained in mien/video/tracking/people.py.
const NEW_VIEW = 0.6;
const MOST_VIEWS = 12;
const SAME_LIKENESS = 2;
const CLEARLY = 0.5;

/** Everybody who was seen, with a few portraits each. */
export class People {
  private count = 0;
  private readonly views = new Map<number, Portrait[]>();

  /** @param recognize give people who return their number back; otherwise everybody who appears is new. */
  constructor(private readonly recognize = true) {}

  /** The next number, from 1. */
  next(): number {
    return ++this.count;
  }

  /** Keeps a portrait of a person, if it shows them in a new way. */
  learn(person: number, portrait: Portrait): void {
    const views = this.views.get(person) ?? [];
    this.views.set(person, views);
    if (views.every((view) => alike(view, portrait) < NEW_VIEW)) views.push(portrait);
    if (views.length > MOST_VIEWS) views.shift();
  }

  /** Whether anybody who is not present might return. */
  others(present: Set<number>): boolean {
    return this.recognize && [...this.views.keys()].some((person) => !present.has(person));
  }

  /** Who, of those that are not present, somebody with these portraits is; null for somebody new. */
  find(portraits: Portrait[], present: Set<number>): number | null {
    if (!this.recognize) return null;
    const ranked = [...this.views]
      .filter(([person]) => !present.has(person))
      .map(([person, views]): [number, number] => {
        const scores = portraits.flatMap((look) => views.map((view) => likeness(look, view)));
        return [person, Math.max(-Infinity, ...scores)];
      })
      .sort((a, b) => (b[1] === a[1] ? 0 : b[1] - a[1]));
    if (!ranked.length || ranked[0][1] < SAME_LIKENESS) return null;
    return ranked.length > 1 && ranked[0][1] < ranked[1][1] + CLEARLY ? null : ranked[0][0];
  }
}
