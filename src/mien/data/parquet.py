"""Parquet in Hugging Face's layout (`image` of bytes and path, `label`) into the table."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013.reader import cores
from mien.data.folders.labels import DROPPED, UNKNOWN, Contempt, label_of
from mien.data.folders.splits import is_split, split_name
from mien.data.table import UNLABELLED, BadRow, FaceTable
from mien.emotions import FER2013, FERPLUS, VOTES
from mien.errors import DataError, FormatError, ImageError, MissingExtra
from mien.images.gray import gray_face, png

# What data sets on the hub call the two columns, most usual first.
_IMAGE_COLUMNS = ("image", "img", "img_bytes", "image_bytes")
_LABEL_COLUMNS = ("label", "labels", "emotion", "expression")
_BATCH = 1024
_WRITE_BATCH = 4096


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder and of those in it (the hub's `data/train-00000-of-00001.parquet`)."""
    return sorted((*folder.glob("*.parquet"), *folder.glob("*/*.parquet")))


def read_parquet(paths: Sequence[Path], source: str, size: int, contempt: Contempt) -> FaceTable:
    """The faces of one or several Parquet files, gray and `size` pixels wide.

    The names of the labels come from the file (Hugging Face's metadata, or labels that are text), else they
    are FER2013's in its order. The split comes from a column `split`, else from the file's name, else it is
    Training. Without a column `row`, `rows` number the faces and are not FER2013's; `names` are then set.

    Raises:
        MissingExtra: pyarrow is not installed.
        FormatError: not Parquet, no such columns, or no face that can be used.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("Reading Parquet", "data") from error
    faces = _Faces(size, contempt)
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                columns = _Columns.of(file.schema_arrow, path)
                for batch in file.iter_batches(_BATCH, columns=columns.wanted()):
                    faces.add(batch.to_pydict(), columns, path)
        except (ArrowException, OSError) as error:
            raise FormatError(f"{path} is not Parquet, or is cut short or damaged: {error}") from error
    return faces.table(source)


@dataclass(frozen=True)
class _Columns:
    """Which columns of a file hold what, and the names of its labels."""

    image: str
    label: str | None
    extra: tuple[str, ...]
    label_names: tuple[str, ...]
    split: str

    @classmethod
    def of(cls, schema: Any, path: Path) -> _Columns:
        image = next((name for name in _IMAGE_COLUMNS if name in schema.names), None)
        label = next((name for name in _LABEL_COLUMNS if name in schema.names), None)
        if image is None:
            raise FormatError(
                f"{path} has no column of pictures (one of {', '.join(_IMAGE_COLUMNS)}); "
                f"its columns: {', '.join(schema.names)}."
            )
        extra = tuple(name for name in ("split", "row", "votes") if name in schema.names)
        prefix = path.name.partition(".")[0].partition("-")[0]
        split = split_name(prefix) if is_split(prefix) else "Training"
        return cls(image, label, extra, _label_names(schema, label), split)

    def wanted(self) -> list[str]:
        return [self.image, *([self.label] if self.label else []), *self.extra]


def _label_names(schema: Any, label: str | None) -> tuple[str, ...]:
    """The names that Hugging Face's metadata gives the labels, else FER2013's."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = metadata.get("info", {}).get("features", {}).get(label, {})
    return tuple(feature.get("names") or FER2013) if isinstance(feature, dict) else FER2013


@dataclass
class _Faces:
    """The columns of the table as they grow, a batch at a time."""

    size: int
    contempt: Contempt
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    votes: list[Sequence[int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    problems: list[BadRow] = field(default_factory=list)
    seen: int = 0
    dropped: int = 0
    named: bool = False
    has_contempt: bool = False

    def add(self, batch: dict[str, list[Any]], columns: _Columns, path: Path) -> None:
        """The faces of a batch of columns."""
        self.has_contempt |= any(label_of(name, "keep") >= len(FER2013) for name in columns.label_names)
        images = batch[columns.image]
        with ThreadPoolExecutor(cores(), thread_name_prefix="mien-parquet") as pool:
            decoded = pool.map(self._decode, images)
            for place, face in enumerate(decoded):
                self._add_one(place, face, batch, columns, path)
                self.seen += 1

    def _decode(self, image: Any) -> NDArray[np.uint8] | str:
        encoded = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(encoded, bytes):
            return "holds no bytes of a picture"
        try:
            return gray_face(encoded, self.size)
        except ImageError as error:
            return str(error)

    def _add_one(
        self,
        place: int,
        face: NDArray[np.uint8] | str,
        batch: dict[str, list[Any]],
        columns: _Columns,
        path: Path,
    ) -> None:
        where = f"{path.name} row {self.seen}"
        label = UNLABELLED if columns.label is None else self._label(batch[columns.label][place], columns)
        votes = batch["votes"][place] if "votes" in batch else None
        if isinstance(face, str):
            self.problems.append(BadRow(where, face))
        elif isinstance(label, str):
            self.problems.append(BadRow(where, label))
        elif votes is not None and len(votes) != len(VOTES):
            self.problems.append(BadRow(where, f"{len(votes)} votes, not {len(VOTES)}"))
        elif label == DROPPED:
            self.dropped += 1
        else:
            self.pixels.append(face)
            self.labels.append(label)
            self.splits.append(str(batch["split"][place]) if "split" in batch else columns.split)
            self.rows.append(batch["row"][place] if "row" in batch else self.seen)
            self.votes += [votes] if votes is not None else []
            image = batch[columns.image][place]
            name = image.get("path") if isinstance(image, dict) else None
            self.named |= name is not None or "row" not in batch
            self.names.append(name or where)

    def _label(self, value: Any, columns: _Columns) -> int | str:
        """The label that a cell means, or why it means none."""
        names = columns.label_names
        if value == UNLABELLED:
            return UNLABELLED
        if isinstance(value, int) and not 0 <= value < len(names):
            return f"label {value} is not one of 0-{len(names) - 1}"
        name = names[value] if isinstance(value, int) else value
        label = label_of(name, self.contempt) if isinstance(name, str) else UNKNOWN
        self.has_contempt |= label >= len(FER2013)
        return label if label != UNKNOWN else f"label {value!r} ({name!r}) is no emotion that mien knows"

    def table(self, source: str) -> FaceTable:
        """All of it.

        Raises:
            FormatError: no face, or votes for only some of the faces.
        """
        if not self.pixels:
            first = (
                f" The first problem: {self.problems[0].where}: {self.problems[0].reason}."
                if self.problems
                else ""
            )
            raise FormatError(f"{source} holds no face that can be used.{first}")
        if self.votes and len(self.votes) != len(self.labels):
            raise FormatError(
                f"{source} has votes for {len(self.votes):,} of {len(self.labels):,} faces, not for all."
            )
        eight = self.has_contempt and self.contempt == "keep"
        return FaceTable(
            pixels=np.stack(self.pixels),
            labels=np.array(self.labels, dtype=np.int64),
            splits=np.array(self.splits),
            rows=np.array(self.rows, dtype=np.int64),
            classes=FERPLUS if eight else FER2013,
            votes=np.array(self.votes, dtype=np.uint8) if self.votes else None,
            names=np.array(self.names) if self.named else None,
            source=f"{source} ({self.dropped:,} faces of contempt left out)" if self.dropped else source,
            problems=tuple(self.problems),
        )


def write_parquet(table: FaceTable, path: Path) -> None:
    """Write the table so that `mien.data.load` gives it back, and `datasets.load_dataset` shows the faces.

    Columns: image (struct of PNG bytes, without loss, and path), label (int64, names in the metadata, -1 for
    none), split, row, and votes (10 of uint8, in the order of `mien.emotions.VOTES`) where there are any. The
    file appears when it is complete, never half.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: the file cannot be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("Writing Parquet", "data") from error
    schema = _schema(pa, table)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with (
            parquet.ParquetWriter(partial, schema, compression="zstd") as writer,
            ThreadPoolExecutor(cores(), thread_name_prefix="mien-png") as pool,
        ):
            for start in range(0, len(table), _WRITE_BATCH):
                part = slice(start, start + _WRITE_BATCH)
                images = [
                    {
                        "bytes": encoded,
                        "path": None if table.names is None else str(table.names[start + place]),
                    }
                    for place, encoded in enumerate(pool.map(png, table.pixels[part]))
                ]
                columns: dict[str, Any] = {
                    "image": images,
                    "label": table.labels[part],
                    "split": table.splits[part].tolist(),
                    "row": table.rows[part],
                }
                if table.votes is not None:
                    columns["votes"] = table.votes[part].tolist()
                writer.write_table(pa.table(columns, schema=schema))
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _schema(pa: Any, table: FaceTable) -> Any:
    """The columns, and what Hugging Face's `datasets` wants to know of them."""
    columns = {
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        "label": pa.int64(),
        "split": pa.string(),
        "row": pa.int64(),
    }
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": list(table.classes), "_type": "ClassLabel"},
        "split": {"dtype": "string", "_type": "Value"},
        "row": {"dtype": "int64", "_type": "Value"},
    }
    if table.votes is not None:
        columns["votes"] = pa.list_(pa.uint8(), len(VOTES))
        votes = {"dtype": "uint8", "_type": "Value"}
        features["votes"] = {"feature": votes, "length": len(VOTES), "_type": "Sequence"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(columns.items()), metadata=metadata)
