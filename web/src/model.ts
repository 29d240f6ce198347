/** What a model's card says, and from logits to the probabilities of each head, as mien.models. */

import { CardError } from "./errors.js";
import type { Framing } from "./crop.js";
import type { Limits } from "./quality.js";

export interface Combination {
  first: string;
  second: string;
  weight: number;
  bias: Record<string, number>;
}

export interface Head {
  name: string;
  labels: string[];
  abstain: string[];
  temperature: number;
  conformal: Record<string, number>;
  certain_margin: number | null;
  combination: Combination | null;
}

// 2: conformal thresholds are of adaptive sets.
const FORMAT = 2;

/** The part of a model's card that is needed to run it. */
export interface Card {
  format: number;
  name: string;
  heads: Head[];
  default_head: string;
  input_size: number;
  framing: Framing;
  sha256: string;
  limits: Limits;
}

const TINY = 1.1754943508222875e-38; // the smallest normal float32

/** What users choose from, and the head that predicts each. */
export const LABEL_SETS: Record<string, string> = { combined: "combined", fer2013: "fer2013", ferplus: "votes" };

/** The card of plain values, checked.
 * @throws CardError a field is missing or wrong.
 */
export function readCard(raw: unknown, where: string): Card {
  const card = raw as Card;
  const fine =
    typeof card === "object" &&
    card !== null &&
    Array.isArray(card.heads) &&
    card.heads.every((head) => Array.isArray(head.labels) && head.labels.length > 1) &&
    Number.isInteger(card.input_size) &&
    typeof card.sha256 === "string";
  if (!fine) throw new CardError(`${where} is not a model's card of mien. Export the model again.`);
  if (card.format !== FORMAT) {
    throw new CardError(`${where} has format ${card.format}, not ${FORMAT}. Export the model again.`);
  }
  if (!card.framing) throw new CardError(`${where} has no framing, so that faces cannot be cropped for this model.`);
  headOf(card, card.default_head);
  return card;
}

/** The head of that name.
 * @throws CardError the model has no such head.
 */
export function headOf(card: Card, name: string): Head {
  const head = card.heads.find((each) => each.name === name);
  if (head) return head;
  const have = card.heads.map((each) => each.name).join(", ");
  throw new CardError(`model '${card.name}' has no head '${name}'; it has: ${have}.`);
}

export function softmax(logits: ArrayLike<number>, temperature: number): number[] {
  const scaled = Array.from(logits, (value) => value / temperature);
  const largest = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - largest));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

/** Probabilities as if their logits had been divided by the temperature. */
export function tempered(probabilities: number[], temperature: number): number[] {
  return softmax(
    probabilities.map((value) => Math.log(Math.max(value, TINY))),
    temperature,
  );
}

/** Probabilities of a head that is computed from two others, columns as the first one's `labels`. */
export function combine(both: Combination, first: number[], second: number[], labels: string[]): number[] {
  const names = Object.keys(both.bias);
  const columns = names.map((name) => labels.indexOf(name));
  const logarithms = columns.map(
    (column, i) =>
      (1 - both.weight) * Math.log(Math.max(first[column], TINY)) +
      both.weight * Math.log(Math.max(second[i], TINY)) +
      both.bias[names[i]],
  );
  const total = columns.reduce((sum, column) => sum + first[column], 0);
  const result = [...first];
  softmax(logarithms, 1).forEach((share, i) => {
    result[columns[i]] = share * total;
  });
  return result;
}
