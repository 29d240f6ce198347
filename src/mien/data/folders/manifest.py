"""Tables of files (`path,label[,split][,subject]`, as CSV, JSON lines or Parquet) into the table of faces."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.data.folders.labels import UNKNOWN, Contempt, LabelMap, OwnClasses, label_in, own_class
from mien.data.folders.reader import (
    ImageFile,
    LabelledFile,
    check_classes,
    is_image,
    table_of,
    table_of_own,
)
from mien.data.splits import WHOLE, is_split, split_name
from mien.data.table import UNLABELLED, BadRow, FaceTable
from mien.errors import FormatError, MissingExtra

# Hugging Face's `imagefolder` names the file `file_name`.
_PATHS = ("path", "file_name", "file")
_LABELS = ("label", "emotion", "expression", "class")
_DELIMITERS = ",;\t"
_BOM = b"\xef\xbb\xbf"
# The tables that `imagefolder` reads, in any folder of the data.
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


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


@dataclass(frozen=True)
class Manifest:
    """A table of files on disk.

    Attributes:
        path: the table; paths in it are relative to its folder.
        columns: those that are read.
        folders: of a table of `imagefolder`, the folders between the data's and its own; splits without a
            column are then taken from the folders of the images. None for a table that was given itself.
    """

    path: Path
    columns: Columns
    folders: tuple[str, ...] | None = None

    def where(self, line: int) -> str:
        """The place of a row, for messages."""
        return f"line {line}" if self.folders is None else f"{self.name(self.path.name)} line {line}"

    def name(self, file: str) -> str:
        """The name of a file of the table: its path below the data's folder, or that in the table."""
        return "/".join((*(self.folders or ()), file))

    def split(self, file: str) -> str:
        """The split of a file that has none in the table."""
        if self.folders is None:
            return WHOLE
        *above, _ = self.name(file).split("/")
        return next((split_name(each) for each in above if is_split(each)), WHOLE)


def manifest_at(path: Path) -> Manifest | None:
    """The table of files in a file; None if it is something else.

    Raises:
        MissingExtra: it is Parquet, and pyarrow is not installed.
    """
    columns = _columns_of(path)
    return None if columns is None else Manifest(path, columns)


def metadata_in(root: Path, images: Sequence[ImageFile]) -> list[Manifest]:
    """The tables of Hugging Face's `imagefolder` among the files of a folder, those with paths and labels."""
    tables = [file for file in images if file.parts[-1] in _METADATA]
    found = [(file.parts[:-1], manifest_at(root.joinpath(*file.parts))) for file in tables]
    return [replace(manifest, folders=folders) for folders, manifest in found if manifest is not None]


def _columns_of(path: Path) -> Columns | None:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1":
        return _parquet_columns(path)
    return _json_columns(path) if start.removeprefix(_BOM).startswith(b"{") else _csv_columns(path)


def _json_columns(path: Path) -> Columns | None:
    """The columns of JSON lines of paths and labels, else None."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            row = json.loads(file.readline(65_536))
    except (UnicodeDecodeError, ValueError):
        return None
    return Columns.among(list(row))


def _csv_columns(path: Path) -> Columns | None:
    """The columns of a CSV of paths and labels, separated by commas, semicolons or tabs, else None."""
    with path.open("rb") as file:
        line = file.readline(4096).removeprefix(_BOM)
    try:
        header = line.decode("utf-8").rstrip("\r\n")
        split = [(next(csv.reader([header], delimiter=each), []), each) for each in _DELIMITERS]
    except (UnicodeDecodeError, csv.Error):
        return None
    found = (Columns.among(names, delimiter) for names, delimiter in split)
    return next((columns for columns in found if columns is not None), None)


def _parquet_columns(path: Path) -> Columns | None:
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


def read_manifests(
    manifests: Sequence[Manifest],
    source: str,
    size: int,
    contempt: Contempt,
    mapping: LabelMap,
    images: Sequence[ImageFile] = (),
) -> FaceTable:
    """The faces of tables of files, gray and `size` pixels wide, in the order of their rows.

    Paths are relative to the table's folder, or absolute. A label is an emotion by any of its names, or
    what `mapping` makes of it; an empty label, or -1, is none. Without a split, it is "all". Those of
    `images`, a folder's, that are in no table are left out and counted.

    Raises:
        FormatError: no label is an emotion, or no file can be read as an image.
    """
    own = isinstance(mapping, OwnClasses)
    files: list[LabelledFile] = []
    classes: list[str] = []
    problems: list[BadRow] = []
    unknown: Counter[str] = Counter()
    listed: set[str] = set()
    for manifest, line, row in _all_rows(manifests):
        columns = manifest.columns
        file, text, split, subject = (
            _text(row.get(column)) if column else ""
            for column in (columns.path, columns.label, columns.split, columns.subject)
        )
        if not file:
            problems.append(BadRow(manifest.where(line), f"the column {columns.path} is empty"))
            continue
        name = manifest.name(file)
        listed.add(name)
        has_label = text not in ("", "-1")
        label = label_in(text, contempt, mapping) if has_label and not own else UNLABELLED
        class_ = own_class(text, mapping) if has_label and own else ""
        if label == UNKNOWN or class_ is None:
            unknown[text] += 1
            continue
        image = ImageFile((name,), (manifest.path.parent / file).read_bytes)
        classes.append(class_)
        split = split_name(split) if split else manifest.split(file)
        files.append(LabelledFile(image, label, split, subject))
    if not own:
        check_classes(source, files, unknown)
    problems += [
        BadRow(f"label {text}", f"not an emotion that mien knows; {count:,} images left out", count=count)
        for text, count in unknown.items()
    ]
    if others := sum(is_image(image) and image.name not in listed for image in images):
        tables = ", ".join(manifest.name(manifest.path.name) for manifest in manifests)
        problems.append(BadRow(tables, f"has no row for {others:,} images; left out", count=others))
    if own:
        return table_of_own(list(zip(files, classes, strict=True)), source, size, problems)
    return table_of(files, source, size, problems)


def manifest_paths(manifests: Sequence[Manifest]) -> list[str]:
    """The files of the tables that exist, in order."""
    files = (
        manifest.path.parent / _text(row.get(manifest.columns.path))
        for manifest, _, row in _all_rows(manifests)
    )
    return [str(file) for file in files if file.is_file()]


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _all_rows(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, int, Mapping[str, Any]]]:
    for manifest in manifests:
        for line, row in _rows(manifest.path, manifest.columns):
            yield manifest, line, row


def _rows(path: Path, columns: Columns) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each row by column, with its line in a text, or its number from 1 in a Parquet file."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1":
        wanted = [name for name in (columns.path, columns.label, columns.split, columns.subject) if name]
        yield from enumerate(_pyarrow()[1].read_table(path, columns=wanted).to_pylist(), 1)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            if start.removeprefix(_BOM).startswith(b"{"):
                yield from _json_rows(path, text)
                return
            for row in (reader := csv.DictReader(text, delimiter=columns.delimiter)):
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read as text: {error}. Save it as UTF-8.") from error


def _json_rows(path: Path, text: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, content in enumerate(text, 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            raise FormatError(
                f"{path} line {line} is not JSON: {error}. Write one object per line."
            ) from error
        if not isinstance(row, dict):
            raise FormatError(f"{path} line {line} is {content.strip()[:40]!r}. Write one object per line.")
        yield line, row


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("Reading Parquet", "data") from error
    return pyarrow, parquet
