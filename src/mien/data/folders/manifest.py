"""A table of files (`path,label[,split][,subject]`, as CSV or Parquet) into the table of faces."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.data.folders.labels import UNKNOWN, Contempt, LabelMap, OwnClasses, folder_key
from mien.data.folders.reader import ImageFile, LabelledFile, check_classes, label_in, table_of, table_of_own
from mien.data.splits import WHOLE, split_name
from mien.data.table import UNLABELLED, BadRow, FaceTable
from mien.errors import FormatError, MissingExtra

# Hugging Face's `imagefolder` names the file `file_name`.
_PATHS = ("path", "file_name", "file")
_LABELS = ("label", "emotion", "expression", "class")
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Columns:
    """The columns of a manifest that are read, None where there is none, and what separates them in a CSV."""

    path: str
    label: str
    split: str | None
    subject: str | None
    delimiter: str = ","

    @classmethod
    def among(cls, names: Sequence[str], delimiter: str = ",") -> Columns | None:
        """Those of a file with these columns; None if it has no paths or no labels."""
        by_key = {name.strip().lower(): name for name in reversed(names)}
        path, label = (
            next((by_key[key] for key in keys if key in by_key), None) for keys in (_PATHS, _LABELS)
        )
        if path is None or label is None or "pixels" in by_key:
            return None
        return cls(path, label, by_key.get("split"), by_key.get("subject"), delimiter)


def csv_columns(path: Path) -> Columns | None:
    """The columns of a CSV of paths and labels, separated by commas, semicolons or tabs, else None."""
    with path.open("rb") as file:
        line = file.readline(4096).removeprefix(b"\xef\xbb\xbf")
    try:
        header = line.decode("utf-8").rstrip("\r\n")
        split = [(next(csv.reader([header], delimiter=each), []), each) for each in _DELIMITERS]
    except (UnicodeDecodeError, csv.Error):
        return None
    found = (Columns.among(names, delimiter) for names, delimiter in split)
    return next((columns for columns in found if columns is not None), None)


def parquet_columns(path: Path) -> Columns | None:
    """The columns of a Parquet file of paths and labels; None if it is none, or contains images.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    pyarrow, parquet = _pyarrow()
    try:
        schema = parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError):
        return None  # the reader of images says what is wrong with it
    found = Columns.among(schema.names)
    return found if found and pyarrow.types.is_string(schema.field(found.path).type) else None


def read_manifest(
    path: Path, columns: Columns, size: int, contempt: Contempt, mapping: LabelMap
) -> FaceTable:
    """The faces of a manifest, gray and `size` pixels wide, in the order of its rows.

    Paths are relative to the manifest's folder, or absolute. A label is an emotion by any of its names, or
    what `mapping` makes of it; an empty label, or -1, is none. Without a split, it is "all".

    Raises:
        FormatError: no label is an emotion, or no file can be read as an image.
    """
    own = isinstance(mapping, OwnClasses)
    files: list[LabelledFile] = []
    classes: list[str] = []
    problems: list[BadRow] = []
    unknown: Counter[str] = Counter()
    for line, row in _rows(path, columns):
        name, text = (_text(row.get(column)) for column in (columns.path, columns.label))
        if not name:
            problems.append(BadRow(f"line {line}", f"the column {columns.path} is empty"))
            continue
        has_label = text not in ("", "-1")
        label = label_in(text, contempt, mapping) if has_label and not own else UNLABELLED
        if label == UNKNOWN or (own and has_label and len(mapping) and folder_key(text) not in mapping):
            unknown[text] += 1
            continue
        split, subject = (
            _text(row.get(column)) if column else "" for column in (columns.split, columns.subject)
        )
        file = ImageFile((name,), (path.parent / Path(name)).read_bytes)
        classes.append(mapping.get(folder_key(text), text) if has_label else "")
        files.append(LabelledFile(file, label, split_name(split) if split else WHOLE, subject))
    if not own:
        check_classes(str(path), files, unknown)
    problems += [
        BadRow(f"label {text}", f"not an emotion that mien knows; {count:,} images left out", count=count)
        for text, count in unknown.items()
    ]
    if own:
        return table_of_own(list(zip(files, classes, strict=True)), str(path), size, problems)
    return table_of(files, str(path), size, problems)


def manifest_paths(path: Path, columns: Columns) -> list[str]:
    """The files of a manifest that exist, in order."""
    files = (path.parent / _text(row.get(columns.path)) for _, row in _rows(path, columns))
    return [str(file) for file in files if file.is_file()]


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _rows(path: Path, columns: Columns) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each row by column, with its line in a CSV, or its number from 1 in a Parquet file."""
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        wanted = [name for name in (columns.path, columns.label, columns.split, columns.subject) if name]
        yield from enumerate(_pyarrow()[1].read_table(path, columns=wanted).to_pylist(), 1)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            for row in (reader := csv.DictReader(text, delimiter=columns.delimiter)):
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read as CSV: {error}. Save it as UTF-8.") from error


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("Reading Parquet", "data") from error
    return pyarrow, parquet
