"""Parquet and Arrow in Hugging Face's layout (`image` of bytes and path, `label`), read and written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013.reader import cores
from mien.data.folders.labels import (
    DROPPED,
    NO_MAP,
    UNKNOWN,
    Contempt,
    LabelMap,
    OwnClasses,
    label_in,
    label_of,
    own_class,
)
from mien.data.folders.reader import numbered_classes
from mien.data.splits import is_split, split_name
from mien.data.table import UNLABELLED, BadRow, FaceTable, nothing_usable, without_contempt
from mien.emotions import FER2013, FERPLUS, VOTES
from mien.errors import DataError, FormatError, ImageError, MissingExtra
from mien.files import staged
from mien.images.gray import gray_face, png

# Names of the two columns in data sets on the hub, the most usual first.
_IMAGE_COLUMNS = ("image", "img", "img_bytes", "image_bytes")
_LABEL_COLUMNS = ("label", "labels", "emotion", "expression")
_BATCH = 1024
_WRITE_BATCH = 4096


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder and of those in it (the hub's `data/train-00000-of-00001.parquet`)."""
    return sorted((*folder.glob("*.parquet"), *folder.glob("*/*.parquet")))


def arrow_files(folder: Path) -> list[Path]:
    """The files of a data set that `datasets` saved to disk: in the folder, or in one folder per split."""
    return sorted(
        file for file in (*folder.glob("*.arrow"), *folder.glob("*/*.arrow")) if "cache" not in file.name
    )


def read_parquet(
    paths: Sequence[Path], source: str, size: int, contempt: Contempt, mapping: LabelMap = NO_MAP
) -> FaceTable:
    """The faces of one or several Parquet files, or of `datasets`' Arrow files, gray and `size` pixels wide.

    The names of the labels come from the file (Hugging Face's metadata, or labels that are text), else they
    are FER2013's in its order, or with a `mapping` the numbers themselves. The split comes from a column
    `split`, else from the file's name (of Arrow: its folder's), else it is Training. Without a column `row`,
    `rows` number the faces and are not FER2013's; `names` are then set.

    Raises:
        MissingExtra: pyarrow is not installed.
        FormatError: not Parquet, no such columns, or no face that can be used.
    """
    try:
        from pyarrow import ArrowException, ipc, memory_map, parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("Reading Parquet", "data") from error
    builder = _TableBuilder(size, contempt, mapping)
    for path in paths:
        try:
            if path.suffix == ".arrow":
                with memory_map(str(path)) as file, ipc.open_stream(file) as batches:
                    columns = _FileColumns.of(batches.schema, path)
                    for batch in batches:
                        builder.add(batch.select(columns.wanted()).to_pydict(), columns, path)
                continue
            with parquet.ParquetFile(path) as file:
                columns = _FileColumns.of(file.schema_arrow, path)
                for batch in file.iter_batches(_BATCH, columns=columns.wanted()):
                    builder.add(batch.to_pydict(), columns, path)
        except (ArrowException, OSError) as error:
            kind = "Arrow" if path.suffix == ".arrow" else "Parquet"
            raise FormatError(f"{path} is not {kind}, or is cut short or damaged: {error}") from error
    return builder.table(source)


@dataclass(frozen=True)
class _FileColumns:
    """The columns of a file that are read, and the names of its labels."""

    image: str
    label: str | None
    extra: tuple[str, ...]
    label_names: tuple[str, ...]
    split: str

    @classmethod
    def of(cls, schema: Any, path: Path) -> _FileColumns:
        image = next((name for name in _IMAGE_COLUMNS if name in schema.names), None)
        label = next((name for name in _LABEL_COLUMNS if name in schema.names), None)
        if image is None:
            raise FormatError(
                f"{path} has no column of images (one of {', '.join(_IMAGE_COLUMNS)}); "
                f"its columns: {', '.join(schema.names)}."
            )
        extra = tuple(name for name in ("split", "row", "votes", "subject") if name in schema.names)
        prefix = path.name.partition(".")[0].partition("-")[0]
        if path.suffix == ".arrow":  # datasets writes a folder per split, in which all files are data-*.arrow
            prefix = path.parent.name
        split = split_name(prefix) if is_split(prefix) else "Training"
        return cls(image, label, extra, _label_names(schema, label), split)

    def wanted(self) -> list[str]:
        return [self.image, *([self.label] if self.label else []), *self.extra]


def _label_names(schema: Any, label: str | None) -> tuple[str, ...]:
    """The names of the labels in Hugging Face's metadata; none if it has none."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = metadata.get("info", {}).get("features", {}).get(label, {})
    return tuple(feature.get("names") or ()) if isinstance(feature, dict) else ()


@dataclass
class _TableBuilder:
    """The columns of the table, a batch at a time."""

    size: int
    contempt: Contempt
    mapping: LabelMap
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    votes: list[Sequence[int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)  # of one's own, by face; "" for none
    problems: list[BadRow] = field(default_factory=list)
    read: int = 0
    dropped: int = 0
    named: bool = False
    has_contempt: bool = False

    def add(self, batch: dict[str, list[Any]], columns: _FileColumns, path: Path) -> None:
        """The faces of a batch of columns."""
        self.has_contempt |= any(label_of(name, "keep") >= len(FER2013) for name in columns.label_names)
        with ThreadPoolExecutor(cores(), thread_name_prefix="mien-parquet") as pool:
            for i, face in enumerate(pool.map(self._decode, batch[columns.image])):
                row = {name: values[i] for name, values in batch.items()}
                where = f"{path.name} row {self.read}"
                if reason := self._add_one(face, row, columns, where):
                    self.problems.append(BadRow(where, reason))
                self.read += 1

    def _decode(self, image: Any) -> NDArray[np.uint8] | str:
        """The pixels of a cell, or why there are none."""
        encoded = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(encoded, bytes):
            return "contains no bytes of an image"
        try:
            return gray_face(encoded, self.size)
        except ImageError as error:
            return str(error)

    def _add_one(
        self, face: NDArray[np.uint8] | str, row: dict[str, Any], columns: _FileColumns, where: str
    ) -> str:
        """Append a row to the columns; returns why it is refused, "" if it is not."""
        own = isinstance(self.mapping, OwnClasses)
        class_ = ""
        label: int | str = UNLABELLED
        if columns.label is not None and own:
            class_, label = self._class(row[columns.label], columns)
        elif columns.label is not None:
            label = self._label(row[columns.label], columns)
        votes = row.get("votes")
        if isinstance(face, str):
            return face
        if isinstance(label, str):
            return label
        if votes is not None and len(votes) != len(VOTES):
            return f"{len(votes)} votes, not {len(VOTES)}"
        if label == DROPPED:
            self.dropped += 1
            return ""
        self.pixels.append(face)
        self.classes += [class_] if own else []
        self.labels.append(label)
        self.splits.append(split_name(str(row.get("split", columns.split))))
        self.subjects += [str(row["subject"])] if "subject" in row else []
        self.rows.append(row.get("row", self.read))
        self.votes += [] if votes is None else [votes]
        image = row[columns.image]
        name = image.get("path") if isinstance(image, dict) else None
        self.named |= name is not None or "row" not in row
        self.names.append(name or where)
        return ""

    def _label(self, value: Any, columns: _FileColumns) -> int | str:
        """The label of a cell, or why it has none."""
        if value == UNLABELLED:
            return UNLABELLED
        name = self._name(value, columns)
        if name is None:
            return f"label {value} is not one of 0-{len(columns.label_names or FER2013) - 1}"
        label = label_in(name, self.contempt, self.mapping)
        self.has_contempt |= label >= len(FER2013)
        return label if label != UNKNOWN else f"label {value!r} ({name!r}) is not an emotion that mien knows"

    def _name(self, value: Any, columns: _FileColumns) -> str | None:
        """The name of a label; None for a number without one. With a label map a number may stand alone."""
        if not isinstance(value, int):
            return str(value)
        names = columns.label_names or (() if self.mapping else FER2013)
        return str(value) if not names else names[value] if 0 <= value < len(names) else None

    def _class(self, value: Any, columns: _FileColumns) -> tuple[str, int | str]:
        """The class of one's own of a cell, and why it has none instead of a label."""
        name = self._name(value, columns)
        if value == UNLABELLED or value is None:
            return "", UNLABELLED
        class_ = None if name is None else own_class(name, self.mapping)
        if class_ is None:
            return "", f"label {value!r} is not in the label map"
        return class_, UNLABELLED

    def table(self, source: str) -> FaceTable:
        """All of it.

        Raises:
            FormatError: no face, or votes for only some of the faces.
        """
        if not self.pixels:
            raise nothing_usable(source, "face", self.problems)
        if self.votes and len(self.votes) != len(self.labels):
            raise FormatError(
                f"{source} has votes for {len(self.votes):,} of {len(self.labels):,} faces, not for all."
            )
        eight = self.has_contempt and self.contempt == "keep"
        classes, labels = FERPLUS if eight else FER2013, self.labels
        if isinstance(self.mapping, OwnClasses):
            classes, labels = numbered_classes(self.classes, source)
        return FaceTable(
            pixels=np.stack(self.pixels),
            labels=np.array(labels, dtype=np.int64),
            splits=np.array(self.splits),
            rows=np.array(self.rows, dtype=np.int64),
            classes=classes,
            votes=np.array(self.votes, dtype=np.uint8) if self.votes else None,
            names=np.array(self.names) if self.named else None,
            subjects=np.array(self.subjects) if self.subjects else None,
            source=without_contempt(source, self.dropped),
            problems=tuple(self.problems),
        )


def write_parquet(table: FaceTable, path: Path) -> None:
    """Write a table that `mien.data.load` reads back, and whose faces `datasets.load_dataset` shows.

    Columns: image (struct of PNG bytes, without loss, and path), label (int64, names in the metadata, -1 for
    none), split, row, and votes (10 of uint8, in the order of `mien.emotions.VOTES`) and subject where there
    are any. The file appears complete or not at all.

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
    try:
        with (
            staged(path) as temporary,
            parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
            ThreadPoolExecutor(cores(), thread_name_prefix="mien-png") as pool,
        ):
            for start in range(0, len(table), _WRITE_BATCH):
                part = slice(start, start + _WRITE_BATCH)
                faces = table.pixels[part]
                names = [None] * len(faces) if table.names is None else table.names[part].tolist()
                columns: dict[str, Any] = {
                    "image": [
                        {"bytes": encoded, "path": name}
                        for encoded, name in zip(pool.map(png, faces), names, strict=True)
                    ],
                    "label": table.labels[part],
                    "split": table.splits[part].tolist(),
                    "row": table.rows[part],
                }
                if table.votes is not None:
                    columns["votes"] = table.votes[part].tolist()
                if table.subjects is not None:
                    columns["subject"] = table.subjects[part].tolist()
                writer.write_table(pa.table(columns, schema=schema))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error


def _schema(pa: Any, table: FaceTable) -> Any:
    """The columns, and their description for Hugging Face's `datasets`."""
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
    if table.subjects is not None:
        columns["subject"] = pa.string()
        features["subject"] = {"dtype": "string", "_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(columns.items()), metadata=metadata)
