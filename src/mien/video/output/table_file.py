"""The table of clips' faces, on disk or stdout: written as results come, and gone on with later."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mien.errors import MissingExtra, UsageError
from mien.models.card import Head
from mien.video.output.table import CsvForm, Form, JsonForm, JsonLinesForm, columns
from mien.video.results import FrameResult

FORMATS = ("json", "jsonl", "csv", "parquet")
_PARQUET_ROWS = 20_000  # written at once


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
