"""Probabilities smoothed over time: in files from both sides, so that nothing lags; live from the past."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Smoothing:
    """How to smooth.

    Attributes:
        tau_s: a sample's weight falls to 1/e over so long; 0 smooths nothing.
        gap_s: nothing is carried over a longer time without the face.
        reach_s: `centred` looks so far to both sides.
    """

    tau_s: float = 0.2
    gap_s: float = 0.5

    @property
    def reach_s(self) -> float:
        """How far `centred` looks to both sides: further away a sample has less than 5 % of the weight."""
        return 3 * self.tau_s


def centred(times_s: Sequence[float], rows: Rows, at: int, how: Smoothing) -> Rows:
    """Row `at` of `rows` (N, C), smoothed by those before and behind it, (C,).

    Each row weighs by its distance in time, exp(-|dt| / tau), and by the span of time that it stands for, so
    that a burst of samples counts no more than its duration. Convex: rows that sum to 1 give one that does.
    """
    own: Rows = rows[at]
    if how.tau_s == 0:
        return own
    times = np.asarray(times_s, dtype=np.float64)
    first, last = _run_around(times, at, how)
    near = times[first:last]
    if len(near) == 1:
        return own
    steps = np.diff(near)
    spans = (np.append(steps, steps[-1]) + np.insert(steps, 0, steps[0])) / 2
    weights = spans * np.exp(-np.abs(near - times[at]) / how.tau_s)
    return np.asarray(weights @ rows[first:last] / weights.sum(), dtype=np.float32)


def _run_around(times: NDArray[np.float64], at: int, how: Smoothing) -> tuple[int, int]:
    """The samples within reach of one that no gap separates from it, as a slice's ends."""
    first, last = at, at + 1
    while (
        first > 0
        and times[at] - times[first - 1] <= how.reach_s
        and times[first] - times[first - 1] <= how.gap_s
    ):
        first -= 1
    while (
        last < len(times)
        and times[last] - times[at] <= how.reach_s
        and times[last] - times[last - 1] <= how.gap_s
    ):
        last += 1
    return first, last


@dataclass
class CausalSmoother:
    """Smooths one face's rows as they come, from the past alone.

    A row's weight falls by exp(-dt / tau) whatever the steps of time; after a gap it starts anew.
    """

    how: Smoothing
    time_s: float | None = None
    row: Rows | None = None

    def step(self, time_s: float, row: Rows) -> Rows:
        """The smoothed row (C,) at a time."""
        fresh = self.row is None or self.time_s is None or time_s - self.time_s > self.how.gap_s
        if fresh or self.row is None or self.time_s is None or self.how.tau_s == 0:
            self.row = row
        else:
            kept = np.float32(math.exp(-(time_s - self.time_s) / self.how.tau_s))
            self.row = kept * self.row + (1 - kept) * row
        self.time_s = time_s
        return self.row
