"""The dictionary of every column of a study: meaning, unit, range, and how missing values are coded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from mien.inference.face import label_columns
from mien.inference.sinks import image_columns
from mien.models.card import Head
from mien.movements.measures import MEASURES
from mien.video.output.table import columns
from mien.video.study.measures import Measures

Kind: TypeAlias = Literal["string", "integer", "number", "boolean"]
# The tables of a clip, in the order in which they are written.
TABLES = ("frames", "people", "intervals", "events")
MISSING = "empty in CSV, null in Parquet"
_NEVER = "never missing"
_NOBODY = "missing in rows without a face"
_UNREAD = "missing if it cannot be read"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: without spaces, at most 64 characters.
        kind: of its values.
        description: what they are.
        unit: of numbers, or None.
        range: the least and the largest value; None where there is no limit.
        missing: when a value is missing. How it is coded: `MISSING`.
        derived: whether it is computed from other columns.
    """

    name: str
    kind: Kind
    description: str
    unit: str | None = None
    range: tuple[float | None, float | None] | None = None
    missing: str = _NEVER
    derived: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The entry of the sidecar."""
        entry: dict[str, Any] = {"type": self.kind, "description": self.description}
        if self.unit:
            entry["unit"] = self.unit
        if self.range:
            entry["range"] = list(self.range)
        return entry | {"missing": self.missing, "derived": self.derived}


_SOURCE = Column("source", "string", "the file as it was given")
_PERSON = "the person's number in this clip, from 1; it identifies nobody"
_NAME = Column("name", "string", "the person's name in corrections.json", missing="missing if there is none")
_CHANGE = "how much the face differs from when it appeared, on 8 x 8 pixels"
_VALENCE = "happy less the strongest of angry, disgust, fear and sad, as FaceReader defines valence"


def _seconds(name: str, description: str, missing: str = _NEVER) -> Column:
    return Column(name, "number", description, "s", (0, None), missing)


def _share(name: str, description: str, missing: str = _NEVER, *, derived: bool = False) -> Column:
    return Column(name, "number", description, "share", (0, 1), missing, derived)


def _corrected(of: str, missing: str = _NEVER) -> Column:
    return _share("corrected", f"share of {of} in which a person set the emotion", missing)


# Columns of frames and of images; probabilities are added for each model.
_FACE = {
    column.name: column
    for column in (
        _SOURCE,
        Column("width", "integer", "width of the image", "pixel", (1, None), _UNREAD),
        Column("height", "integer", "height of the image", "pixel", (1, None), _UNREAD),
        Column("frame", "integer", "the frame's number in the clip, from 0", None, (0, None)),
        _seconds("time_s", "when the frame is shown, since the clip's beginning as a player shows it"),
        Column("x", "number", "left side of the face's box", "pixel", (None, None), _NOBODY),
        Column("y", "number", "upper side of the face's box", "pixel", (None, None), _NOBODY),
        Column("box_width", "number", "width of the face's box", "pixel", (0, None), _NOBODY),
        Column("box_height", "number", "height of the face's box", "pixel", (0, None), _NOBODY),
        _share("confidence", "the detector's confidence that this is a face", _NOBODY),
        Column("detected", "boolean", "true: detected in this frame; false: interpolated", missing=_NOBODY),
        Column("change", "number", _CHANGE, "gray level", (0, 255), _NOBODY),
        Column("top", "string", "the most probable emotion", missing=_NOBODY),
        Column("uncertain", "boolean", "whether no single emotion should be reported", missing=_NOBODY),
        Column("valence", "number", _VALENCE, "difference of shares", (-1, 1), _NOBODY, True),
        Column(
            "warnings",
            "string",
            "in which ways the face is worse seen than what the model was measured on, separated by "
            "semicolons; empty if in none",
            missing=_NOBODY,
        ),
        Column("error", "string", "why the file cannot be read", missing="missing if it was read"),
    )
}
# Columns of movements, with --movements; their formulas are in docs/movements.md.
_MOVEMENTS = {
    name: Column(
        name,
        "number",
        description,
        unit,
        limits,
        "missing without a face and where the face mesh finds no landmarks, as in profile"
        + ("; and if both eyes are closed" if name.startswith("gaze_") else ""),
    )
    for name, (description, unit, limits) in MEASURES.items()
}
# What a data set of photos keeps of each file, to find out later whether it has changed.
_FILE = (
    Column("file_id", "string", "identifies the file in this data set: 16 hex digits"),
    Column("bytes", "integer", "size of the file", "byte", (0, None), "missing if it is not known"),
    Column("version", "string", "time of its last change in ns since 1970, or the tag of the store"),
    Column("sha256", "string", "SHA-256 of its content, in hex", missing="missing if no byte could be read"),
)
_FAILURE = (
    Column(
        "error",
        "string",
        "kind of error: OSError (no bytes; a second run tries again), ImageError, ImageTooLarge or another",
        missing="missing if it was read",
    ),
    Column("message", "string", "why it could not be read", missing="missing if it was read"),
)


def frame_columns(head: Head, measures: Measures) -> list[Column]:
    """The columns of frames: those of `mien predict`, and changes from rest if there is one."""
    movements = any(name in MEASURES for name in measures.names)
    names = label_columns(head)
    known = _FACE | _MOVEMENTS | {"face_id": Column("face_id", "integer", _PERSON, None, (1, None), _NOBODY)}
    for name in names:
        known[name] = _share(name, f"probability of {name}, smoothed over time", _NOBODY)
        raw = f"raw_{name}"
        known[raw] = _share(raw, f"probability of {name} in this frame alone", _NOBODY)
    changes = [name for name in measures.names if name.startswith("delta_")]
    set_by_hand = "true: a person set the emotion, which has probability 1; false: it is predicted"
    return [
        *(_known(known, name) for name in columns(head, movements=movements)),
        *(_measure("", name, _no_rest(name)) for name in changes),
        _NAME,
        Column("corrected", "boolean", set_by_hand, missing=_NOBODY),
    ]


def images_columns(head: Head, *, movements: bool = False) -> list[Column]:
    """The columns of photos: of each file, of the face in it, and why a file could not be read."""
    number = Column("face_id", "integer", "number of the face in the photo, from 1", None, (1, None), _NOBODY)
    known = _FACE | _MOVEMENTS | {"face_id": number}
    known |= {name: _share(name, f"probability of {name}", _NOBODY) for name in label_columns(head)}
    names = image_columns(head, movements=movements)
    source, *rest = (_known(known, name) for name in names if name != "error")
    return [source, *_FILE, *rest, *_FAILURE]


def clips_columns(head: Head, *, movements: bool = False) -> list[Column]:
    """The columns of a data set of clips: of each file, of the frame, and why a file could not be read."""
    frames = {column.name: column for column in frame_columns(head, Measures(head, movements=movements))}
    known = {name: _FACE[name] for name in ("width", "height", "warnings")} | frames
    whole = "missing in a row that says what went wrong with the clip"
    known |= {name: replace(known[name], missing=whole) for name in ("frame", "time_s")}
    names = columns(head, images=True, movements=movements)
    source, *rest = (_known(known, name) for name in names if name != "error")
    return [source, *_FILE, *rest, *_FAILURE]


def people_columns(measures: Measures) -> list[Column]:
    """The columns of people."""
    emotions, names = measures.emotions, measures.names
    return [
        _SOURCE,
        Column("face_id", "integer", _PERSON, None, (1, None)),
        _NAME,
        _seconds("first_s", "when the face was first seen"),
        _seconds("last_s", "when the face was last seen"),
        _seconds("seconds", "for how long the face was seen in all"),
        Column("top", "string", "the emotion that was the most probable one for longest"),
        *(_share(f"share_{name}", f"share of the time with {name} as most probable") for name in emotions),
        _share("uncertain", "share of the time in which no single emotion should be reported"),
        _share("warned", "share of the time in which the face is hard to see, see warnings in frames"),
        Column("switches", "integer", "changes of the most probable emotion", None, (0, None)),
        Column("longest", "string", "the emotion of the longest run"),
        _seconds("longest_start_s", "when the longest run began"),
        _seconds("longest_s", "length of the longest run"),
        _share("confidence", "mean of the detector's confidence"),
        Column("static", "boolean", "true: the face does not change while it is seen, as on a poster"),
        _share("share_of_clip", "share of the analyzed time in which the face was seen", derived=True),
        _share("missing", "share of the time from first to last seen without the face", derived=True),
        _corrected("the time"),
        *(_seconds(f"longest_{name}_s", f"length of the longest run of {name}") for name in emotions),
        *(_measure("mean_", name, _rest(name)) for name in names),
        *(_measure("sd_", name, _rest(name)) for name in names),
    ]


def interval_columns(measures: Measures) -> list[Column]:
    """The columns of intervals."""
    unseen = "missing if the face was not seen in the interval"
    return [
        _SOURCE,
        Column("face_id", "integer", _PERSON, None, (1, None)),
        _NAME,
        _seconds("start_s", "beginning of the interval"),
        _seconds("end_s", "end of the interval"),
        _seconds("seconds", "for how long the face was seen"),
        _share("missing", "share of the analyzed time of the interval without the face", derived=True),
        Column(
            "frames", "integer", "analyzed frames that begin in the interval with the face", None, (0, None)
        ),
        Column("top", "string", "the emotion with the largest mean", missing=unseen, derived=True),
        _share("uncertain", "share of the seconds in which no single emotion should be reported", unseen),
        _corrected("the seconds", unseen),
        *(_measure("mean_", name, _unmeasured(name, unseen)) for name in measures.names),
    ]


def event_columns(*, change: bool) -> list[Column]:
    """The columns of events; with `change`, events are found in changes from rest."""
    of = "change from rest" if change else "probability"
    low = -1 if change else 0
    return [
        _SOURCE,
        Column("face_id", "integer", _PERSON, None, (1, None)),
        _NAME,
        Column("emotion", "string", f"the emotion whose {of} reached the threshold"),
        _seconds("onset_s", "when it reached the threshold"),
        _seconds("offset_s", "when it fell below the threshold less the hysteresis, or the face was gone"),
        _seconds("duration_s", "from onset to offset"),
        Column("onset_frame", "integer", "number of the first frame", None, (0, None)),
        Column("offset_frame", "integer", "number of the last frame", None, (0, None)),
        Column("peak", "number", f"the largest {of}", "share", (low, 1)),
        _seconds("peak_s", "when the peak was first reached"),
        Column("mean", "number", f"mean {of}", "share", (low, 1)),
        Column("onset_censored", "boolean", "true: the face appeared here, so the true onset is not known"),
        Column("offset_censored", "boolean", "true: the face or the clip ended here"),
        _corrected("the event"),
    ]


def describe(columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
    """The dictionary of a table, for its sidecar."""
    return {column.name: column.to_dict() for column in columns}


def _known(known: dict[str, Column], name: str) -> Column:
    try:
        return known[name]
    except KeyError:
        raise KeyError(f"the column {name!r} has no entry in mien.video.study.dictionary") from None


def _rest(name: str) -> str:
    return _unmeasured(name, "missing without a rest" if name.startswith("delta_") else _NEVER)


def _no_rest(name: str) -> str:
    return _unmeasured(name, f"{_NOBODY} and of people without a rest")


def _unmeasured(name: str, missing: str) -> str:
    """When a measure is missing: a movement also where there are no landmarks."""
    if name.removeprefix("delta_") not in MEASURES:
        return missing
    none = "missing if no frame has landmarks, as in profile"
    return none if missing == _NEVER else f"{missing}; {none}"


def _measure(prefix: str, name: str, missing: str) -> Column:
    """A column of an emotion, of valence, of a movement, or of a change of one of them."""
    kind = {"mean_": "mean over time of ", "sd_": "standard deviation over time of ", "": ""}[prefix]
    what = name.removeprefix("delta_")
    text, unit, (low, high) = _measured(what)
    if what != name:
        text = f"the change from the person's own rest of: {text}"
        low, high = (None, None) if low is None or high is None else (low - high, high - low)
    if prefix == "sd_":
        # Valence is a difference of two shares, and no spread of it can exceed 1.
        low, high = 0.0, high if what in MEASURES else 1.0
    return Column(f"{prefix}{name}", "number", kind + text, unit, (low, high), missing, True)


def _measured(what: str) -> tuple[str, str, tuple[float | None, float | None]]:
    """What a measure is, its unit, and its least and largest value."""
    if what in MEASURES:
        return MEASURES[what]
    if what == "valence":
        return _VALENCE, "share", (-1.0, 1.0)
    return f"the probability of {what}, smoothed over time", "share", (0.0, 1.0)
