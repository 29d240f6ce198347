"""The faces of clips as a tidy table, a row a face and picture: CSV, JSON, Parquet or pandas."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mien.errors import MissingExtra
from mien.models.card import Head
from mien.video.results import FrameResult, TrackedFace

if TYPE_CHECKING:
    import pandas

_PLACE = ("source", "frame", "time_s", "face_id", "x", "y", "box_width", "box_height")
_SAID = ("confidence", "detected", "top", "uncertain")


def columns(head: Head) -> list[str]:
    """The table's columns for a model's head: place and time, what is said, smoothed and then raw numbers."""
    emotions = [label for label in head.labels if label not in head.abstain]
    numbers = [*emotions, *head.abstain]
    return [*_PLACE, *_SAID, *numbers, *(f"raw_{name}" for name in numbers)]


def rows(result: FrameResult) -> Iterator[dict[str, Any]]:
    """A picture's rows, one a face; a picture without faces has one without a face.

    So every picture that was looked at is in the table. Times and probabilities have six decimals.
    """
    place = {"source": result.source, "frame": result.frame, "time_s": round(result.time_s, 6)}
    if not result.faces:
        yield place
    for face in result.faces:
        yield place | _row(face)


def to_frame(results: Iterable[FrameResult]) -> pandas.DataFrame:
    """A pandas table of results, a row a face and picture; pictures without faces have one without a face.

    Columns: source, frame, time_s, face_id, x, y, box_width, box_height, confidence, detected, top,
    uncertain, then each emotion (smoothed over time) and each ``raw_`` one (of that picture alone).

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra("tables of videos", "video") from None
    made = [row for result in results for row in rows(result)]
    widest = max(made, key=len, default={})
    frame = pd.DataFrame(made, columns=list(dict.fromkeys([*_PLACE, *_SAID, *widest])))
    return frame.astype({"face_id": "Int64", "detected": "boolean", "uncertain": "boolean"})


def _row(face: TrackedFace) -> dict[str, Any]:
    box = zip(_PLACE[4:], (round(value, 2) for value in face.box), strict=True)
    confidence = face.face.confidence
    smooth, raw = face.face, face.raw
    return {
        "face_id": face.id,
        **dict(box),
        "confidence": None if confidence is None else round(confidence, 4),
        "detected": face.detected,
        "top": face.top[0],
        "uncertain": smooth.uncertain,
        **{name: round(p, 6) for name, p in (smooth.emotions | smooth.abstentions).items()},
        **{f"raw_{name}": round(p, 6) for name, p in (raw.emotions | raw.abstentions).items()},
    }


class Form(Protocol):
    """How results become text, one after another."""

    def begin(self) -> str:
        """What stands before the first result."""

    def go_on(self, offset: int) -> None:
        """Go on behind so many bytes of what another one wrote."""

    def result(self, result: FrameResult) -> str:
        """A result."""

    def end(self, errors: Sequence[dict[str, str]]) -> str:
        """What stands behind the last; `errors` are the clips that could not be read."""


class CsvForm:
    """A header and a line a face."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def begin(self) -> str:
        """The header."""
        return self._line(self._names)

    def go_on(self, offset: int) -> None:
        """Needs nothing."""

    def result(self, result: FrameResult) -> str:
        """A line a face."""
        return "".join(self._line([row.get(name) for name in self._names]) for row in rows(result))

    def end(self, errors: Sequence[dict[str, str]]) -> str:  # noqa: ARG002
        """Nothing."""
        return ""

    def _line(self, values: list[Any]) -> str:
        line = _Line()
        csv.writer(line, lineterminator="\n").writerow(values)
        return line.text


class JsonLinesForm:
    """A JSON object a face and line, with the table's columns as keys."""

    def begin(self) -> str:
        """Nothing."""
        return ""

    def go_on(self, offset: int) -> None:
        """Needs nothing."""

    def result(self, result: FrameResult) -> str:
        """A line a face."""
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(result))

    def end(self, errors: Sequence[dict[str, str]]) -> str:
        """A line a clip that could not be read."""
        return "".join(json.dumps(error, ensure_ascii=False) + "\n" for error in errors)


class JsonForm:
    """One document: ``{"model": ..., "results": [one a picture], "errors": [...]}``."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._separator = "\n"

    def begin(self) -> str:
        """The document's head."""
        return f'{{"model": {json.dumps(self._model)}, "results": ['

    def go_on(self, offset: int) -> None:
        """Behind the head alone there is no result to set the next one apart from."""
        if offset > len(self.begin()):
            self._separator = ",\n"

    def result(self, result: FrameResult) -> str:
        """An object a picture."""
        separator, self._separator = self._separator, ",\n"
        return separator + json.dumps(result.to_dict(), ensure_ascii=False)

    def end(self, errors: Sequence[dict[str, str]]) -> str:
        """The document's tail."""
        return f'\n], "errors": {json.dumps(list(errors), ensure_ascii=False)}}}\n'


class _Line:
    """What `csv.writer` writes to."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text
