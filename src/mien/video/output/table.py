"""The faces of clips as a tidy table, one row per face and frame: CSV, JSON, Parquet or pandas."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from mien.errors import MissingExtra, UsageError
from mien.models.card import Head
from mien.video.results import FrameResult, TrackedFace

if TYPE_CHECKING:
    import pandas

FORMATS = ("json", "jsonl", "csv", "parquet")
_PARQUET_ROWS = 20_000  # written at once


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


@contextmanager
def open_table(
    path: Path | None, form: str, *, model: str, head: Head, offset: int | None = None
) -> Iterator[TableWriter]:
    """A table that takes results, and is a whole document at the end whatever happens meanwhile.

    Args:
        path: the file, which is replaced; stdout for None.
        form: one of `FORMATS`. The rows of a Parquet file are gathered as JSON lines beside it first,
            since Parquet cannot be added to once it is closed; an interruption leaves both.
        model: the model's name.
        head: names the columns.
        offset: go on with the file behind so many bytes, and drop what stands behind them.

    Raises:
        MissingExtra: pyarrow is wanted and not installed.
        UsageError: the file cannot be written.
    """
    forms: dict[str, Form] = {"csv": CsvForm(columns(head)), "json": JsonForm(model)}
    gathered = path.with_name(f".{path.name}.rows.jsonl") if path and form == "parquet" else None
    with _stream(gathered or path, offset) as stream:
        table = TableWriter(stream, forms.get(form) or JsonLinesForm(), offset=offset)
        try:
            yield table
        except BaseException:
            table.close()
            if gathered and path:
                parquet_from_lines(gathered, path, head)
            raise
        table.close()
    if gathered and path:
        parquet_from_lines(gathered, path, head)
        gathered.unlink()


class TableWriter:
    """Writes results to a stream as they come, and knows how far it got.

    Args:
        stream: opened for text; it belongs to whoever opened it.
        form: how.
        offset: go on behind so many bytes that stand in it already; begin for None.
    """

    def __init__(self, stream: IO[str], form: Form, *, offset: int | None = None) -> None:
        self._stream, self._form = stream, form
        self.errors: list[dict[str, str]] = []
        if offset is None:
            stream.write(form.begin())
        else:
            form.go_on(offset)

    def write(self, result: FrameResult) -> None:
        """Take the next result."""
        self._stream.write(self._form.result(result))

    def fail(self, source: str, error: str) -> None:
        """Take a clip that could not be read, or not to its end."""
        self.errors.append({"source": source, "error": error})

    def sync(self) -> int:
        """Bring all to the disk; gives the file's size in bytes."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return self._stream.tell()

    def close(self) -> None:
        """Write the end. The stream stays open."""
        self._stream.write(self._form.end(self.errors))
        self._stream.flush()


def parquet_from_lines(lines: Path, out: Path, head: Head) -> None:
    """A Parquet file of a file of JSON lines, some thousand rows in memory at a time.

    Raises:
        MissingExtra: pyarrow is not installed.
        UsageError: the file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("Parquet tables", "video") from None
    kinds = {
        **dict.fromkeys(("source", "top"), pa.string()),
        **dict.fromkeys(("frame", "face_id"), pa.int64()),
        **dict.fromkeys(("detected", "uncertain"), pa.bool_()),
        "time_s": pa.float64(),
    }
    schema = pa.schema([(name, kinds.get(name, pa.float32())) for name in columns(head)])
    try:
        with (
            lines.open(encoding="utf-8", errors="surrogateescape") as file,
            pq.ParquetWriter(out, schema) as to,
        ):
            for block in _blocks(file, _PARQUET_ROWS):
                rows = [row for row in map(json.loads, block) if "error" not in row]
                to.write_table(pa.Table.from_pylist(rows, schema))
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error}.") from error


def _blocks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


@contextmanager
def _stream(path: Path | None, offset: int | None) -> Iterator[IO[str]]:
    if path is None:
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
        yield sys.stdout
        return
    try:
        if offset is not None:
            with path.open("r+b") as file:
                file.truncate(offset)
        mode = "w" if offset is None else "a"
        stream = path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}.") from error
    with stream:
        yield stream
