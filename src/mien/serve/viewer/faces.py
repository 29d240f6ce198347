"""The faces of a clip as arrays, with and without corrections, and what the page shows of them."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

import mien
from mien.files import staged
from mien.inference.face import Face
from mien.inference.sinks import warnings_cell
from mien.models.card import Head
from mien.video.log import Log, head_of
from mien.video.options.study import StudyOptions
from mien.video.results import FrameResult, TrackedFace
from mien.video.study.correct import ClipCorrections
from mien.video.study.measures import Measures, rest_of, timed
from mien.video.study.rewrite import clip_results
from mien.video.study.tables import EventTable
from mien.video.summary import GAP_S

# Uncertain stretches that are shorter than this are left out: a single frame is no place to go to.
_UNCERTAIN_S = 0.2
# People with a lane on the page; of more, those seen for longest.
_LANES = 40
_ROUNDING = 1e6
_KEPT = ".viewer.npz"
_ARRAYS = 2  # one more whenever other arrays are kept

Arrays: TypeAlias = dict[str, NDArray[Any]]
logger = logging.getLogger("mien.serve")


@dataclass(frozen=True)
class _Row(TrackedFace):
    """A face that knows its place in the arrays."""

    place: int = 0


@dataclass(frozen=True, eq=False)
class ClipFaces:
    """The faces of a clip: F frames, N faces in the order of the frames, E emotions.

    Attributes:
        source: the clip.
        head: names the emotions.
        frames, times_s: (F,) number and time of each frame.
        first: (F + 1,) the first face of each frame, and N.
        people: (N,) whose face it is; 0 for one that a correction excludes.
        boxes: (N, 4) x, y, width and height in pixels.
        emotions: (N, E) probabilities, smoothed over time.
        uncertain, corrected: (N,) whether no emotion should be reported; whether a person set it.
        warnings: (N,) index into `words`, which are cells of warnings, such as "covered; moved"; the first is
            empty.
    """

    source: str
    head: Head
    frames: NDArray[np.int64]
    times_s: NDArray[np.float64]
    first: NDArray[np.int64]
    people: NDArray[np.int64]
    boxes: NDArray[np.float32]
    emotions: NDArray[np.float32]
    uncertain: NDArray[np.bool_]
    warnings: NDArray[np.uint16]
    words: NDArray[np.str_]
    corrected: NDArray[np.bool_]

    @property
    def labels(self) -> list[str]:
        """The names of the emotions."""
        return Measures(self.head).labels

    @property
    def seconds(self) -> NDArray[np.float64]:
        """How long each frame is shown, (F,): until the next one; the last as long as the one before."""
        steps = np.diff(self.times_s)
        return np.append(steps, steps[-1:] if len(steps) else 0.0)

    @property
    def frame_of(self) -> NDArray[np.int64]:
        """The index of each face's frame, (N,)."""
        return np.repeat(np.arange(len(self.frames)), np.diff(self.first))

    def results(self) -> Iterator[FrameResult]:
        """The faces as results; their raw values are the smoothed ones."""
        labels = self.labels
        for i, (frame, time_s) in enumerate(zip(self.frames.tolist(), self.times_s.tolist(), strict=True)):
            faces = []
            for row in range(self.first[i], self.first[i + 1]):
                if not self.people[row]:
                    continue
                shares = dict(zip(labels, self.emotions[row].tolist(), strict=True))
                x, y, width, height = self.boxes[row].tolist()
                face = Face((x, y, width, height), None, shares)
                marked = bool(self.corrected[row])
                faces.append(_Row(int(self.people[row]), face, face, corrected=marked, place=row))
            yield FrameResult(self.source, frame, time_s, tuple(faces))

    def with_corrections(self, corrections: ClipCorrections, *, check: bool = True) -> ClipFaces:
        """These faces, corrected. Smoothed values stay as they are, also beside a split.

        Raises:
            CorrectionError: a correction does not fit.
        """
        people, corrected = np.zeros_like(self.people), np.zeros_like(self.corrected)
        emotions, uncertain, warnings = self.emotions.copy(), self.uncertain.copy(), self.warnings.copy()
        labels = self.labels
        for result in corrections.correct(self.results(), check=check):
            for face in result.faces:
                if not isinstance(face, _Row):
                    raise TypeError(f"a correction lost the place of {face!r}")
                people[face.place] = face.id
                if face.corrected:
                    corrected[face.place], uncertain[face.place], warnings[face.place] = True, False, 0
                    emotions[face.place] = [face.face.emotions[label] for label in labels]
        known = (self.source, self.head, self.frames, self.times_s, self.first)
        return ClipFaces(*known, people, self.boxes, emotions, uncertain, warnings, self.words, corrected)


def load_faces(clip: Path, progress: Callable[[int], None] = lambda _: None) -> ClipFaces:
    """The faces of a clip without corrections, by its log; `progress` gets the number of frames so far.

    They are kept in a file beside the log, since a replay takes about a millisecond per frame.

    Raises:
        UsageError: the log cannot be read.
    """
    log = clip / "log.jsonl"
    header, key = Log(log).header, _key_of(log)
    arrays = _read_kept(clip / _KEPT, key)
    if arrays is None:
        arrays = _read_log(clip, progress)
        _keep(clip / _KEPT, key, arrays)
    corrected = np.zeros(len(arrays["people"]), np.bool_)
    return ClipFaces(header["source"], head_of(header), **arrays, corrected=corrected)


def _read_log(clip: Path, progress: Callable[[int], None]) -> Arrays:
    # Arrays of bytes, since a clip may have millions of faces.
    frames, times, first = array("q"), array("d"), array("q", [0])
    people, boxes, emotions, uncertain, warnings = array("q"), array("f"), array("f"), bytearray(), array("H")
    words = {"": 0}
    labels = Measures(head_of(Log(clip / "log.jsonl").header)).labels
    for result in clip_results(clip):
        frames.append(result.frame)
        times.append(result.time_s)
        for face in result.faces:
            people.append(face.id)
            boxes.extend(face.box)
            emotions.extend(face.face.emotions[label] for label in labels)
            uncertain.append(face.face.uncertain)
            warnings.append(words.setdefault(warnings_cell(face.face), len(words)))
        first.append(len(people))
        progress(len(frames))
    return {
        "frames": np.array(frames, np.int64),
        "times_s": np.array(times, np.float64),
        "first": np.array(first, np.int64),
        "people": np.array(people, np.int64),
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "emotions": np.array(emotions, np.float32).reshape(-1, len(labels)),
        "uncertain": np.frombuffer(bytes(uncertain), np.bool_),
        "warnings": np.array(warnings, np.uint16),
        "words": np.array(list(words)),
    }


def _key_of(log: Path) -> str:
    """What kept arrays must agree with: the log, the version that replayed it, and which arrays they are."""
    status = log.stat()
    return f"{mien.__version__} {_ARRAYS} {status.st_size} {status.st_mtime_ns}"


def _read_kept(path: Path, key: str) -> Arrays | None:
    """The arrays in a file, or None if it is not there, of another log, or damaged: the log has them all."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            kept = dict(file)
        return kept if str(kept.pop("key")) == key else None
    except (OSError, ValueError, KeyError, BadZipFile):
        return None


def _keep(path: Path, key: str, arrays: Arrays) -> None:
    """Write arrays to a file; in a folder that cannot be written, the log is read again next time."""
    try:
        with staged(path) as made, made.open("wb") as file:
            np.savez(file, key=np.array(key), **arrays)  # type: ignore[arg-type]
    except OSError as error:
        logger.warning("%s cannot be written (%s): the log is read again next time.", path, error)


def people_of(clip: ClipFaces, names: dict[int, str]) -> list[dict[str, Any]]:
    """Everybody by number: name, when they were seen, for how long, and the share of each emotion."""
    at = clip.frame_of
    found = []
    for person in np.unique(clip.people[clip.people > 0]).tolist():
        mine = clip.people == person
        seconds = clip.seconds[at[mine]]
        whole = float(seconds.sum())
        top = np.bincount(clip.emotions[mine].argmax(axis=1), seconds + 1e-9, len(clip.labels)).argmax()
        found.append(
            {
                "id": person,
                "name": names.get(person),
                "seconds": round(whole, 3),
                "first_s": rounded(clip.times_s[at[mine][0]]),
                "last_s": rounded(clip.times_s[at[mine][-1]]),
                "top": clip.labels[int(top)],
                "uncertain": _share(seconds[clip.uncertain[mine]].sum(), whole),
                "warned": _share(seconds[clip.warnings[mine] > 0].sum(), whole),
                "corrected": _share(seconds[clip.corrected[mine]].sum(), whole),
            }
        )
    return found


def events_of(clip: ClipFaces, options: StudyOptions) -> list[dict[str, Any]]:
    """The events of the table, by their onset."""
    rest = None if options.baseline_s is None else rest_of(clip.results(), clip.head, options.baseline_s)
    table = EventTable(Measures(clip.head, rest), options.threshold, options.hysteresis)
    for result, seconds in timed(clip.results()):
        table.write(result, seconds)
    return [
        {
            "person": event.person,
            "emotion": event.emotion,
            "from_s": rounded(event.onset_s),
            "to_s": rounded(event.offset_s),
        }
        for event in table.events()
    ]


def uncertain_stretches(clip: ClipFaces) -> list[dict[str, Any]]:
    """The stretches in which no single emotion of a person should be reported, by their beginning."""
    at, ends = clip.frame_of, clip.times_s + clip.seconds
    found = []
    for person in np.unique(clip.people[clip.people > 0]).tolist():
        mine = at[(clip.people == person) & clip.uncertain]
        gaps = np.flatnonzero(clip.times_s[mine[1:]] - ends[mine[:-1]] > GAP_S) if len(mine) else mine
        for run in np.split(mine, gaps + 1):
            if len(run) and ends[run[-1]] - clip.times_s[run[0]] >= _UNCERTAIN_S:
                from_s, to_s = clip.times_s[run[0]], ends[run[-1]]
                found.append({"person": person, "from_s": rounded(from_s), "to_s": rounded(to_s)})
    return sorted(found, key=lambda it: (it["from_s"], it["person"]))


def timeline_of(clip: ClipFaces, from_s: float, to_s: float, bins: int) -> dict[str, Any]:
    """Each person's emotions in equal bins of time.

    Returns ``{"lanes": [{"id", "bins": [[bin, uncertain, corrected, share of each emotion...]]}], ...}``;
    a bin without the face is left out, and ``hidden`` people are seen for less time than those with a lane.
    """
    at, width = clip.frame_of, (to_s - from_s) / bins
    seconds = clip.seconds
    ends = clip.times_s + seconds
    shown = np.flatnonzero((clip.people > 0) & (clip.times_s[at] < to_s) & (ends[at] > from_s))
    numbers, counts = np.unique(clip.people[shown], return_counts=True)
    longest = np.sort(numbers[np.argsort(-counts, kind="stable")[:_LANES]])
    lanes = []
    for person in longest.tolist():
        rows = shown[clip.people[shown] == person]
        begins = np.clip(((clip.times_s[at[rows]] - from_s) / width).astype(int), 0, bins - 1)
        lasts = np.clip(np.ceil((ends[at[rows]] - from_s) / width - 1e-6).astype(int) - 1, begins, bins - 1)
        # A frame that is longer than a bin fills all of them.
        repeats = lasts - begins + 1
        index = np.repeat(rows, repeats)
        offsets = np.arange(len(index)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        places = np.repeat(begins, repeats) + offsets
        values = np.column_stack([clip.uncertain[index], clip.corrected[index], clip.emotions[index]])
        sums = np.zeros((bins, values.shape[1]))
        np.add.at(sums, places, values)
        number = np.bincount(places, minlength=bins)
        there = np.flatnonzero(number)
        means = np.round(sums[there] / number[there, None], 3)
        lanes.append(
            {"id": person, "bins": [[int(i), *row] for i, row in zip(there, means.tolist(), strict=True)]}
        )
    return {"from_s": from_s, "to_s": to_s, "bins": bins, "lanes": lanes, "hidden": len(numbers) - len(lanes)}


def frames_of(clip: ClipFaces, from_s: float, to_s: float) -> dict[str, Any]:
    """The frames in a stretch with the faces in them, and the first frame behind it.

    Returns ``{"frames": [[number, time, [[person, x, y, width, height, uncertain, corrected, warnings, share
    of each emotion...]]]], "to_s"}``; `to_s` is None at the clip's end.
    """
    begin, end = np.searchsorted(clip.times_s, [from_s - 1 / _ROUNDING, to_s])
    frames = []
    for i in range(begin, end):
        faces = [
            [
                int(clip.people[row]),
                *np.round(clip.boxes[row].astype(float), 1).tolist(),
                int(clip.uncertain[row]),
                int(clip.corrected[row]),
                str(clip.words[clip.warnings[row]]),
                *np.round(clip.emotions[row].astype(float), 3).tolist(),
            ]
            for row in range(clip.first[i], clip.first[i + 1])
            if clip.people[row]
        ]
        frames.append([int(clip.frames[i]), rounded(clip.times_s[i]), faces])
    behind = rounded(clip.times_s[end]) if end < len(clip.times_s) else None
    return {"frames": frames, "to_s": behind}


def rounded(time_s: float) -> float:
    """A time with six decimals that is never later than the frame: a split there includes the frame."""
    return float(np.floor(float(time_s) * _ROUNDING + 1e-3) / _ROUNDING)


def _share(part: float, whole: float) -> float:
    return round(float(part) / whole, 4) if whole else 0.0
