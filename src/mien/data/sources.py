"""What a source is, and which reader it goes to."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mien.data import cache as tables
from mien.data.archives import Member, find_csv, kind_of, readable
from mien.data.cache import file_sha256, tree_sha256
from mien.data.fer2013.header import read_header
from mien.data.fer2013.reader import read_csv
from mien.data.folders.labels import NO_MAP, Contempt, LabelMap
from mien.data.folders.reader import pictures_in_folder, pictures_in_zip, read_tree
from mien.data.parquet import parquet_files, read_parquet
from mien.data.table import FaceTable
from mien.data.votes import join_votes
from mien.errors import BadRows, FormatError, SourceNotFound, UsageError

_SMALLEST_SIDE = 8


def load(
    source: str | Path,
    *,
    votes: Path | None = None,
    strict: bool = False,
    contempt: Contempt = "drop",
    size: int = 48,
    mapping: LabelMap = NO_MAP,
    cache: bool = True,
) -> FaceTable:
    """The labelled faces of a source as one table.

    Args:
        source: ``"synthetic"``, or a path: FER2013's CSV (fer2013.csv, icml_face_data.csv, train.csv,
            test.csv) as it is, in .gz, .zip or .tar.gz, or in the competition's zip; Parquet in Hugging
            Face's layout; a folder with such files; a folder or zip with one folder of pictures a class.
        votes: FER+'s fer2013new.csv, joined by FER2013's row.
        strict: refuse a source with anything wrong. Otherwise what is wrong stands in `problems`, and the
            good rows are as they are in the source.
        contempt: whether faces of contempt, which FER2013 does not have, are kept as an eighth class.
        size: width and height for pictures and Parquet, and for synthetic faces. FER2013's CSV is 48 always.
        mapping: what folders mean that are not named after emotions, see `mien.data.folders.labels`. Of a
            folder or zip of pictures only.
        cache: keep the table in the cache (`mien.data.cache`) under the hash of the source, and take it from
            there. Of a folder of pictures, names, sizes and times are hashed, not the bytes.

    Raises:
        SourceNotFound: nothing is at the path.
        FormatError: no layout that mien knows, cut short, damaged, or without one good row.
        BadRows: `strict`, and something is wrong; the message names the first.
        MissingExtra: Parquet without pyarrow.
        UsageError: `contempt` or `size` out of range, votes for synthetic faces (they have their own), or a
            mapping for what has no folders.
    """
    if contempt not in ("drop", "keep"):
        raise UsageError(f"contempt must be 'drop' or 'keep', not {contempt!r}.")
    if size < _SMALLEST_SIDE:
        raise UsageError(f"size must be at least {_SMALLEST_SIDE} pixels, not {size}.")
    if source == "synthetic":
        return _synthetic(votes, size)
    path = Path(source).expanduser()
    if not path.exists():
        raise SourceNotFound(
            f"{path} does not exist. Give FER2013's CSV or archive, a folder with one folder a class, "
            "a Parquet file, or 'synthetic'."
        )
    with readable(path):
        table = _read(path, contempt, size, mapping, cache)
    if mapping and table.names is None:
        raise UsageError(f"a label map says what folders mean, and {table.source} has none. Leave it out.")
    if strict and table.problems:
        first, *others = table.problems
        more = f" ({len(others):,} more problems)" if others else ""
        raise BadRows(
            f"{table.source}, {first.where}: {first.reason}{more}. "
            "Repair the source, or read it without strict: what is wrong is then left out and listed."
        )
    return table if votes is None else join_votes(table, Path(votes).expanduser())


def _synthetic(votes: Path | None, size: int) -> FaceTable:
    from mien.data.synthetic.faces import faces

    if votes is not None:
        raise UsageError(f"synthetic faces bring their own votes; leave out {votes}.")
    return faces(size=size)


def _read(path: Path, contempt: Contempt, size: int, mapping: LabelMap, cache: bool) -> FaceTable:
    if path.is_file() and _starts(path).startswith(b"PAR1"):
        return _read_parquet([path], str(path), contempt, size, cache)
    if member := find_csv(path):
        choices = ("csv", member.inner)
        return _cached(_hash_of(member.file), member.source, choices, lambda: _read_member(member), cache)
    if path.is_file():
        return _read_zip_tree(path, contempt, size, mapping, cache)
    if files := parquet_files(path):
        return _read_parquet(files, str(path), contempt, size, cache)
    return _read_tree(path, contempt, size, mapping, cache)


def _starts(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _read_member(member: Member) -> FaceTable:
    with readable(member.file), member.open() as stream:
        return read_csv(stream, member.source)


def _read_parquet(
    files: Sequence[Path], source: str, contempt: Contempt, size: int, cache: bool
) -> FaceTable:
    choices = ("parquet", [file.name for file in files], size, contempt)
    return _cached(
        _hash_of(*files), source, choices, lambda: read_parquet(files, source, size, contempt), cache
    )


def _read_tree(path: Path, contempt: Contempt, size: int, mapping: LabelMap, cache: bool) -> FaceTable:
    pictures = pictures_in_folder(path)
    files = [os.path.join(path, *picture.parts) for picture in pictures]  # noqa: PTH118  # they are many
    choices = ("tree", size, contempt, sorted(mapping.items()))
    return _cached(
        lambda: tree_sha256(files),
        str(path),
        choices,
        lambda: read_tree(pictures, str(path), size, contempt, mapping),
        cache,
    )


def _read_zip_tree(path: Path, contempt: Contempt, size: int, mapping: LabelMap, cache: bool) -> FaceTable:
    start = _starts(path)
    if not start:
        raise FormatError(f"{path} is empty.")
    kind = kind_of(start)
    if kind == "plain":
        read_header(start.partition(b"\n")[0], str(path))  # says what is there instead of a header
    if kind != "zip":
        raise FormatError(
            f"{path} is an archive without a CSV of FER2013 in it. Unpack it to see what it holds."
        )

    def read() -> FaceTable:
        with zipfile.ZipFile(path) as archive:
            return read_tree(pictures_in_zip(archive), str(path), size, contempt, mapping)

    choices = ("zip tree", size, contempt, sorted(mapping.items()))
    return _cached(_hash_of(path), str(path), choices, read, cache)


def _hash_of(*files: Path) -> Callable[[], str]:
    """A function that hashes the bytes of the files."""

    def identify() -> str:
        hashes = [file_sha256(file, tables.cache_dir() / "hashes") for file in files]
        return hashes[0] if len(files) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    return identify


def _cached(
    identify: Callable[[], str | None],
    source: str,
    choices: tuple[object, ...],
    read: Callable[[], FaceTable],
    cache: bool,
) -> FaceTable:
    """What `read` gives, from the cache where what is there was read with these choices before."""
    identity = identify() if cache else None
    if identity is None:
        return read()
    entry = tables.entry_for(identity, *choices)
    if (table := tables.fetch(entry)) is not None:
        return replace(table, source=source + table.source)
    table = read()
    if identify() == identity:  # else it changed meanwhile, and is not what was read
        tables.store(entry, replace(table, source=table.source.removeprefix(source)))
    return table
