"""Where results go: one JSON document, JSON lines, or CSV; each written as the pictures come."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from mien.inference.face import Face


@dataclass(frozen=True)
class ImageResult:
    """A picture that was read, its size in pixels, and the faces found in it (none is a result too)."""

    source: str
    width: int
    height: int
    faces: tuple[Face, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values for JSON."""
        return {
            "source": self.source,
            "width": self.width,
            "height": self.height,
            "faces": [face.to_dict() for face in self.faces],
        }


@dataclass(frozen=True)
class ImageFailure:
    """A picture that could not be read, and why."""

    source: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """The failure as plain values for JSON."""
        return {"source": self.source, "error": self.error}


class Sink(Protocol):
    """Takes results as they come; closing it writes what can only be written last.

    With `contextlib.closing`, an interrupted run leaves a whole document too.
    """

    def write(self, result: ImageResult) -> None:
        """Take one picture that was read."""

    def fail(self, failure: ImageFailure) -> None:
        """Take one picture that could not be read."""

    def close(self) -> None:
        """Write the end. The stream stays open: it belongs to whoever opened it."""


class JsonSink:
    """One document: ``{"model": ..., "results": [...], "errors": [...]}``, one result a line.

    Results are written as they come; only the errors are kept until the end.
    """

    def __init__(self, stream: TextIO, model: str) -> None:
        self._stream = stream
        self._failures: list[ImageFailure] = []
        self._first = True
        stream.write(f'{{"model": {json.dumps(model)}, "results": [')

    def write(self, result: ImageResult) -> None:
        """Take one picture that was read."""
        self._stream.write("\n" if self._first else ",\n")
        self._first = False
        self._stream.write(json.dumps(result.to_dict()))

    def fail(self, failure: ImageFailure) -> None:
        """Take one picture that could not be read."""
        self._failures.append(failure)

    def close(self) -> None:
        """Write the errors and the end of the document."""
        errors = json.dumps([failure.to_dict() for failure in self._failures])
        self._stream.write(f'{"" if self._first else chr(10)}], "errors": {errors}}}\n')
        self._stream.flush()


class JsonLinesSink:
    """One JSON object a picture and line; one that could not be read has ``error`` and no ``faces``."""

    def __init__(self, stream: TextIO, model: str) -> None:
        self._stream = stream
        self._model = model

    def write(self, result: ImageResult) -> None:
        """Take one picture that was read."""
        self._line(result.to_dict())

    def fail(self, failure: ImageFailure) -> None:
        """Take one picture that could not be read."""
        self._line(failure.to_dict())

    def close(self) -> None:
        """Nothing is left to write."""

    def _line(self, values: dict[str, Any]) -> None:
        self._stream.write(json.dumps({"model": self._model, **values}) + "\n")
        self._stream.flush()  # whoever reads along sees each picture when it is done


class CsvSink:
    """One row a face. A picture without faces, or one that could not be read, has a row without a face.

    So every source that was asked about is in the table, and an emotion's mean is that of the faces.
    """

    def __init__(self, stream: TextIO, emotions: Sequence[str], abstentions: Sequence[str] = ()) -> None:
        fields = ["source", "width", "height", "face", "x", "y", "box_width", "box_height", "confidence"]
        fields += ["top", "uncertain", *emotions, *abstentions, "error"]
        self._stream = stream
        self._rows = csv.DictWriter(stream, fields, lineterminator="\n")
        self._rows.writeheader()

    def write(self, result: ImageResult) -> None:
        """Take one picture that was read."""
        picture = {"source": result.source, "width": result.width, "height": result.height}
        if not result.faces:
            self._rows.writerow(picture)
        for number, face in enumerate(result.faces, start=1):
            values = face.to_dict()
            box = zip(("x", "y", "box_width", "box_height"), values["box"], strict=True)
            said = {key: values[key] for key in ("confidence", "top", "uncertain")}
            self._rows.writerow(
                {**picture, "face": number, **dict(box), **said, **face.emotions, **face.abstentions}
            )

    def fail(self, failure: ImageFailure) -> None:
        """Take one picture that could not be read."""
        self._rows.writerow({"source": failure.source, "error": failure.error})

    def close(self) -> None:
        """Hand the last rows to the stream."""
        self._stream.flush()
