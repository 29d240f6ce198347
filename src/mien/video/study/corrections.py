"""What a person corrected in the results of a study: ``corrections.json``, to which entries are only added.

    {
      "format": "mien corrections 1",
      "entries": [
        {"number": 1, "clip": "talk", "kind": "merge", "people": [3, 4], "into": 1},
        {"number": 2, "clip": "talk", "kind": "split", "person": 1, "at_s": 12.48, "new": 7},
        {"number": 3, "clip": "talk", "kind": "rename", "person": 7, "name": "Anna"},
        {"number": 4, "clip": "talk", "kind": "exclude", "from_s": 0, "to_s": 2.5, "person": null},
        {"number": 5, "clip": "talk", "kind": "mark", "person": 1, "from_s": 3, "to_s": 4, "emotion": "sad"},
        {"number": 6, "clip": null, "kind": "undo", "entry": 2}
      ]
    }

Entries take effect in their order: each refers to people by their numbers after the entries before it. An
undo takes an earlier entry out of effect, as if it had never been there; the undo of an undo brings it back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from mien.errors import CorrectionError
from mien.files import write_atomically
from mien.names import json_text, shown

FILE = "corrections.json"
FORMAT = "mien corrections 1"
_LONGEST_NAME = 60


def _checked_name(name: str) -> str:
    """A name that can be written into every table and tier, and cannot be taken for a number."""
    if not name.strip() or name != name.strip() or not name.isprintable():
        raise PydanticCustomError("name", "use letters, without spaces at its ends")
    if name.lower().startswith("person ") and name[7:].strip().isdigit():
        raise PydanticCustomError("name", "this is how people without a name are called; use another name")
    return name


Person: TypeAlias = Annotated[int, Field(ge=1)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name: TypeAlias = Annotated[str, Field(max_length=_LONGEST_NAME), AfterValidator(_checked_name)]


class _Entry(BaseModel):
    """What every entry has.

    Attributes:
        number: its place in the file, from 1.
        clip: the clip's folder in the study; None for all clips.
        note: why, for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    number: int = Field(ge=1)
    clip: str | None = None
    note: str = ""


class _Stretch(_Entry):
    """An entry about a stretch of time: frames from `from_s` on, those at `to_s` not any more."""

    from_s: Seconds
    to_s: Seconds

    @model_validator(mode="after")
    def _in_order(self) -> _Stretch:
        if self.to_s <= self.from_s:
            raise PydanticCustomError("order", "to_s must be later than from_s")
        return self

    def holds(self, time_s: float) -> bool:
        """Whether a frame at this time is in it."""
        return self.from_s <= time_s < self.to_s


class Merge(_Entry):
    """Several numbers are one person: those of `people` become `into`."""

    kind: Literal["merge"]
    people: tuple[Person, ...] = Field(min_length=1, strict=False)
    into: Person

    @model_validator(mode="after")
    def _distinct(self) -> Merge:
        if self.into in self.people or len(set(self.people)) < len(self.people):
            raise PydanticCustomError("people", "name each person once, and `into` not among them")
        return self


class Split(_Entry):
    """One number is two people: from `at_s` on, `person` becomes `new`, a number that nobody has."""

    kind: Literal["split"]
    person: Person
    at_s: Seconds
    new: Person

    @model_validator(mode="after")
    def _distinct(self) -> Split:
        if self.new == self.person:
            raise PydanticCustomError("people", "the new number must be another one")
        return self


class Rename(_Entry):
    """A person has a name; None takes it away."""

    kind: Literal["rename"]
    person: Person
    name: Name | None


class Exclude(_Stretch):
    """A stretch does not count, for one person or for all (None)."""

    kind: Literal["exclude"]
    person: Person | None = None


class Mark(_Stretch):
    """A person shows this expression in a stretch, whatever the model predicted."""

    kind: Literal["mark"]
    person: Person
    emotion: str


class Undo(_Entry):
    """An earlier entry is out of effect."""

    kind: Literal["undo"]
    entry: int = Field(ge=1)


Correction: TypeAlias = Merge | Split | Rename | Exclude | Mark | Undo
_KINDS: dict[str, type[_Entry]] = {
    "merge": Merge,
    "split": Split,
    "rename": Rename,
    "exclude": Exclude,
    "mark": Mark,
    "undo": Undo,
}
_ADAPTER: TypeAdapter[Correction] = TypeAdapter(Annotated[Correction, Field(discriminator="kind")])


@dataclass(frozen=True)
class Corrections:
    """Checked entries, in their order.

    Attributes:
        entries: all of them.
        source: what messages call them: the file.
    """

    entries: tuple[Correction, ...] = ()
    source: str = FILE

    def __post_init__(self) -> None:
        _check_undos(self)

    @property
    def in_effect(self) -> tuple[Correction, ...]:
        """The entries without undos and what they undo."""
        undone = _undone(self.entries)
        return tuple(it for it in self.entries if not isinstance(it, Undo) and it.number not in undone)

    def of_clip(self, clip: str | None) -> tuple[Correction, ...]:
        """The entries in effect for a clip; for None, the clip is the only one that entries name.

        Raises:
            CorrectionError: `clip` is None, and the entries name several.
        """
        entries = self.in_effect
        if clip is not None:
            return tuple(it for it in entries if it.clip in (None, clip))
        if len(clips := sorted({it.clip for it in entries if it.clip is not None})) > 1:
            raise CorrectionError(
                f"{self.source} is about several clips: {', '.join(map(shown, clips[:5]))}. Name one with "
                "clip=."
            )
        return entries

    def facts(self, entries: Sequence[Correction] | None = None) -> dict[str, Any]:
        """What a sidecar has about the entries in effect, or about some of them; empty if there are none."""
        entries = self.in_effect if entries is None else entries
        if not entries:
            return {}
        text = "".join(json.dumps(to_dict(it), sort_keys=True) + "\n" for it in entries)
        numbers = [it.number for it in entries]
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {"corrections": {"count": len(entries), "entries": numbers, "sha256": digest}}

    def added(self, entries: Iterable[Mapping[str, Any]]) -> Corrections:
        """These corrections with further entries, whose numbers are filled in.

        Raises:
            CorrectionError: an entry cannot be used.
        """
        first = len(self.entries) + 1
        numbered = [{**entry, "number": number} for number, entry in enumerate(entries, start=first)]
        return Corrections((*self.entries, *(_read_entry(it, self.source) for it in numbered)), self.source)

    def text(self) -> str:
        """The content of the file."""
        lines = ",\n".join("    " + json_text(to_dict(it)) for it in self.entries)
        return f'{{\n  "format": {json.dumps(FORMAT)},\n  "entries": [\n{lines}\n  ]\n}}\n'


def to_dict(entry: Correction) -> dict[str, Any]:
    """An entry as plain values, as the file has it."""
    values = entry.model_dump(mode="json")
    if not values["note"]:
        del values["note"]
    return {name: values.pop(name) for name in ("number", "clip", "kind")} | values


def corrections_of(entries: Iterable[Mapping[str, Any]]) -> Corrections:
    """Entries from plain values, such as ``{"kind": "merge", "people": [2], "into": 1}``.

    Numbers may be left out.

    Raises:
        CorrectionError: an entry cannot be used.
    """
    numbered = [{"number": i, **entry} for i, entry in enumerate(entries, start=1)]
    return _of_entries(numbered, "corrections")


def read_corrections(path: str | Path) -> Corrections:
    """The corrections in a file.

    Raises:
        CorrectionError: the file cannot be read, or an entry cannot be used.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CorrectionError(f"{shown(path)} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise CorrectionError(
            f"{shown(path)} is not JSON ({error}). Correct the file, or restore a copy of it."
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise CorrectionError(
            f'{shown(path)}: the format is {found!r:.80}, but must be {FORMAT!r}: {{"format": "{FORMAT}", '
            '"entries": [...]}}.'
        )
    if not isinstance(entries := document.get("entries"), list) or len(document) > 2:
        raise CorrectionError(
            f"{shown(path)} must have two keys, format and entries, and entries must be a list."
        )
    return _of_entries(entries, shown(path))


def corrections_in(folder: Path) -> Corrections:
    """The corrections in the folder of a study; none where it has no such file.

    Raises:
        CorrectionError: as `read_corrections`.
    """
    path = folder / FILE
    return read_corrections(path) if path.exists() else Corrections(source=shown(path))


def keep_corrections(folder: Path, corrections: Corrections) -> None:
    """Writes the corrections into the folder of a study, where entries are only added.

    Raises:
        CorrectionError: the folder has entries that `corrections` lacks, or the file cannot be written.
    """
    path, known = folder / FILE, corrections_in(folder)
    if corrections.entries == known.entries:
        return
    for before, now in zip(known.entries, corrections.entries, strict=False):
        if before != now:
            raise CorrectionError(
                f"{corrections.source}, entry {now.number} is not that of {shown(path)}, to which entries "
                "are only added. Add an undo instead of changing an entry, or remove that file to begin anew."
            )
    if len(corrections.entries) < len(known.entries):
        raise CorrectionError(
            f"{corrections.source} has {len(corrections.entries)} entries, but {shown(path)} has "
            f"{len(known.entries)}: it would lose the last. Begin with a copy of that file, and add to it."
        )
    try:
        write_atomically(path, corrections.text())
    except OSError as error:
        raise CorrectionError(f"{shown(path)} cannot be written: {error.strerror or error}.") from error


def _of_entries(entries: Sequence[Any], source: str) -> Corrections:
    read = tuple(_read_entry(entry, source, place=i) for i, entry in enumerate(entries, start=1))
    for i, entry in enumerate(read, start=1):
        if entry.number != i:
            raise CorrectionError(
                f"{source}, entry {i}: its number is {entry.number}. Numbers count from 1 without gaps; "
                "entries are only added at the end."
            )
    return Corrections(read, source)


def _read_entry(entry: Any, source: str, *, place: int | None = None) -> Correction:
    try:
        return _ADAPTER.validate_python(entry)
    except ValidationError as error:
        number = place if place is not None else entry["number"]
        problem = _problem(error.errors(include_url=False)[0], entry)
        raise CorrectionError(f"{source}, entry {number}: {problem}") from None


def _problem(error: ErrorDetails, entry: Any) -> str:
    """What is wrong with an entry, in words: the key, the value, and what is allowed."""
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        kind = entry.get("kind") if isinstance(entry, Mapping) else None
        return f"the kind is {kind!r:.80}. Use {', '.join(_KINDS)}."
    where = [str(part) for part in error["loc"]]
    if not where or not isinstance(entry, Mapping):
        return f"it is {entry!r:.80}, but must be an object with keys, such as kind."
    kind, key = where[0], ".".join(where[1:])
    keys = ", ".join(name for name in _KINDS[kind].model_fields if name != "number")
    if error["type"] == "missing":
        return f"{key} is missing. The kind {kind} has the keys {keys}."
    if error["type"] == "extra_forbidden":
        return f"{key!r} is not known. The kind {kind} has the keys {keys}."
    message = error["msg"][0].lower() + error["msg"][1:]
    if not key:
        return f"{message}; this is {json_text(dict(entry))}."
    return f"{key} is {error['input']!r:.80}: {message}."


def _undone(entries: Sequence[Correction]) -> set[int]:
    """The numbers of entries that an undo in effect takes out of effect."""
    undone: set[int] = set()
    for entry in reversed(entries):
        if isinstance(entry, Undo) and entry.number not in undone:
            undone.add(entry.entry)
    return undone


def _check_undos(corrections: Corrections) -> None:
    """Raise for an undo of what comes later, or of what is out of effect."""
    for i, entry in enumerate(corrections.entries):
        if not isinstance(entry, Undo):
            continue
        where = f"{corrections.source}, entry {entry.number}"
        if entry.entry >= entry.number:
            raise CorrectionError(f"{where}: it undoes entry {entry.entry}, which does not come before it.")
        if entry.entry in _undone(corrections.entries[:i]):
            raise CorrectionError(
                f"{where}: entry {entry.entry} is undone already. To bring it back, undo the entry that "
                "did so."
            )
