"""What a run tells while it goes on, and how long it will yet take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mien.runs.history import Epoch


@dataclass(frozen=True)
class Progress:
    """Where a run stands: `epoch` and `step` count from 1; loss and accuracy are the epoch's means so far."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_s: float
    seconds_left: float


class Reporter(Protocol):
    """Who is told how the training goes."""

    def step(self, progress: Progress) -> None:
        """A few steps are done."""

    def epoch(self, row: Epoch, epochs: int) -> None:
        """An epoch is done."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def done(self, summary: str) -> None:
        """The run is finished; this is it in one line."""


class OnlyNotes:
    """For the processes beside the first: passes on what the user should know, and from whom."""

    def __init__(self, reporter: Reporter, rank: int) -> None:
        self._reporter, self._rank = reporter, rank

    def step(self, progress: Progress) -> None:
        """Nothing: the first process tells."""

    def epoch(self, row: Epoch, epochs: int) -> None:
        """Nothing: the first process tells."""

    def note(self, text: str) -> None:
        """Pass it on."""
        self._reporter.note(f"process {self._rank}: {text}")

    def done(self, summary: str) -> None:
        """Nothing: the first process tells."""


class Pace:
    """Learns what steps and validations cost, and says how long the rest of a run takes.

    Both cost in proportion to the area of the network's input, so that a run whose size grows is
    not promised too early an end.

    Args:
        sizes: the side of the input, epoch by epoch.
        steps: of an epoch.
    """

    def __init__(self, sizes: list[int], steps: int) -> None:
        self._areas, self._steps = [size * size for size in sizes], steps
        self._seconds = self._area = 0.0
        self._validation = 0.0  # seconds a unit of area

    def stepped(self, epoch: int, steps: int, seconds: float) -> None:
        """So many steps of an epoch (counted from 0) took so long."""
        # Older steps count for less, so that a machine that slows down is noticed.
        self._seconds = self._seconds * 0.9 + seconds
        self._area = self._area * 0.9 + steps * self._areas[epoch]

    def validated(self, epoch: int, seconds: float) -> None:
        """The validation at the end of an epoch took so long."""
        self._validation = seconds / self._areas[epoch]

    def left(self, epoch: int, step: int) -> float:
        """Seconds from this step of this epoch (both counted from 0) to the end of the run."""
        if not self._area:
            return 0.0
        trained = (self._steps - step) * self._areas[epoch] + self._steps * sum(self._areas[epoch + 1 :])
        return trained * self._seconds / self._area + self._validation * sum(self._areas[epoch:])
