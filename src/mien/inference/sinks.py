"""Results of photos as one JSON document, JSON lines, or CSV; each written as the images come."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from mien.inference.face import Face, face_columns
from mien.models.card import Head


@dataclass(frozen=True)
class ImageResult:
    """An image that was read, its size in pixels, and its faces (none is a result too)."""

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

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields one row of a table per face; without faces one row of the image alone."""
        image = {"source": self.source, "width": self.width, "height": self.height}
        if not self.faces:
            yield image
        for number, face in enumerate(self.faces, start=1):
            yield {**image, "face": number, **face.to_row()}


@dataclass(frozen=True)
class ImageFailure:
    """An image that could not be read, and why."""

    source: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """The failure as plain values for JSON."""
        return {"source": self.source, "error": self.error}


class Sink(Protocol):
    """Writes results as they come; `close` writes what can only be written last.

    With `contextlib.closing`, an interrupted run leaves a whole document too.
    """

    def write(self, result: ImageResult) -> None:
        """Write one image that was read."""

    def fail(self, failure: ImageFailure) -> None:
        """Write one image that could not be read."""

    def close(self) -> None:
        """Write the end. The stream stays open: it belongs to whoever opened it."""


class JsonSink:
    """One document: ``{"model": ..., "results": [...], "errors": [...]}``, one result per line.

    Results are written as they come; only the errors are kept until the end.
    """

    def __init__(self, stream: TextIO, model: str) -> None:
        self._stream = stream
        self._failures: list[ImageFailure] = []
        self._first = True
        stream.write(f'{{"model": {json.dumps(model)}, "results": [')

    def write(self, result: ImageResult) -> None:
        """Write one image that was read."""
        self._stream.write("\n" if self._first else ",\n")
        self._first = False
        self._stream.write(json.dumps(result.to_dict()))

    def fail(self, failure: ImageFailure) -> None:
        """Write one image that could not be read."""
        self._failures.append(failure)

    def close(self) -> None:
        """Write the errors and the end of the document."""
        errors = json.dumps([failure.to_dict() for failure in self._failures])
        self._stream.write(f'{"" if self._first else chr(10)}], "errors": {errors}}}\n')
        self._stream.flush()


class JsonLinesSink:
    """One JSON object per image and line; one that could not be read has ``error`` and no ``faces``."""

    def __init__(self, stream: TextIO, model: str) -> None:
        self._stream = stream
        self._model = model

    def write(self, result: ImageResult) -> None:
        """Write one image that was read."""
        self._line(result.to_dict())

    def fail(self, failure: ImageFailure) -> None:
        """Write one image that could not be read."""
        self._line(failure.to_dict())

    def close(self) -> None:
        """Do nothing: each line is written already."""

    def _line(self, values: dict[str, Any]) -> None:
        self._stream.write(json.dumps({"model": self._model, **values}) + "\n")
        self._stream.flush()  # a program that reads along gets each image when it is done


class CsvSink:
    """One row per face. An image without faces, or one that could not be read, has a row without a face.

    So every source is in the table, and an emotion's mean is that of the faces. `head` names the columns.
    """

    def __init__(self, stream: TextIO, head: Head) -> None:
        self._stream = stream
        fields = ["source", "width", "height", "face", *face_columns(head), "error"]
        self._rows = csv.DictWriter(stream, fields, lineterminator="\n")
        self._rows.writeheader()

    def write(self, result: ImageResult) -> None:
        """Write one image that was read."""
        self._rows.writerows(result.rows())

    def fail(self, failure: ImageFailure) -> None:
        """Write one image that could not be read."""
        self._rows.writerow({"source": failure.source, "error": failure.error})

    def close(self) -> None:
        """Flush the last rows."""
        self._stream.flush()
