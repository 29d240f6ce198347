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
    reached = np.flatnonzero(np.abs(times - times[at]) <= how.reach_s)
    gaps = np.flatnonzero(np.diff(times) > how.gap_s)  # behind these samples
    first = max(reached[0], gaps[gaps < at].max(initial=-1) + 1)
    last = min(reached[-1], gaps[gaps >= at].min(initial=len(times))) + 1
    near = times[first:last]
    if len(near) == 1:
        return own
    steps = np.diff(near)
    spans = (np.append(steps, steps[-1]) + np.insert(steps, 0, steps[0])) / 2
    weights = spans * np.exp(-np.abs(near - times[at]) / how.tau_s)
    return np.asarray(weights @ rows[first:last] / weights.sum(), dtype=np.float32)


@dataclass
class CausalSmoother:
    """Smooths one face's rows as they come, from the past alone.

    A row's weight falls by exp(-dt / tau) whatever the steps of time; after a gap it starts anew.
    """

    how: Smoothing
    time_s: float = -math.inf
    row: Rows | None = None

    def step(self, time_s: float, row: Rows) -> Rows:
        """The smoothed row (C,) at a time."""
        if self.row is not None and self.how.tau_s > 0 and time_s - self.time_s <= self.how.gap_s:
            kept = np.float32(math.exp(-(time_s - self.time_s) / self.how.tau_s))
            row = kept * self.row + (1 - kept) * row
        self.time_s, self.row = time_s, row
        return row
