"""Progress of a run, who receives it, and how much time is left."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mien.runs.history import Epoch

# Time of a forward pass as a share of a step's, whose backward pass takes twice as long.
_FORWARD = 1 / 3
_LOG = logging.getLogger("mien.training")


@dataclass(frozen=True)
class Progress:
    """How far a run is: `epoch` and `step` count from 1; loss and accuracy are the epoch's means so far."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_s: float
    seconds_left: float


class Reporter(Protocol):
    """Receives the progress of a run."""

    def step(self, progress: Progress) -> None:
        """A few steps are done."""

    def epoch(self, row: Epoch, epochs: int) -> None:
        """An epoch is done."""

    def note(self, text: str) -> None:
        """Something for the user to know."""

    def done(self, summary: str) -> None:
        """The run is finished; `summary` is one line."""


class Silent:
    """A reporter that ignores everything."""

    def step(self, progress: Progress) -> None:
        """Ignore it."""

    def epoch(self, row: Epoch, epochs: int) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""

    def done(self, summary: str) -> None:
        """Ignore it."""


class LogReporter(Silent):
    """Writes epochs, notes and the summary to the log ``mien.training``, at the level INFO."""

    def epoch(self, row: Epoch, epochs: int) -> None:
        """Log the figures of an epoch."""
        self.note(
            f"epoch {row.epoch}/{epochs}: "
            f"train loss {row.train_loss:.3f}, accuracy {row.train_accuracy:.2%}; "
            f"validation loss {row.validation_loss:.3f}, accuracy {row.validation_accuracy:.2%}"
        )

    def note(self, text: str) -> None:
        """Log a text."""
        _LOG.info("%s", text)

    def done(self, summary: str) -> None:
        """Log the summary."""
        self.note(summary)


class WithCallbacks:
    """Passes everything on, and calls a function of the caller's after steps and after epochs.

    Args:
        reporter: receives everything first.
        on_step: called with the progress, twice a second at most.
        on_epoch: called with the figures of each epoch.
    """

    def __init__(
        self,
        reporter: Reporter,
        on_step: Callable[[Progress], object] | None = None,
        on_epoch: Callable[[Epoch], object] | None = None,
    ) -> None:
        self._reporter, self._on_step, self._on_epoch = reporter, on_step, on_epoch

    def step(self, progress: Progress) -> None:
        """Pass the progress on, then call `on_step`."""
        self._reporter.step(progress)
        if self._on_step:
            self._on_step(progress)

    def epoch(self, row: Epoch, epochs: int) -> None:
        """Pass the epoch on, then call `on_epoch`."""
        self._reporter.epoch(row, epochs)
        if self._on_epoch:
            self._on_epoch(row)

    def note(self, text: str) -> None:
        """Pass the note on."""
        self._reporter.note(text)

    def done(self, summary: str) -> None:
        """Pass the summary on."""
        self._reporter.done(summary)


class SummaryAsNote(WithCallbacks):
    """For one run of several: its summary is a note, because the summary of all of them comes last."""

    def done(self, summary: str) -> None:
        """Pass the summary on as a note."""
        self.note(summary)


class OnlyNotes(Silent):
    """For all processes but the first: passes on notes, with the number of the process."""

    def __init__(self, reporter: Reporter, rank: int) -> None:
        self._reporter, self._rank = reporter, rank

    def note(self, text: str) -> None:
        """Pass the note on."""
        self._reporter.note(f"process {self._rank}: {text}")


class Pace:
    """Estimates the time left of a run from the time of its steps and validations.

    Both take time in proportion to the area of the network's input, which may grow along the run.

    Args:
        sizes: the side of the input, epoch by epoch.
        steps: of an epoch.
        validation_steps: how many steps have as many faces as are validated after each epoch. Until one has
            been validated, their time is estimated from that of the steps.
    """

    def __init__(self, sizes: list[int], steps: int, validation_steps: float = 0.0) -> None:
        self._validation_steps = validation_steps
        self._areas, self._steps = [size * size for size in sizes], steps
        self._seconds = self._area = 0.0
        self._validation = 0.0  # seconds per unit of area

    def stepped(self, epoch: int, steps: int, seconds: float) -> None:
        """Record the time of some steps of an epoch (counted from 0)."""
        # Older steps count for less, so that a machine that slows down is noticed.
        self._seconds = self._seconds * 0.9 + seconds
        self._area = self._area * 0.9 + steps * self._areas[epoch]

    def validated(self, epoch: int, seconds: float) -> None:
        """Record the time of the validation of an epoch (counted from 0)."""
        self._validation = seconds / self._areas[epoch]

    def left(self, epoch: int, step: int) -> float:
        """Seconds from this step of this epoch (both counted from 0) to the end of the run."""
        if not self._area:
            return 0.0
        trained = (self._steps - step) * self._areas[epoch] + self._steps * sum(self._areas[epoch + 1 :])
        pace = self._seconds / self._area
        validation = self._validation or self._validation_steps * pace * _FORWARD
        return trained * pace + validation * sum(self._areas[epoch:])
