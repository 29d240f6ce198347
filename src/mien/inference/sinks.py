"""Where results go: one JSON document, JSON lines, or CSV; each is written as results come."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from mien.inference.face import Face, face_columns
from mien.models.card import Head
from mien.names import csv_cell, json_text

_BETWEEN = "; "  # two warnings in a cell


def image_columns(head: Head, *, movements: bool = False) -> list[str]:
    """The columns of a table of images, one row per face."""
    face = face_columns(head, movements=movements)
    return ["source", "width", "height", "face_id", *face, "warnings", "error"]


def warnings_cell(face: Face) -> str:
    """The warnings of a face in one cell: empty where there are none."""
    return _BETWEEN.join(face.warnings)


def split_warnings(cell: str) -> tuple[str, ...]:
    """The warnings in a cell of `warnings_cell`."""
    return tuple(cell.split(_BETWEEN)) if cell else ()


class Result(Protocol):
    """What a sink takes: the results of an image, or of a frame of a clip."""

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values for JSON."""
        ...

    def rows(self) -> Iterator[dict[str, Any]]:
        """The result as rows of a table, one per face; one row without a face where there is none."""
        ...


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
        """One row per face; one row without a face where there is none."""
        image = {"source": self.source, "width": self.width, "height": self.height}
        if not self.faces:
            yield image
        for number, face in enumerate(self.faces, start=1):
            yield {**image, "face_id": number, **face.to_row(), "warnings": warnings_cell(face)}


@dataclass(frozen=True)
class ReadFailure:
    """An image or a clip that cannot be read, and why."""

    source: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """The failure as plain values for JSON."""
        return {"source": self.source, "error": self.error}


class Sink(Protocol):
    """Takes results as they come; closing it writes what can only be written last.

    With `contextlib.closing`, an interrupted run leaves a whole document too.
    """

    def write(self, result: Any) -> None:
        """Take one result."""

    def fail(self, failure: ReadFailure) -> None:
        """Take one source that cannot be read."""

    def close(self) -> None:
        """Write the end. The stream stays open: it belongs to whoever opened it."""


class JsonSink:
    """One document: ``{"model": ..., "results": [...], "errors": [...]}``, one result per line.

    Results are written as they come; only the errors are kept until the end.

    Args:
        stream: takes the text.
        model: the model's name.
        size: resume: so many bytes of the document are in the stream already.
        failures: resume: those of before.
    """

    def __init__(
        self, stream: IO[str], model: str, *, size: int | None = None, failures: Iterable[ReadFailure] = ()
    ) -> None:
        self._stream = stream
        self._failures = list(failures)
        head = f'{{"model": {json_text(model)}, "results": ['
        self._first = size is None or size <= len(head)
        if size is None:
            stream.write(head)

    def write(self, result: Result) -> None:
        """Take one result."""
        self._stream.write("\n" if self._first else ",\n")
        self._first = False
        self._stream.write(json_text(result.to_dict()))

    def fail(self, failure: ReadFailure) -> None:
        """Take one source that cannot be read."""
        self._failures.append(failure)

    def close(self) -> None:
        """Write the errors and the end of the document."""
        errors = json_text([failure.to_dict() for failure in self._failures])
        self._stream.write(f'{"" if self._first else chr(10)}], "errors": {errors}}}\n')
        self._stream.flush()


class JsonLinesSink:
    """One JSON object per line; a source that cannot be read has ``error`` and no ``faces``.

    Args:
        stream: takes the text.
        common: stands first in every line, such as the model's name.
        rows: one line per row of the result instead of one line per result.
    """

    def __init__(
        self, stream: IO[str], common: Mapping[str, Any] | None = None, *, rows: bool = False
    ) -> None:
        self._stream, self._common, self._rows = stream, common or {}, rows

    def write(self, result: Result) -> None:
        """Take one result."""
        for values in result.rows() if self._rows else (result.to_dict(),):
            self._line(values)
        self._stream.flush()  # whoever reads along sees each result when it is done

    def fail(self, failure: ReadFailure) -> None:
        """Take one source that cannot be read."""
        self._line(failure.to_dict())

    def close(self) -> None:
        """Nothing is left to write."""
        self._stream.flush()

    def _line(self, values: dict[str, Any]) -> None:
        self._stream.write(json_text({**self._common, **values}) + "\n")


class CsvSink:
    """One row per face. An image or a frame without faces has one row without a face.

    So every source is in the table, and the mean of an emotion is that of the faces. A source that cannot be
    read has a row too, where there is a column ``error``. Text goes through `mien.names.csv_cell`.

    Args:
        stream: takes the text.
        columns: of the table, such as `image_columns`.
        header: write the names of the columns first.
    """

    def __init__(self, stream: IO[str], columns: Sequence[str], *, header: bool = True) -> None:
        self._stream = stream
        self._rows = csv.DictWriter(stream, columns, lineterminator="\n")
        if header:
            self._rows.writeheader()

    def write(self, result: Result) -> None:
        """Take one result."""
        self._rows.writerows(_cells(row) for row in result.rows())

    def fail(self, failure: ReadFailure) -> None:
        """Take one source that cannot be read."""
        if "error" in self._rows.fieldnames:
            self._rows.writerow(_cells(failure.to_dict()))

    def close(self) -> None:
        """Hand the last rows to the stream."""
        self._stream.flush()


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: csv_cell(value) for name, value in row.items()}
