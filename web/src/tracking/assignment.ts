/** The pairs of rows and columns that cost least together, as mien.video.tracking.assignment. */

/**
 * Pairs [row, column], each row and column in one at most, of least cost; by row. Leaving a row alone costs `limit`.
 *
 * Source: Crouse 2016, "On implementing 2D rectangular assignment algorithms": shortest augmenting paths.
 */
export function assign(cost: number[][], limit: number): [number, number][] {
  const rows = cost.length;
  const columns = rows ? cost[0].length : 0;
  if (!rows || !columns) return [];
  const best = cost.map((line) => line.indexOf(Math.min(...line)));
  const wanted = best.map((column, row) => [row, column] as [number, number]).filter(([row, column]) => cost[row][column] < limit);
  if (new Set(wanted.map(([, column]) => column)).size === wanted.length) return wanted;
  // A column of its own for each row, at the price of staying alone.
  const full = cost.map((line, row) => [
    ...line.map((value) => (value < limit ? value : Infinity)),
    ...Array.from({ length: rows }, (_, other) => (other === row ? limit : Infinity)),
  ]);
  const rowOf = new Array<number>(columns + rows).fill(-1);
  const priceOfRow = new Array<number>(rows).fill(0);
  const priceOfColumn = new Array<number>(columns + rows).fill(0);
  for (let row = 0; row < rows; row++) place(full, row, rowOf, priceOfRow, priceOfColumn);
  const pairs = rowOf.slice(0, columns).map((row, column) => [row, column] as [number, number]);
  return pairs.filter(([row]) => row >= 0).sort((a, b) => a[0] - b[0]);
}

/** Gives one more row its column, moving others to theirs where that is cheaper in all. */
function place(cost: number[][], row: number, rowOf: number[], priceOfRow: number[], priceOfColumn: number[]): void {
  const count = cost[0].length;
  const shortest = new Array<number>(count).fill(Infinity);
  const cameFrom = new Array<number>(count).fill(-1);
  const done = new Array<boolean>(count).fill(false);
  const visited: number[] = [];
  let [distance, current, column] = [0, row, -1];
  for (;;) {
    visited.push(current);
    for (let other = 0; other < count; other++) {
      if (done[other]) continue;
      const reduced = distance + cost[current][other] - priceOfRow[current] - priceOfColumn[other];
      if (reduced < shortest[other]) [shortest[other], cameFrom[other]] = [reduced, current];
    }
    column = -1;
    for (let other = 0; other < count; other++) {
      if (!done[other] && (column < 0 || shortest[other] < shortest[column])) column = other;
    }
    distance = shortest[column];
    done[column] = true;
    if (rowOf[column] < 0) break;
    current = rowOf[column];
  }
  priceOfRow[row] += distance;
  for (const other of visited.slice(1)) priceOfRow[other] += distance - shortest[rowOf.indexOf(other)];
  for (let other = 0; other < count; other++) if (done[other]) priceOfColumn[other] += shortest[other] - distance;
  while (column >= 0) {
    const owner = cameFrom[column];
    const previous = rowOf.indexOf(owner);
    rowOf[column] = owner;
    column = owner === row ? -1 : previous;
  }
}
