"""Any source of labelled faces into one table: its kind, its reader, and the cache."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mien.data import cache as tables
from mien.data.archives import Member, find_csv, kind_of, readable
from mien.data.cache import file_sha256, tree_sha256
from mien.data.fer2013.header import read_header
from mien.data.fer2013.reader import read_csv
from mien.data.folders.labels import NO_MAP, Contempt, LabelMap, OwnClasses
from mien.data.folders.manifest import (
    Manifest,
    manifest_at,
    manifest_paths,
    metadata_in,
    read_manifests,
)
from mien.data.folders.reader import ImageFile, files_in_folder, files_in_zip, read_tree
from mien.data.parquet import arrow_files, parquet_files, read_parquet
from mien.data.table import FaceTable
from mien.data.votes import join_votes
from mien.errors import BadRows, DataError, FormatError, SourceNotFound, UsageError
from mien.files import expanded, kind_of_path
from mien.names import shown

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
            test.csv), plain, in .gz, .zip or .tar.gz, or in the competition's zip; Parquet in Hugging
            Face's layout; a folder with such files, or one that `datasets` saved to disk; a folder or zip
            with one folder of images per class; a CSV, JSON lines or Parquet file with the columns
            ``path,label`` and perhaps ``split`` and ``subject``; a folder in Hugging Face's `imagefolder`
            layout, with such files named ``metadata``.
        votes: FER+'s fer2013new.csv, joined by FER2013's row.
        strict: refuse a source with any problem. Otherwise problems are listed in `FaceTable.problems`, and
            bad rows are left out.
        contempt: ``"keep"`` faces of contempt, which FER2013 does not have, as an eighth class, or ``"drop"``
            them.
        size: width and height of images, of faces in Parquet, and of synthetic faces. FER2013's CSV always
            has 48.
        mapping: what folders mean that are not named after emotions, see `mien.data.folders.labels`. Only
            for a folder or zip of images, or for the labels of a CSV of paths, Parquet or Arrow.
        cache: keep the table in the cache (`mien.data.cache`) under the hash of the source, and read it from
            there next time. For a folder of images, names, sizes and times are hashed, not the bytes.

    Raises:
        SourceNotFound: the path does not exist.
        FormatError: no layout that mien knows, cut short, damaged, or without one good row.
        BadRows: `strict`, and there is a problem; the message names the first.
        MissingExtra: Parquet without pyarrow.
        UsageError: `contempt` or `size` out of range, votes for synthetic faces (they have their own), or a
            mapping for a source without folders.
    """
    if contempt not in ("drop", "keep"):
        raise UsageError(f"contempt must be 'drop' or 'keep', not {contempt!r}.")
    if size < _SMALLEST_SIDE:
        raise UsageError(f"size must be at least {_SMALLEST_SIDE} pixels, not {size}.")
    if source == "synthetic":
        return _synthetic(votes, size)
    path = expanded(source)
    if kind_of_path(path, DataError) == "nothing":
        raise SourceNotFound(
            f"{shown(path)} does not exist. Give FER2013's CSV or archive, a folder with one folder per "
            "class, a CSV, JSON lines or Parquet file with the columns path,label, or 'synthetic'."
        )
    with readable(path):
        reading = _reading(path, contempt, size, mapping)
        if isinstance(mapping, OwnClasses) and reading.options[0] == "csv":
            raise UsageError(
                f"{reading.source} has no folders, and its classes cannot be named by a label map. Leave it "
                "out, or give a CSV with the columns path,label."
            )
        table = reading.table(cache)
    if mapping and table.names is None:
        raise UsageError(
            f"a label map gives what folders mean, but {table.source} has no folders. Leave it out."
        )
    if strict and table.problems:
        first, *others = table.problems
        more = f" ({len(others):,} more problems)" if others else ""
        raise BadRows(
            f"{table.source}, {first.where}: {first.reason}{more}. "
            "Repair the source, or read it without strict: bad rows are then left out and listed."
        )
    return table if votes is None else join_votes(table, expanded(votes))


def _synthetic(votes: Path | None, size: int) -> FaceTable:
    from mien.data.synthetic.faces import faces

    if votes is not None:
        raise UsageError(f"synthetic faces have votes of their own; leave out {votes}.")
    return faces(size=size)


@dataclass(frozen=True)
class _Reading:
    """How a source is read.

    Attributes:
        source: its name, for messages.
        options: what the table depends on beside the bytes.
        hash: a hash of the source, None if it has none yet.
        read: reads the table.
    """

    source: str
    options: tuple[object, ...]
    hash: Callable[[], str | None]
    read: Callable[[], FaceTable]

    def table(self, cache: bool) -> FaceTable:
        """The table, from the cache if it was read from the same source with the same options before."""
        sha256 = self.hash() if cache else None
        if sha256 is None:
            return self.read()
        entry = tables.entry_for(sha256, *self.options)
        if (table := tables.fetch(entry)) is not None:
            return replace(table, source=self.source + table.source)
        table = self.read()
        if self.hash() == sha256:  # else the source changed while it was read
            tables.store(entry, replace(table, source=table.source.removeprefix(self.source)))
        return table


def _reading(path: Path, contempt: Contempt, size: int, mapping: LabelMap) -> _Reading:
    """How the source at a path is read, by its first bytes and its members."""
    if path.is_file() and (manifest := manifest_at(path)):
        return _manifests([manifest], path, (), contempt, size, mapping)
    if path.is_file() and _start_of(path).startswith(b"PAR1"):
        return _parquet([path], str(path), contempt, size, mapping)
    if member := find_csv(path):
        return _Reading(
            member.source, ("csv", member.inner), _hash_of(member.file), lambda: _read_member(member)
        )
    if path.is_file():
        return _zip_tree(path, contempt, size, mapping)
    images = files_in_folder(path)
    if manifests := metadata_in(path, images):
        return _manifests(manifests, path, images, contempt, size, mapping)
    if files := parquet_files(path) or arrow_files(path):
        return _parquet(files, str(path), contempt, size, mapping)
    paths = [os.path.join(path, *image.parts) for image in images]  # noqa: PTH118  # they are many
    return _Reading(
        str(path),
        ("tree", size, contempt, type(mapping).__name__, sorted(mapping.items())),
        lambda: tree_sha256(paths),
        lambda: read_tree(images, str(path), size, contempt, mapping),
    )


def _manifests(
    manifests: Sequence[Manifest],
    path: Path,
    images: Sequence[ImageFile],
    contempt: Contempt,
    size: int,
    mapping: LabelMap,
) -> _Reading:
    """How tables of paths and labels are read: the one at the path, or those in that folder of images."""

    def sha256() -> str | None:
        files = tree_sha256(manifest_paths(manifests))
        tables = _hash_of(*(manifest.path for manifest in manifests))()
        return files and hashlib.sha256(f"{tables}{files}".encode()).hexdigest()

    names = [image.name for image in images]
    return _Reading(
        str(path),
        ("manifest", names, size, contempt, type(mapping).__name__, sorted(mapping.items())),
        sha256,
        lambda: read_manifests(manifests, str(path), size, contempt, mapping, images),
    )


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _read_member(member: Member) -> FaceTable:
    with readable(member.file), member.open() as stream:
        return read_csv(stream, member.source)


def _parquet(
    files: Sequence[Path], source: str, contempt: Contempt, size: int, mapping: LabelMap
) -> _Reading:
    names = ["/".join(file.parts[-2:]) for file in files]  # of Arrow files the folder is the split
    options = ("parquet", names, size, contempt, type(mapping).__name__, sorted(mapping.items()))
    return _Reading(
        source, options, _hash_of(*files), lambda: read_parquet(files, source, size, contempt, mapping)
    )


def _zip_tree(path: Path, contempt: Contempt, size: int, mapping: LabelMap) -> _Reading:
    start = _start_of(path)
    if not start:
        raise FormatError(f"{path} is empty.")
    kind = kind_of(start)
    if kind == "plain":
        read_header(start.partition(b"\n")[0], str(path))  # raises with what is there instead of a header
    if kind != "zip":
        raise FormatError(f"{path} is an archive without a CSV of FER2013. Unpack it to see its contents.")

    def read() -> FaceTable:
        with zipfile.ZipFile(path) as archive:
            return read_tree(files_in_zip(archive), str(path), size, contempt, mapping)

    options = ("zip tree", size, contempt, type(mapping).__name__, sorted(mapping.items()))
    return _Reading(str(path), options, _hash_of(path), read)


def _hash_of(*files: Path) -> Callable[[], str]:
    """A function that hashes the bytes of the files."""

    def sha256() -> str:
        hashes = [file_sha256(file, tables.cache_dir() / "hashes") for file in files]
        return hashes[0] if len(files) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    return sha256
