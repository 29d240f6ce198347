"""The faces of clips as a tidy table, one row per face and frame: CSV, JSON, Parquet or pandas."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mien.errors import MissingExtra, UsageError, reason
from mien.files import DISK_ERRORS, drop_partial_line, staged
from mien.inference.face import Face, face_columns, label_columns
from mien.inference.sinks import CsvSink, ImageResult, JsonLinesSink, JsonSink, ReadFailure, Sink
from mien.models.card import Head
from mien.video.results import FrameResult

if TYPE_CHECKING:
    import pandas

FORMATS = ("json", "jsonl", "csv", "parquet")
_PARQUET_ROWS = 20_000  # written at once
_PLACE = ("source", "frame", "time_s", "face_id")
_SIZE = ("width", "height")
_FACE = face_columns(Head("", ()))  # box, confidence, top, uncertain


def columns(head: Head, *, images: bool = False, movements: bool = False) -> list[str]:
    """The table's columns: frame, face, probabilities smoothed over time, then those of the frame alone.

    With `images`, those of images too: their rows have no frame, and nothing of one frame alone. With
    `movements`, those of the frame alone.
    """
    numbers = face_columns(head, movements=movements)[len(_FACE) :]
    raw = [f"raw_{name}" for name in label_columns(head)]
    names = [*_PLACE, *_FACE[:5], "detected", "change", *_FACE[5:], *numbers, *raw, "warnings"]
    return ["source", *_SIZE, *names[1:], "error"] if images else names


def to_frame(
    results: Iterable[FrameResult] | Iterable[ImageResult] | Iterable[Face] | Iterable[list[Face]],
) -> pandas.DataFrame:
    """A pandas table with one row per face; a frame or image without faces has one row without a face.

    Takes what `mien.analyze_video` or `mien.live` yield, and what `mien.analyze` returns for an image or for
    a list of images.

        >>> mien.to_frame(mien.analyze(["anna.jpg", "bert.jpg"]))[["image", "face_id", "top", "happy"]]

    Columns of clips: source, frame, time_s, face_id, x, y, box_width, box_height, confidence, detected,
    change, top, uncertain, then each emotion and valence (smoothed over time), each ``raw_`` emotion (of
    that frame), and warnings (text, separated by semicolons, of that frame).
    Columns of images: image (number, from 0) and face_id (from 1), x, y, box_width, box_height, confidence,
    top, uncertain, then each emotion and valence.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra("tables of faces", "video") from None
    items: list[Any] = list(results)
    images = bool(items) and not isinstance(items[0], FrameResult)
    place = ["source", "width", "height"] if images and isinstance(items[0], ImageResult) else ["image"]
    first = [*place, "face_id", *_FACE] if images else columns(Head("", ()))[:-1]
    last = [] if images else ["warnings"]
    rows = list(_rows(items))
    widest = max(rows, key=len, default={})
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys([*first, *widest, *last])))
    kinds = {"face_id": "Int64", "uncertain": "boolean"}
    return frame.astype(kinds if images else {**kinds, "detected": "boolean"})


def _rows(items: list[Any]) -> Iterator[dict[str, Any]]:
    """The rows of results, of an image's faces, or of several images' faces."""
    if items and isinstance(items[0], Face):
        items = [items]
    for image, item in enumerate(items):
        if isinstance(item, FrameResult | ImageResult):
            yield from item.rows()
            continue
        if not item:
            yield {"image": image}
        for number, face in enumerate(item, start=1):
            yield {"image": image, "face_id": number, **face.to_row()}


class TableWriter:
    """Writes results to a file as they come, and knows how far it got.

    Attributes:
        sink: takes results and failures; those of images too.
    """

    def __init__(self, stream: IO[str], sink: Sink) -> None:
        self._stream, self.sink = stream, sink

    def write(self, result: FrameResult) -> None:
        """Take the next result."""
        self.sink.write(result)

    def fail(self, source: str, error: str) -> None:
        """Take a clip that cannot be read, or not to its end."""
        self.sink.fail(ReadFailure(source, error))

    def sync(self) -> int:
        """Bring all to the disk; returns the file's size in bytes."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return self._stream.tell()


@contextmanager
def open_table(
    path: Path | None,
    form: str,
    *,
    model: str,
    head: Head,
    images: bool = False,
    movements: bool = False,
    size: int | None = None,
    failures: Iterable[ReadFailure] = (),
    opened: Callable[[Path], IO[str]] | None = None,
) -> Iterator[TableWriter]:
    """A table that takes results, and is a whole document at the end whatever happens meanwhile.

    Args:
        path: the file, which is replaced; stdout for None.
        form: one of `FORMATS`. The rows of a Parquet file are gathered as JSON lines beside it first,
            since Parquet cannot be added to once it is closed; an interruption leaves both.
        model: the model's name.
        head: names the columns.
        images: with the columns of images, whose rows may then come between those of clips.
        movements: with the columns of movements.
        size: resume: keep so many bytes of the file, and drop what stands behind them.
        failures: resume: those of before.
        opened: opens the file; for one that treats a full disk in its own way.

    Raises:
        MissingExtra: pyarrow is wanted and not installed.
        UsageError: the file cannot be written.
    """
    names = columns(head, images=images, movements=movements)
    gathered = path.with_name(f".{path.name}.rows.jsonl") if path and form == "parquet" else None
    try:
        with _open(gathered or path, size, opened) as stream:
            sink: Sink = JsonLinesSink(stream, rows=True)
            if form == "csv":
                sink = CsvSink(stream, names, header=size is None)
            elif form == "json":
                sink = JsonSink(stream, model, size=size, failures=failures)
            with closing(sink):
                yield TableWriter(stream, sink)
    except BaseException:
        if gathered and path and gathered.exists():
            _write_parquet(gathered, path, names)
        raise
    if gathered and path:
        _write_parquet(gathered, path, names)
        gathered.unlink()


def _write_parquet(lines: Path, out: Path, names: list[str]) -> None:
    """A Parquet file of a file of JSON lines, some thousand rows in memory at a time."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("Parquet tables", "video") from None
    kinds = {
        **dict.fromkeys(("source", "top", "warnings", "error"), pa.string()),
        **dict.fromkeys(("width", "height", "frame", "face_id"), pa.int64()),
        **dict.fromkeys(("detected", "uncertain"), pa.bool_()),
        "time_s": pa.float64(),
    }
    schema = pa.schema([(name, kinds.get(name, pa.float32())) for name in names])
    try:
        with (
            lines.open(encoding="utf-8", errors="surrogateescape") as file,
            staged(out) as made,
            pq.ParquetWriter(made, schema) as to,
        ):
            while block := list(islice(file, _PARQUET_ROWS)):
                rows = [row for row in map(json.loads, block) if "error" in names or "error" not in row]
                to.write_table(pa.Table.from_pylist(rows, schema))
    except OSError as error:
        with suppress(OSError):
            drop_partial_line(lines)  # rows stay; a file without any does not
        raise UsageError(f"{out} cannot be written: {error.strerror or error}.") from error


@contextmanager
def _open(path: Path | None, size: int | None, opened: Callable[[Path], IO[str]] | None) -> Iterator[IO[str]]:
    if path is None:
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
        yield sys.stdout
        return
    try:
        if size is not None:
            os.truncate(path, size)
        mode = "w" if size is None else "a"
        stream = (
            opened(path)
            if opened
            else path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {reason(error)}. Choose another place.") from error
    try:
        with stream:
            yield stream
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        with suppress(OSError):
            drop_partial_line(path)
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from error
