"""Probabilities smoothed over time: in files from both sides, so that nothing lags; live from the past."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
_ROOM = 128  # rows of a face that has just appeared


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


class History:
    """The newest rows of one face with their times, as arrays; what is long past can be forgotten.

    Args:
        width: values per row.
    """

    def __init__(self, width: int) -> None:
        self._times, self._rows = np.empty(_ROOM), np.empty((_ROOM, width), np.float32)
        self._warned = np.empty(_ROOM, np.bool_)
        self._first = self._end = 0

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Rising, (N,); a view."""
        return self._times[self._first : self._end]

    @property
    def rows(self) -> Rows:
        """(N, C); a view."""
        return self._rows[self._first : self._end]

    @property
    def warned(self) -> NDArray[np.bool_]:
        """Whether the face had warnings, (N,); a view."""
        return self._warned[self._first : self._end]

    def append(self, time_s: float, row: Rows, *, warned: bool = False) -> None:
        """Take the next row."""
        if self._end == len(self._times):
            room = max(_ROOM, 2 * len(self))
            kept: tuple[NDArray[Any], ...] = (self.times_s, self.rows, self.warned)
            grown = [np.empty((room, *values.shape[1:]), values.dtype) for values in kept]
            for values, more in zip(kept, grown, strict=True):
                more[: len(values)] = values
            self._first, self._end = 0, len(self)
            self._times, self._rows, self._warned = grown
        self._times[self._end], self._rows[self._end], self._warned[self._end] = time_s, row, warned
        self._end += 1

    def forget_before(self, time_s: float) -> None:
        """Let go of the rows before a time."""
        while self._first < self._end and self._times[self._first] < time_s:
            self._first += 1


def centred(times_s: Sequence[float] | NDArray[np.float64], rows: Rows, at: int, how: Smoothing) -> Rows:
    """Row `at` of `rows` (N, C), smoothed by those before and behind it, (C,).

    Each row weighs by its distance in time, exp(-|dt| / tau), and by the span of time that it stands for, so
    that a burst of samples counts no more than its duration. Convex: rows that sum to 1 give one that does.
    """
    own: Rows = rows[at]
    if how.tau_s == 0:
        return own
    times = np.asarray(times_s, dtype=np.float64)
    distances, steps = np.abs(times - times[at]), times[1:] - times[:-1]
    reached = np.flatnonzero(distances <= how.reach_s)
    first, last = int(reached[0]), int(reached[-1]) + 1
    if steps.max(initial=0.0) > how.gap_s:
        gaps = np.flatnonzero(steps > how.gap_s)  # behind these samples
        first = max(first, int(gaps[gaps < at].max(initial=-1)) + 1)
        last = min(last, int(gaps[gaps >= at].min(initial=len(times))) + 1)
    if last - first == 1:
        return own
    # Half of the step to either neighbour; at both ends, that to the only one counts twice.
    spans = np.empty(last - first)
    spans[:-1], spans[-1] = steps[first : last - 1], steps[last - 2]
    spans[1:] += steps[first : last - 1]
    spans[0] += steps[first]
    weights = spans / 2 * np.exp(-distances[first:last] / how.tau_s)
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
