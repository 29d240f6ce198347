"""What `mien train` prints: a bar for the whole run, and one line per epoch."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from mien.progress import duration

if TYPE_CHECKING:
    from mien.runs.history import Epoch
    from mien.training.reporter import Progress as Step


# Without a terminal, as in the log of a cluster's job, a line of progress so often.
_LINE_EVERY_S = 30.0


class TerminalReporter:
    """Prints to stderr, and only the summary of the run to stdout.

    A terminal gets a bar; a file or a pipe a line of progress every 30 seconds.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            transient=True,
        )
        self._last_line = time.monotonic()
        self._seconds: float | None = None
        # The bar begins with the first step: the other processes of a run have none.
        self._task: TaskID | None = None

    def __enter__(self) -> TerminalReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, progress: Step) -> None:
        """Move the bar, or print a line if the last one is 30 seconds old."""
        if not self.console.is_terminal:
            self._print_line(progress)
            return
        if self._task is None:
            self._task = self._bar.add_task("", total=progress.epochs, epoch="", figures="")
            self._bar.start()
        self._bar.update(
            self._task,
            completed=progress.epoch - 1 + progress.step / progress.steps,
            total=progress.epochs,
            epoch=f"{progress.epoch}/{progress.epochs}",
            figures=_figures(progress),
        )

    def _print_line(self, progress: Step) -> None:
        now = time.monotonic()
        if now - self._last_line < _LINE_EVERY_S:
            return
        self._last_line = now
        self.console.print(
            f"epoch {progress.epoch}/{progress.epochs}  step {progress.step}/{progress.steps}  "
            f"{_figures(progress)}",
            highlight=False,
            soft_wrap=True,
        )
        self.console.file.flush()

    def epoch(self, row: Epoch, epochs: int) -> None:
        """Print the epoch's line, with the time of this epoch."""
        before = 0.0 if row.epoch == 1 else self._seconds
        took = "" if before is None else f"  {duration(row.seconds - before)}"
        self._seconds, self._last_line = row.seconds, time.monotonic()
        votes = "" if row.votes_loss is None else f"  votes {row.votes_loss:.3f}"
        best = "  [green]best[/green]" if row.best else ""
        self.console.print(
            f"epoch {row.epoch:3d}/{epochs}  {row.size} px"
            f"  train {row.train_loss:.3f} {row.train_accuracy:.2%}"
            f"  validation {row.validation_loss:.3f} [bold]{row.validation_accuracy:.2%}[/bold]{votes}"
            f"  {row.images_per_s:.0f} images/s{took}{best}",
            highlight=False,
            soft_wrap=True,
        )
        self.console.file.flush()

    def note(self, text: str) -> None:
        """Print a note."""
        self.console.print(Text(text, style="yellow"), soft_wrap=True)

    def done(self, summary: str) -> None:
        """Print the run's summary to stdout."""
        self._bar.stop()
        typer.echo(summary)


def _figures(progress: Step) -> str:
    return (
        f"loss {progress.loss:.3f}  accuracy {progress.accuracy:.1%}  "
        f"{progress.images_per_s:.0f} images/s  {duration(progress.seconds_left)} left"
    )
