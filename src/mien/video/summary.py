"""A clip in a few numbers a person: how long each expression was seen, how often it changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from mien.emotions import ABSTAIN, column_name
from mien.errors import MissingExtra, UsageError
from mien.inference.sinks import split_warnings
from mien.video.results import FrameResult

if TYPE_CHECKING:
    import pandas

# A run of one expression goes on over so long without the face, or over one missed frame.
GAP_S = 0.5

# Who was seen for so long, and changed by fewer gray levels on average, is a picture of somebody. Two faces
# that move changed by 6.5 and 20.9, posters in three clips by 0.0 to 1.3.
_STATIC_S, _STATIC_LEVELS = 1.0, 2.5


class Seen(NamedTuple):
    """A face in one frame.

    Attributes:
        face_id: its person's number.
        top, uncertain: its most probable emotion, and whether that should not be reported.
        confidence, change: the detector's, and by how much the face differs from when it appeared.
        warnings: in which ways it is hard to see.
    """

    face_id: int
    top: str
    uncertain: bool
    confidence: float
    change: float
    warnings: tuple[str, ...]


@dataclass
class Run:
    """An expression that stayed the most probable one for a while."""

    emotion: str = ""
    start_s: float = 0.0
    seconds: float = 0.0


@dataclass
class Person:
    """What was seen of one person of a clip.

    Attributes:
        source, face_id: the clip, and the person's number in it.
        first_s, last_s: when the face was first and last seen.
        seconds: for how long it was seen in all.
        emotions: emotion to the seconds for which it was the most probable one.
        uncertain_s: for how long no single emotion should be reported.
        warned_s: for how long the face had warnings.
        warnings: warning to the seconds for which the face had it.
        switches: how often the most probable emotion changed.
        confidence_s, change_s: the detector's confidence, and the change since it appeared, times seconds.
        run, longest: the run of one emotion that is going on, and the longest so far.
        longest_runs: emotion to the seconds of its longest run.
    """

    source: str
    face_id: int
    first_s: float
    last_s: float
    seconds: float = 0.0
    emotions: dict[str, float] = field(default_factory=dict)
    uncertain_s: float = 0.0
    warned_s: float = 0.0
    warnings: dict[str, float] = field(default_factory=dict)
    switches: int = 0
    confidence_s: float = 0.0
    change_s: float = 0.0
    run: Run = field(default_factory=Run)
    longest: Run = field(default_factory=Run)
    longest_runs: dict[str, float] = field(default_factory=dict)

    @property
    def main(self) -> tuple[str, float]:
        """The emotion that was the most probable one for longest, and its share of the time."""
        name, seconds = max(self.emotions.items(), key=lambda item: item[1])
        return name, seconds / self.seconds if self.seconds else 1.0

    @property
    def static(self) -> bool:
        """Whether the face never changes, as on a poster or in a title."""
        return self.seconds >= _STATIC_S and self.change_s < _STATIC_LEVELS * self.seconds


class ClipSummary:
    """Counts along a clip, a frame at a time; memory grows with the number of people alone.

    A frame counts for the time until the next one, the last for as long as the one before.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._people: dict[int, Person] = {}
        self._last: tuple[float, list[Seen]] | None = None
        self._step_s = 0.0

    def write(self, result: FrameResult) -> None:
        """Count a result."""
        self.add(
            result.time_s,
            [
                Seen(it.id, it.top[0], face.uncertain, face.confidence or 0.0, it.change, face.warnings)
                for it, face in ((it, it.face) for it in result.faces)
            ],
        )

    def add(self, time_s: float, seen: list[Seen]) -> None:
        """Count a frame."""
        before_s = None
        if self._last is not None:
            before_s = self._last[0]
            self._step_s = time_s - before_s
            self._credit(self._step_s)
        for face in seen:
            self._notice(face.face_id, face.top, time_s, before_s)
        self._last = (time_s, seen)

    def people(self) -> list[Person]:
        """Everybody, in the order of their numbers; call it once, at the end."""
        self._credit(self._step_s)
        self._last = None
        return [self._people[face_id] for face_id in sorted(self._people)]

    def _notice(self, face_id: int, emotion: str, time_s: float, before_s: float | None) -> None:
        """Begin, or go on with, a run of an emotion."""
        person = self._people.get(face_id)
        if person is None:
            person = self._people[face_id] = Person(self._source, face_id, time_s, time_s)
            person.run = Run(emotion, time_s)
        goes_on = time_s - person.last_s <= GAP_S or person.last_s == before_s
        person.switches += goes_on and emotion != person.run.emotion
        if not goes_on or emotion != person.run.emotion:
            person.run = Run(emotion, time_s)
        person.last_s = time_s

    def _credit(self, seconds: float) -> None:
        """Give the last frame's faces the time for which it was shown."""
        for face in self._last[1] if self._last else ():
            person, emotion = self._people[face.face_id], face.top
            person.seconds += seconds
            person.emotions[emotion] = person.emotions.get(emotion, 0.0) + seconds
            person.uncertain_s += seconds * face.uncertain
            person.warned_s += seconds * bool(face.warnings)
            for warning in face.warnings:
                person.warnings[warning] = person.warnings.get(warning, 0.0) + seconds
            person.confidence_s += seconds * face.confidence
            person.change_s += seconds * face.change
            person.run.seconds += seconds
            longest_s = person.longest_runs.get(emotion, 0.0)
            person.longest_runs[emotion] = max(longest_s, person.run.seconds)
            if person.run.seconds >= person.longest.seconds:
                person.longest = Run(person.run.emotion, person.run.start_s, person.run.seconds)


def summary(frame: pandas.DataFrame, *, shortest_s: float = 0.0) -> pandas.DataFrame:
    """One row per person of a table of `to_frame` (or of the file that `mien predict` writes of a clip).

    Columns: source, face_id, first_s, last_s, seconds, top (the emotion seen longest), a share of time for
    each emotion (``share_happy``, ...; they sum to 1), uncertain and warned (shares of time; warned: the face
    is hard to see), switches, and the longest run of one emotion: longest, longest_start_s, longest_s; then
    confidence (the detector's, on average) and static (the face does not change while it is seen, as on a
    poster). Who was seen for less than `shortest_s` seconds in all has no row.

    Raises:
        MissingExtra: pandas is not installed.
        UsageError: the table lacks a column.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra("tables of videos", "video") from None
    needed = ["source", "frame", "time_s", "face_id", "top", "uncertain", "confidence", "change", "warnings"]
    if missing := [name for name in needed if name not in frame]:
        raise UsageError(f"the table has no column {missing[0]!r}; give one that mien.to_frame made.")
    raw = [name.removeprefix("raw_") for name in map(str, frame.columns) if name.startswith("raw_")]
    known = {column_name(name): name for name in [*raw, *map(str, frame["top"].dropna().unique())]}
    emotions = [name for column, name in known.items() if column not in map(column_name, ABSTAIN)]
    table = frame[needed].astype({"face_id": "Int64", "uncertain": "boolean"})
    by_clip = table.sort_values("frame", kind="stable").groupby("source", sort=False)
    people = [person for source, part in by_clip for person in _people(str(source), part)]
    people = [person for person in people if person.seconds >= shortest_s]
    return pd.DataFrame([person_row(person, emotions) for person in people], columns=_columns(emotions))


def _people(source: str, part: pandas.DataFrame) -> Iterable[Person]:
    tally = ClipSummary(source)
    named = part["face_id"].notna()
    names = ["face_id", "top", "uncertain", "confidence", "change"]
    # In a file, no warning is an empty cell.
    warnings = [cell if isinstance(cell, str) else "" for cell in part["warnings"]]
    columns = [part["frame"], part["time_s"], named, *(part[name] for name in names), warnings]
    rows: Iterator[tuple[Any, ...]] = zip(*columns, strict=True)
    for _, faces in groupby(rows, key=lambda row: row[0]):
        of_frame = list(faces)
        seen = [
            Seen(int(face), str(top), bool(unsure), float(sure), float(change), split_warnings(cell))
            for _, _, there, face, top, unsure, sure, change, cell in of_frame
            if there
        ]
        tally.add(float(of_frame[0][1]), seen)
    return tally.people()


def _columns(emotions: list[str]) -> list[str]:
    shares = [f"share_{column_name(name)}" for name in emotions]
    head = ["source", "face_id", "first_s", "last_s", "seconds", "top"]
    longest = ["longest", "longest_start_s", "longest_s"]
    return [*head, *shares, "uncertain", "warned", "switches", *longest, "confidence", "static"]


def person_row(person: Person, emotions: list[str]) -> dict[str, Any]:
    """A person as a row of the table of `summary`, with a share of time for each of the emotions."""
    whole = person.seconds or 1.0
    return {
        "source": person.source,
        "face_id": person.face_id,
        "first_s": person.first_s,
        "last_s": person.last_s,
        "seconds": person.seconds,
        "top": person.main[0],
        **{f"share_{column_name(name)}": person.emotions.get(name, 0.0) / whole for name in emotions},
        "uncertain": person.uncertain_s / whole,
        "warned": person.warned_s / whole,
        "switches": person.switches,
        "longest": person.longest.emotion,
        "longest_start_s": person.longest.start_s,
        "longest_s": person.longest.seconds,
        "confidence": person.confidence_s / whole,
        "static": person.static,
    }
