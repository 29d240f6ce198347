/** One face: where it is, and which expression it shows, as mien.inference.face. */

import { CardError } from "./errors.js";
import { combine, tempered, type Head } from "./model.js";
import type { Detection } from "./crop.js";
import { roundedMovements, type Movements } from "./movements/measures.js";
import { roundedQuality, warningsOf, type Limits, type Quality } from "./quality.js";

/** The apparent expression of one face. How it looks, not what the person feels. */
export interface Face {
  /** x, y, width and height in pixels of the image; parts of it may lie outside. */
  box: [number, number, number, number];
  /** The detector's, 0..1; null if no detector was used. */
  confidence: number | null;
  /** The most probable emotion. */
  top: string;
  /** Whether the prediction should not be read as one emotion; a face with warnings is uncertain. */
  uncertain: boolean;
  /** Name to probability; they sum to 1. */
  emotions: Record<string, number>;
  /** Grounds to abstain to the share of votes for each. */
  abstentions: Record<string, number>;
  /** The two eyes, nose, mouth and the two ears; null if no detector was used. */
  keypoints: [number, number][] | null;
  /** How well the face can be seen; null if no detector was used. */
  quality: Quality | null;
  /** What of the quality lies beyond the limits within which the model was measured, such as "blurred". */
  warnings: string[];
  /** Named movements, if they were requested; null for a face without landmarks, which `warnings` name. */
  movements?: Movements | null;
  /** A set that holds the voters' majority at a coverage of 0.90, the most probable first. */
  set: string[];
  /** By how much the most probable emotion leads the second, see `Face.margin` in Python. */
  margin: number;
  /** What share of people would name each emotion; null if `emotions` is the prediction of one head. */
  votes: Record<string, number> | null;
}

const COVERAGE = "0.90";
const HALF = 0.5;
// Explained in mien/inference/face.py.
const YAW_OF_KEYPOINTS = 1.16;
const NO_LANDMARKS = "no landmarks";

const hundredth = (value: number) => Math.round(value * 100) / 100;

function without(shares: Record<string, number>, leftOut: string[]): Record<string, number> {
  const kept = Object.entries(shares).filter(([name]) => !leftOut.includes(name));
  if (!leftOut.length) return Object.fromEntries(kept);
  const total = kept.reduce((sum, [, value]) => sum + value, 0);
  return Object.fromEntries(kept.map(([name, value]) => [name, total ? value / total : 1 / kept.length]));
}

const named = (labels: string[], values: number[]) => Object.fromEntries(labels.map((name, i) => [name, values[i]]));

/** The probabilities of each output of the network, by the head's name. */
export type Outputs = Record<string, number[]>;

/** The face of one crop, from the probabilities of each output of the network. */
export function readFace(
  outputs: Outputs,
  head: Head,
  box: Detection["box"],
  detection: Detection | null,
  quality: Quality | null,
  limits: Limits,
  movements?: Movements | null,
): Face {
  const warnings = warningsWith(quality, limits, movements);
  const both = head.combination;
  let votes: Record<string, number> | null = null;
  let probabilities = outputs[head.name];
  if (both) {
    votes = without(named(head.labels, outputs[both.first]), head.abstain);
    const combined = combine(both, outputs[both.first], outputs[both.second], head.labels);
    probabilities = tempered(combined, head.temperature);
  }
  const shares = named(head.labels, probabilities);
  const abstentions = Object.fromEntries(head.abstain.map((name) => [name, shares[name]]));
  const emotions = without(shares, head.abstain);
  const ranked = Object.entries(emotions).sort((a, b) => b[1] - a[1]);
  const [top, share] = ranked[0];
  const margin = marginOf(ranked, votes);
  const abstain = Object.values(abstentions).reduce((sum, value) => sum + value, 0);
  const abstains = abstain > share * (1 - abstain);
  const unsure = head.certain_margin === null ? share <= HALF : margin < head.certain_margin;
  return {
    box: box.map(hundredth) as Face["box"],
    confidence: detection && detection.confidence,
    top,
    uncertain: abstains || warnings.length > 0 || unsure,
    emotions,
    abstentions,
    keypoints: detection && detection.keypoints.map(([x, y]) => [hundredth(x), hundredth(y)]),
    quality: quality && roundedQuality(quality),
    warnings,
    ...(movements === undefined ? {} : { movements: movements && roundedMovements(movements) }),
    set: adaptiveSet(ranked, head),
    margin,
    votes,
  };
}

/** What lies outside of the limits; the yaw of the face mesh is better than that of the key points. */
function warningsWith(quality: Quality | null, limits: Limits, movements?: Movements | null): string[] {
  if (movements === undefined) return quality ? warningsOf(quality, limits) : [];
  const { yaw, ...others } = limits;
  const found = quality ? warningsOf(quality, others) : [];
  if (!movements) return [...found, NO_LANDMARKS];
  const most = yaw ? yaw[1] : null;
  return most !== null && Math.abs(movements.head_yaw) * YAW_OF_KEYPOINTS > most ? [...found, "turned"] : found;
}

/** From the most probable emotion on, until those in the set have more together than the card's threshold. */
function adaptiveSet(ranked: [string, number][], head: Head): string[] {
  const threshold = head.conformal[COVERAGE];
  if (threshold === undefined) {
    throw new CardError(`head '${head.name}' has no conformal threshold for a coverage of ${COVERAGE}.`);
  }
  const found: string[] = [];
  let above = 0;
  for (const [name, probability] of ranked) {
    if (above > threshold) break;
    found.push(name);
    above += probability;
  }
  return found;
}

function marginOf(ranked: [string, number][], votes: Record<string, number> | null): number {
  const lead = ranked[0][1] - ranked[1][1];
  if (!votes) return lead;
  const others = Object.entries(votes).filter(([name]) => name !== ranked[0][0]);
  return Math.min(lead, votes[ranked[0][0]] - Math.max(...others.map(([, value]) => value)));
}
