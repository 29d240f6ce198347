"""What `mien predict` prints of clips: a progress bar, the files that were written, and the people."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mien.cli.predict.table import share_bar
from mien.cli.progress import StageBar, progress_bar
from mien.cli.tables import widen
from mien.names import shown, shown_text
from mien.video.job import ClipResult
from mien.video.results import FrameResult
from mien.video.runner import BatchObserver
from mien.video.summary import Person

_BAR = 12  # characters
_MOST_PEOPLE = 20  # lines of the table
_HARD_TO_SEE = 0.1  # from this share of the time on, it is said in words
_FRAMES_PER_UPDATE = 5
_COLUMNS = {
    "person": "right",
    "seen": "right",
    "mostly": "left",
    "": "left",
    "second": "left",
    "changes": "right",
    "longest": "left",
}


class ClipReporter(BatchObserver):
    """Shows a bar while clips are read; then prints their files and, with `people`, the people in each."""

    def __init__(self, notes: Console, *, people: bool) -> None:
        self._notes, self._people = notes, people
        self._stack = ExitStack()
        self._bar: StageBar | None = None
        self._clips: dict[str, _Clip] = {}
        self._frames = 0

    def started(self, source: str, name: str, start_s: float, length_s: float | None) -> None:
        """Open the bar, or share it with the clips that are read already."""
        self._clips[source] = _Clip(name, start_s, length_s, time.monotonic())
        if self._bar is None:
            self._bar = self._stack.enter_context(progress_bar(console=self._notes))
        lengths = [clip.length_s for clip in self._clips.values()]
        self._bar.stage(self._names(), None if None in lengths else sum(filter(None, lengths)))

    def analyzed(self, result: FrameResult) -> None:
        """Move the bar."""
        clip = self._clips[result.source]
        clip.frames, clip.read_s = clip.frames + 1, result.time_s - clip.start_s
        self._frames += 1
        if self._bar and self._frames % _FRAMES_PER_UPDATE == 0:
            now = time.monotonic()
            rate = sum(clip.frames / max(now - clip.begun, 1e-3) for clip in self._clips.values())
            self._bar.describe(f"{self._names()}  {rate:.0f} frames/s")
            self._bar.move_to(sum(clip.read_s for clip in self._clips.values()))

    def _names(self) -> str:
        return ", ".join(clip.name for clip in self._clips.values())

    def finished(self, source: str, result: ClipResult) -> None:
        """Print the people in the clip, the files that were written, and the error if there was one."""
        self._close(source)
        if self._people:
            # A name or a bar that the terminal cannot show must not end the run.
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
            print_people(Console(highlight=False), source, result.people)
        for path in result.files:
            self._notes.print(f"saved {shown(path)}", markup=False)
        if result.error:
            self.failed(source, result.error)

    def failed(self, source: str, error: str) -> None:
        """Print the error."""
        self._close(source)
        self._notes.print(shown_text(f"error: {source}: {error}"), markup=False, style="red")

    def stopped(self, *, resumable: bool) -> None:
        """Print what is kept, and how to continue."""
        self._clips.clear()
        self._close()
        kept = "what was read is kept" + (
            "; the same command with --resume continues it" if resumable else ""
        )
        self._notes.print(f"stopped: {kept}", markup=False)

    def _close(self, source: str = "") -> None:
        """Take a clip from the bar; the bar is shown no more when none is left."""
        self._clips.pop(source, None)
        if not self._clips:
            self._stack.close()
            self._bar = None


@dataclass
class _Clip:
    """A clip that is being read: since when, and how much of it."""

    name: str
    start_s: float
    length_s: float | None
    begun: float
    frames: int = 0
    read_s: float = 0.0


def print_people(console: Console, clip: str, people: list[Person]) -> None:
    """One line per person: when they were seen, and their apparent expressions."""
    name = Text(shown(Path(clip).name), style="bold")
    if not people:
        console.print(name.append(": no face found", style="not bold dim"))
        return
    console.print(name)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, justify in _COLUMNS.items():
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    # Those who were seen longest, in the order of their numbers.
    longest = sorted(people, key=lambda person: -person.seconds)[:_MOST_PEOPLE]
    for person in sorted(longest, key=lambda person: person.face_id):
        table.add_row(str(person.face_id), *_cells(person))
    widen(console, table)
    console.print(table)
    if more := len(people) - len(longest):
        note = f"and {more} more, seen for less time; --csv and --out FILE have all of them"
        console.print(note, style="dim")
    if any(person.uncertain_s > person.seconds / 2 for person in people):
        console.print(
            "? uncertain: most of the time, no single expression was clearly the most probable", style="dim"
        )
    for person in sorted(longest, key=lambda person: person.face_id):
        if person.warned_s > person.seconds * _HARD_TO_SEE:
            console.print(f"{person.face_id} is hard to see: {_warnings(person)} of the time", style="dim")


def _warnings(person: Person) -> str:
    """The warnings of a person with their shares of time, the longest first."""
    longest = sorted(person.warnings.items(), key=lambda item: -item[1])
    return ", ".join(f"{warning} {seconds / person.seconds:.0%}" for warning, seconds in longest)


def _cells(person: Person) -> list[Text]:
    ranked = sorted(person.emotions.items(), key=lambda item: -item[1])
    shares = [(name, seconds / person.seconds if person.seconds else 1.0) for name, seconds in ranked]
    name, share = shares[0]
    second = "".join(f"{other} {part:.0%}" for other, part in shares[1:2])
    mark = "?" if person.uncertain_s > person.seconds / 2 else ""
    longest = person.longest
    return [
        Text(f"{clock(person.first_s)}-{clock(person.last_s)}"),
        Text(f"{name}{mark} {share:.0%}", style="bold"),
        share_bar(name, share, _BAR),
        Text(second, style="dim"),
        Text(str(person.switches)),
        Text(f"{longest.emotion} {longest.seconds:.1f} s"),
    ]


def clock(seconds: float) -> str:
    """A time as hours, minutes and seconds: ``0:07``, ``12:30``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
