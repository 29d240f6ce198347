/** Probabilities smoothed over time, as mien.video.smoothing. */

/** How to smooth. */
export interface Smoothing {
  /** A sample's weight falls to 1/e over so long; 0 smooths nothing. */
  tauS: number;
  /** Nothing is carried over a longer time without the face. */
  gapS: number;
}

export const SMOOTHING: Smoothing = { tauS: 0.2, gapS: 0.5 };

/** How far `centred` reaches to both sides: further away a sample has less than 5 % of the weight. */
export const reachOf = ({ tauS }: Smoothing) => 3 * tauS;

/** Row `at`, smoothed by those before and behind it: by distance in time and by the time that each stands for. */
export function centred(times: number[], rows: number[][], at: number, how: Smoothing): number[] {
  if (how.tauS === 0) return rows[at];
  const reach = reachOf(how);
  const near = (i: number) => Math.abs(times[i] - times[at]) <= reach;
  let first = at;
  let last = at + 1;
  while (first > 0 && near(first - 1) && times[first] - times[first - 1] <= how.gapS) first -= 1;
  while (last < times.length && near(last) && times[last] - times[last - 1] <= how.gapS) last += 1;
  if (last - first === 1) return rows[at];
  const result = new Array<number>(rows[at].length).fill(0);
  let total = 0;
  for (let i = first; i < last; i++) {
    // Half of the step to either neighbour; at both ends, that to the only one counts twice.
    const before = i > first ? times[i] - times[i - 1] : times[i + 1] - times[i];
    const behind = i + 1 < last ? times[i + 1] - times[i] : before;
    const weight = ((before + behind) / 2) * Math.exp(-Math.abs(times[i] - times[at]) / how.tauS);
    total += weight;
    rows[i].forEach((value, k) => (result[k] += weight * value));
  }
  return result.map((value) => value / total);
}

/** Smooths one face's rows as they come, from the past alone; after a gap it starts anew. */
export class CausalSmoother {
  timeS = -Infinity;
  private row: number[] | null = null;

  constructor(private readonly how: Smoothing) {}

  /** The smoothed row at a time. */
  step(timeS: number, row: number[]): number[] {
    const { tauS, gapS } = this.how;
    const before = this.row;
    if (before && tauS > 0 && timeS - this.timeS <= gapS) {
      const kept = Math.exp(-(timeS - this.timeS) / tauS);
      row = row.map((value, k) => kept * before[k] + (1 - kept) * value);
    }
    [this.timeS, this.row] = [timeS, row];
    return row;
  }
}
