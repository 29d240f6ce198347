"""The pairs of rows and columns that cost least together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign(cost: NDArray[np.float64], limit: float) -> list[tuple[int, int]]:
    """Pairs (row, column), each row and column in one at most, of least cost; by row.

    `cost` is (N, M); leaving a row alone costs `limit`, so that pairs at or above it are never made.

    Source: Crouse 2016, "On implementing 2D rectangular assignment algorithms": shortest augmenting paths.
    """
    rows, columns = cost.shape
    if not rows or not columns:
        return []
    best = cost.argmin(axis=1)
    wanted = [(row, int(column)) for row, column in enumerate(best) if cost[row, column] < limit]
    if len({column for _, column in wanted}) == len(wanted):
        return wanted  # every row has its cheapest: nothing to weigh up
    # A column of its own for each row, at the price of staying alone.
    alone = np.where(np.eye(rows, dtype=bool), limit, np.inf)
    full = np.hstack([np.where(cost < limit, cost, np.inf), alone])
    row_of = [-1] * full.shape[1]
    price_of_row, price_of_column = np.zeros(rows), np.zeros(full.shape[1])
    for row in range(rows):
        _place(full, row, row_of, price_of_row, price_of_column)
    pairs = [(row, column) for column, row in enumerate(row_of[:columns]) if row >= 0]
    return sorted(pairs)


def _place(
    cost: NDArray[np.float64],
    row: int,
    row_of: list[int],
    price_of_row: NDArray[np.float64],
    price_of_column: NDArray[np.float64],
) -> None:
    """Give one more row its column, moving others to theirs where that is cheaper in all."""
    count = cost.shape[1]
    shortest, came_from = np.full(count, np.inf), np.full(count, -1)
    done = np.zeros(count, dtype=bool)
    visited, distance, current, column = [], 0.0, row, -1
    while True:
        visited.append(current)
        reduced = distance + cost[current] - price_of_row[current] - price_of_column
        nearer = ~done & (reduced < shortest)
        shortest[nearer], came_from[nearer] = reduced[nearer], current
        column = int(np.argmin(np.where(done, np.inf, shortest)))
        distance = float(shortest[column])
        done[column] = True
        if row_of[column] < 0:
            break
        current = row_of[column]
    price_of_row[row] += distance
    for other in visited[1:]:
        price_of_row[other] += distance - shortest[row_of.index(other)]
    price_of_column[done] += shortest[done] - distance
    while column >= 0:
        owner = int(came_from[column])
        previous = row_of.index(owner) if owner in row_of else -1
        row_of[column] = owner
        column = previous if owner != row else -1
