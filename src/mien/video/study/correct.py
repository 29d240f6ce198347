"""Applies corrections to the results of a clip, a frame at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mien.errors import CorrectionError
from mien.video.results import AnalyzedFrame, FrameResult, TrackedFace
from mien.video.study.corrections import Correction, Corrections, Exclude, Mark, Merge, Rename, Split

# A face with the number that its person has without corrections.
Numbered = tuple[int, TrackedFace]


@dataclass(frozen=True)
class ClipCorrections:
    """The corrections in effect for one clip.

    Attributes:
        entries: in their order.
        source: what messages call them.
        general: numbers of those about all clips of a study, which need not fit every one.
    """

    entries: tuple[Correction, ...] = ()
    source: str = ""
    general: frozenset[int] = frozenset()

    @property
    def names(self) -> dict[int, str]:
        """A person's number, after all corrections, to their name."""
        names: dict[int, str] = {}
        for entry in self.entries:
            if isinstance(entry, Rename):
                names.pop(entry.person, None)
                if entry.name is not None:
                    self._check_name(entry, names)
                    names[entry.person] = entry.name
            elif isinstance(entry, Merge):
                theirs = [names.pop(person) for person in entry.people if person in names]
                if theirs:
                    names.setdefault(entry.into, theirs[0])
        return names

    def part_of(self, person: int, time_s: float) -> int | None:
        """Who a person of the uncorrected results is at a time; None for nobody, in an excluded stretch."""
        for entry in self.entries:
            if isinstance(entry, Merge) and person in entry.people:
                person = entry.into
            elif isinstance(entry, Split) and person == entry.person and time_s >= entry.at_s:
                person = entry.new
            elif isinstance(entry, Exclude) and entry.person in (None, person) and entry.holds(time_s):
                return None
        return person

    def correct(self, results: Iterable[FrameResult], *, check: bool = True) -> Iterator[FrameResult]:
        """Yields the corrected results.

        Args:
            results: of the clip, in order.
            check: raise for entries about this clip that are about nobody in these results.

        Raises:
            CorrectionError: an entry does not fit the results.
        """
        steps = _steps(self)
        for result in results:
            yield replace(result, faces=tuple(face for _, face in _apply(steps, result)))
        if check:
            self._check(steps)

    def unused(self, results: Iterable[FrameResult], *, check: bool = True) -> set[int]:
        """The numbers of entries about all clips that are about nobody in these results.

        Raises:
            CorrectionError: as `correct`.
        """
        steps = _steps(self)
        for result in results:
            _apply(steps, result)
        if check:
            self._check(steps)
        return {step.number for step in steps if step.number in self.general and step.problem()}

    def correct_details(
        self, details: Iterable[AnalyzedFrame], *, check: bool = True
    ) -> Iterator[AnalyzedFrame]:
        """As `correct`, for results with their thumbnails."""
        steps = _steps(self)
        for analyzed in details:
            faces = _apply(steps, analyzed.result)
            numbers = {before: face.id for before, face in faces}
            images = analyzed.thumbnails.items()
            result = replace(analyzed.result, faces=tuple(face for _, face in faces))
            thumbnails = {numbers[person]: jpeg for person, jpeg in images if person in numbers}
            yield replace(analyzed, result=result, thumbnails=thumbnails)
        if check:
            self._check(steps)

    def _check(self, steps: list[_Step]) -> None:
        for step in steps:
            if step.number not in self.general and (problem := step.problem()):
                raise problem

    def _check_name(self, entry: Rename, names: dict[int, str]) -> None:
        for person, name in names.items():
            if name == entry.name:
                raise CorrectionError(
                    f"{self.source}, entry {entry.number}: {name!r} is the name of person {person}. Merge "
                    "the two, or give another name."
                )


def clip_corrections(corrections: Corrections, clip: str | None = None) -> ClipCorrections:
    """The corrections in effect for a clip, see `Corrections.of_clip`.

    Raises:
        CorrectionError: two people have the same name, or `clip` is needed.
    """
    entries = corrections.of_clip(clip)
    general = frozenset(entry.number for entry in entries if clip is not None and entry.clip is None)
    found = ClipCorrections(entries, corrections.source, general)
    _ = found.names
    return found


class _Step:
    """One entry on its way through a clip.

    Attributes:
        number: of the entry.
        seen: the people of the entry who were met.
    """

    def __init__(self, entry: Correction, source: str) -> None:
        self.number = entry.number
        self._where = f"{source}, entry {entry.number} ({entry.kind})"
        self.seen: set[Any] = set()

    def apply(self, result: FrameResult, faces: list[Numbered], /) -> list[Numbered]:
        """The faces of a frame, corrected."""
        raise NotImplementedError

    def wanted(self) -> Iterator[tuple[Any, str]]:
        """What must have been met, with the message if it was not."""
        raise NotImplementedError

    def fail(self, message: str) -> CorrectionError:
        return CorrectionError(f"{self._where}: {message}")

    def problem(self) -> CorrectionError | None:
        """That the entry is about nobody, or None."""
        missed = (message for what, message in self.wanted() if what not in self.seen)
        message = next(missed, None)
        return None if message is None else self.fail(message)


class _MergeStep(_Step):
    def __init__(self, entry: Merge, source: str) -> None:
        super().__init__(entry, source)
        self._entry = entry
        self._people = {*entry.people, entry.into}

    def apply(self, result: FrameResult, faces: list[Numbered]) -> list[Numbered]:
        mine = [face.id for _, face in faces if face.id in self._people]
        self.seen |= set(mine)
        if len(mine) > 1:
            raise self.fail(
                f"people {mine[0]} and {mine[1]} are both seen in frame {result.frame}, at "
                f"{result.time_s:.2f} s. Exclude that stretch for one of them before the merge, or split one."
            )
        if not mine or mine[0] == self._entry.into:
            return faces
        return [(b, replace(it, id=self._entry.into) if it.id in self._people else it) for b, it in faces]

    def wanted(self) -> Iterator[tuple[Any, str]]:
        for person in (*self._entry.people, self._entry.into):
            yield person, _nobody(person)


class _SplitStep(_Step):
    def __init__(self, entry: Split, source: str) -> None:
        super().__init__(entry, source)
        self._entry = entry

    def apply(self, result: FrameResult, faces: list[Numbered]) -> list[Numbered]:
        entry, found = self._entry, []
        for before, face in faces:
            if face.id == entry.new:
                raise self.fail(f"the number {entry.new} is taken. Give `new` a number that nobody has.")
            if face.id == entry.person:
                after = result.time_s >= entry.at_s
                self.seen.add(after)
                face = replace(face, id=entry.new) if after else face
            found.append((before, face))
        return found

    def wanted(self) -> Iterator[tuple[Any, str]]:
        entry = self._entry
        if not self.seen:
            yield None, _nobody(entry.person)
        for after, side in ((False, "before"), (True, "at or after")):
            yield (
                after,
                f"person {entry.person} is not seen {side} {entry.at_s:g} s: nothing to split. Check at_s.",
            )


class _RenameStep(_Step):
    def __init__(self, entry: Rename, source: str) -> None:
        super().__init__(entry, source)
        self._person = entry.person

    def apply(self, _: FrameResult, faces: list[Numbered]) -> list[Numbered]:
        self.seen |= {face.id for _, face in faces if face.id == self._person}
        return faces

    def wanted(self) -> Iterator[tuple[Any, str]]:
        yield self._person, _nobody(self._person)


class _ExcludeStep(_Step):
    def __init__(self, entry: Exclude, source: str) -> None:
        super().__init__(entry, source)
        self._entry = entry

    def apply(self, result: FrameResult, faces: list[Numbered]) -> list[Numbered]:
        if not self._entry.holds(result.time_s):
            return faces
        person = self._entry.person
        self.seen |= {None, *(face.id for _, face in faces)}
        return [] if person is None else [(before, face) for before, face in faces if face.id != person]

    def wanted(self) -> Iterator[tuple[Any, str]]:
        entry = self._entry
        where = f"from {entry.from_s:g} to {entry.to_s:g} s. Check the numbers and the times."
        yield None, f"no frame was analyzed {where}"
        yield entry.person, f"the clip has no person {entry.person} {where}"


class _MarkStep(_Step):
    def __init__(self, entry: Mark, source: str) -> None:
        super().__init__(entry, source)
        self._entry = entry

    def apply(self, result: FrameResult, faces: list[Numbered]) -> list[Numbered]:
        entry = self._entry
        if not entry.holds(result.time_s):
            return faces
        return [(before, self._marked(face) if face.id == entry.person else face) for before, face in faces]

    def wanted(self) -> Iterator[tuple[Any, str]]:
        entry = self._entry
        where = f"from {entry.from_s:g} to {entry.to_s:g} s. Check the numbers and the times."
        yield entry.person, f"the clip has no person {entry.person} {where}"

    def _marked(self, tracked: TrackedFace) -> TrackedFace:
        face, emotion = tracked.face, self._entry.emotion
        if emotion not in face.emotions:
            raise self.fail(f"emotion is {emotion!r}. This model has {', '.join(face.emotions)}.")
        self.seen.add(tracked.id)
        marked = replace(
            face,
            emotions={name: float(name == emotion) for name in face.emotions},
            abstentions=dict.fromkeys(face.abstentions, 0.0),
            votes=None,
            warnings=(),
        )
        return replace(tracked, face=marked, corrected=True)


_STEPS: dict[str, Any] = {
    "merge": _MergeStep,
    "split": _SplitStep,
    "rename": _RenameStep,
    "exclude": _ExcludeStep,
    "mark": _MarkStep,
}


def _steps(corrections: ClipCorrections) -> list[_Step]:
    return [_STEPS[entry.kind](entry, corrections.source) for entry in corrections.entries]


def _apply(steps: list[_Step], result: FrameResult) -> list[Numbered]:
    faces = [(face.id, face) for face in result.faces]
    for step in steps:
        faces = step.apply(result, faces)
    return faces


def _nobody(person: int) -> str:
    return (
        f"the clip has no person {person} at this point. Check the number; if an entry before made it and is "
        "undone, undo this one as well."
    )
