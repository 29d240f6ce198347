"""What `mien predict` shows of clips: a progress bar while they are read, then who was seen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from mien.inference.annotate import COLOURS
from mien.video.batch import BatchObserver
from mien.video.job import ClipResult
from mien.video.results import FrameResult
from mien.video.summary import Person

_BAR = 12  # characters
_SHOWN_EVERY = 5  # pictures; the bar need not move with each


class _Rate(ProgressColumn):
    """Pictures a second so far."""

    def render(self, task: Task) -> Text:
        rate = task.fields["rate"]
        return Text(f"{rate:.0f} frames/s" if rate else "", style="cyan")


class ClipProgress(Progress):
    """A bar of a clip, with frames a second and time left, or time spent where its length is unknown."""

    def __init__(self, console: Console, length_s: float | None) -> None:
        self._length_s = length_s
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *([TextColumn("{task.percentage:>3.0f} %")] if length_s else []),
            _Rate(),
            TimeRemainingColumn(compact=True) if length_s else TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def follow(self, name: str, start_s: float) -> Callable[[FrameResult], None]:
        """What takes each result of a clip and moves the bar along."""
        task = self.add_task(name, total=self._length_s, rate=0.0)
        begun = time.monotonic()
        count = 0

        def show(result: FrameResult) -> None:
            nonlocal count
            count += 1
            if count % _SHOWN_EVERY == 0:
                rate = count / max(time.monotonic() - begun, 1e-3)
                self.update(task, completed=result.time_s - start_s, rate=rate)

        return show


class ClipReporter(BatchObserver):
    """Shows a bar while a clip is read, then where its files are and, with `people`, who was seen."""

    def __init__(self, notes: Console, *, people: bool) -> None:
        self._notes, self._people = notes, people
        self._bar: ClipProgress | None = None
        self._show: Callable[[FrameResult], None] = lambda _: None

    def started(self, name: str, start_s: float, length_s: float | None) -> None:
        """Open the bar."""
        self._bar = ClipProgress(self._notes, length_s)
        self._bar.start()
        self._show = self._bar.follow(name, start_s)

    def analyzed(self, result: FrameResult) -> None:
        """Move the bar along."""
        self._show(result)

    def finished(self, source: str, result: ClipResult) -> None:
        """Print who was seen, and what was written or went wrong."""
        self._close()
        if self._people:
            # A name or a bar that the terminal cannot show must not end the run.
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
            print_people(Console(highlight=False), source, result.people)
        for path in result.files:
            self._notes.print(f"saved {path}", markup=False)
        if result.error:
            self.failed(source, result.error)

    def failed(self, source: str, error: str) -> None:
        """Print what went wrong."""
        self._close()
        self._notes.print(f"error: {source}: {error}", markup=False, style="red")

    def stopped(self, *, resumable: bool) -> None:
        """Print what is kept, and how to continue."""
        self._close()
        kept = "what was read is kept" + (
            "; the same command with --resume continues it" if resumable else ""
        )
        self._notes.print(f"stopped: {kept}", markup=False)

    def _close(self) -> None:
        if self._bar:
            self._bar.stop()
        self._bar = None


def print_people(console: Console, clip: str, people: list[Person]) -> None:
    """A line a person: when they were seen, and with which apparent expressions."""
    name = Text(Path(clip).name, style="bold")
    if not people:
        console.print(name.append(": no face found", style="not bold dim"))
        return
    console.print(name)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, justify in (
        ("person", "right"),
        ("seen", "right"),
        ("mostly", "left"),
        ("", "left"),
        ("then", "left"),
        ("changes", "right"),
        ("longest", "left"),
    ):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for person in people:
        table.add_row(str(person.face_id), *_line(person))
    console.print(table)
    if any(person.uncertain_s > person.seconds / 2 for person in people):
        console.print("? uncertain: for most of the time no single expression stood out", style="dim")


def _line(person: Person) -> list[Text]:
    ranked = sorted(person.emotions.items(), key=lambda item: -item[1])
    shares = [(name, seconds / person.seconds if person.seconds else 1.0) for name, seconds in ranked]
    name, share = shares[0]
    filled = round(share * _BAR)
    bar = Text("█" * filled, style=COLOURS.get(name, "white")).append("░" * (_BAR - filled), style="dim")
    then = "".join(f"{other} {part:.0%}" for other, part in shares[1:2])
    mark = "?" if person.uncertain_s > person.seconds / 2 else ""
    longest = person.longest
    return [
        Text(f"{clock(person.first_s)}-{clock(person.last_s)}"),
        Text(f"{name}{mark} {share:.0%}", style="bold"),
        bar,
        Text(then, style="dim"),
        Text(str(person.switches)),
        Text(f"{longest.emotion} {longest.seconds:.1f} s"),
    ]


def clock(seconds: float) -> str:
    """A time as people read it: ``0:07``, ``12:30``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
