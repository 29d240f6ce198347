"""The folder of a data set of images or clips: a manifest, and Parquet files that appear whole or not at all.

DIR/
  images.json                  the manifest: model, options and version, the same for all rows; the columns
  images/
    part-00000.parquet         the rows of up to a thousand files; of a shard: part-03of16-00000.parquet
  images.csv, images.parquet   all rows as one table, see `merge`
  clips.json, clips/, clips.*  the same of clips, see `mien.batch.clips`

A part is written under another name and moved once. It is replaced as a whole where a file in it changed:
first its old rows are taken out, then the file is one that is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.batch.sources import Kind, SourceFile
from mien.errors import DataError, MissingExtra, UsageError, reason
from mien.files import hold_lock, staged, write_atomically
from mien.models.card import Head
from mien.names import json_text
from mien.video.study.dictionary import MISSING, Column, clips_columns, describe, images_columns
from mien.video.study.files import join_tables, parquet_schema

_PART = re.compile(r"part-(?:(?:\d+of\d+-)?\d{5,}|clip-[0-9a-f]{16})\.parquet")
# Of each file, what a later run compares.
_FILE_COLUMNS = ["file_id", "bytes", "version", "sha256", "error"]
# An error that another try may not meet: a store that did not answer, a file that is not there yet.
RETRIED = "OSError"


def file_columns(head: Head, kind: Kind = "images", *, movements: bool = False) -> list[Column]:
    """The columns of a data set."""
    return {"images": images_columns, "clips": clips_columns}[kind](head, movements=movements)


@dataclass(frozen=True)
class Known:
    """What a data set holds of each file: arrays of one length, sorted by `ids`.

    Attributes:
        ids: uint64, `DataSet.number_of`.
        versions: uint64, a hash of size and version.
        hashes: uint64, the beginning of the SHA-256; 0 for a file that could not be read.
        parts: int32, places in `names`.
        names: of the parts.
        retry: bool, whether another try may succeed.
        twice: bool, whether an earlier part holds the file too.
    """

    ids: NDArray[np.uint64]
    versions: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    parts: NDArray[np.int32]
    names: tuple[str, ...]
    retry: NDArray[np.bool_]
    twice: NDArray[np.bool_]

    def find(self, number: int) -> int | None:
        """The place of a file, or None."""
        place = int(np.searchsorted(self.ids, np.uint64(number)))
        return place if place < len(self.ids) and int(self.ids[place]) == number else None


class DataSet:
    """Reads and writes the folder of a data set.

    Attributes:
        folder: of the data set, and of its manifest and whole tables.
        kind: what its rows are of.
        rows: the folder of the parts.

    Raises:
        MissingExtra: pyarrow is not installed.
        UsageError: the folder cannot be made.
    """

    def __init__(self, folder: Path, kind: Kind = "images") -> None:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise MissingExtra(f"a data set of {kind}", "data") from None
        self.folder, self.kind = folder, kind
        self.rows = folder / kind

    def number_of(self, file: SourceFile) -> int:
        """A number of 64 bits for a file, by its path from the data set's folder, or by its address.

        A folder that is mounted elsewhere together with its data set has the same numbers.
        """
        name = file.source
        if "://" not in name:
            name = os.path.relpath(Path(name).absolute(), self.folder.absolute()).replace(os.sep, "/")
        return _hash64(name.encode("utf-8", "surrogateescape"))

    def open(self, manifest: dict[str, Any], *, overwrite: bool = False) -> None:
        """Begin the data set, or make sure that it was begun with the same model, options and version.

        Raises:
            UsageError: it was not, or it cannot be written.
        """
        path = self.folder / f"{self.kind}.json"
        try:
            self.rows.mkdir(parents=True, exist_ok=True)
            if overwrite:
                for part in (*self.parts(), *self.rows.glob("range-*")):
                    part.unlink()
                path.unlink(missing_ok=True)
            if not path.exists():
                write_atomically(path, json_text(manifest, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"{self.rows} cannot be written to: {error.strerror or error}.") from error
        there = self.manifest()
        changed = [key for key in manifest if there.get(key) != json.loads(json_text(manifest[key]))]
        if changed:
            names = ", ".join(_differences(there.get(changed[0]), manifest[changed[0]], changed[0]))
            raise UsageError(
                f"{self.folder} was made with other options: {names}. Give the same, another --out, or "
                "--overwrite to begin anew."
            )

    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            DataError: there is none, or it cannot be read.
        """
        path = self.folder / f"{self.kind}.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(
                f"{self.folder} holds no data set of {self.kind}: {path} is missing. "
                "`mien predict FOLDER --out DIR` makes one."
            ) from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {reason(error)}.") from error
        return content

    def parts(self) -> list[Path]:
        """The parts, by name."""
        if not self.rows.is_dir():
            return []
        return sorted(path for path in self.rows.iterdir() if _PART.fullmatch(path.name))

    @contextmanager
    def locked(self, shard: tuple[int, int] | None) -> Iterator[None]:
        """Keep a shard, or the whole, to this process. A killed process frees it.

        Raises:
            UsageError: another process writes it.
        """
        name = "" if shard is None else f"-{shard[0]}of{shard[1]}"
        with hold_lock(self.rows / f".lock{name}") as owner:
            if owner is not None:
                raise UsageError(
                    f"{self.folder} is in use by process {owner}, which writes the same files. Wait until it "
                    f"ends, or stop it: kill {owner}"
                )
            self._remove_staged(shard)
            yield

    def known(self, shard: tuple[int, int] | None = None) -> Known:
        """What the parts hold of each file; without the parts that hold no file of a shard.

        Raises:
            DataError: a part cannot be read.
        """
        import pyarrow.compute as pc

        columns: list[list[NDArray[Any]]] = [[] for _ in range(5)]
        paths = [path for path in self.parts() if not _is_of_another(path.name, shard)]
        for number, path in enumerate(paths):
            rows = read_part(path, _FILE_COLUMNS)
            failed = set(rows.filter(pc.equal(rows["error"], RETRIED))["file_id"].to_pylist())
            table = first_rows(rows).to_pydict()
            ids = [int(each, 16) for each in table["file_id"]]
            versions = list(map(version_number, table["bytes"], table["version"]))
            hashes = [int((each or "0")[:16], 16) for each in table["sha256"]]
            retry = [each in failed for each in table["file_id"]]
            values = (ids, versions, hashes)
            for column, each in zip(columns, values, strict=False):
                column.append(np.array(each, np.uint64))
            columns[3].append(np.full(len(ids), number, np.int32))
            columns[4].append(np.array(retry, np.bool_))
        kinds = (np.uint64, np.uint64, np.uint64, np.int32, np.bool_)
        whole = [
            np.concatenate(column or [np.empty(0, kind)]) for column, kind in zip(columns, kinds, strict=True)
        ]
        order = np.argsort(whole[0], kind="stable")
        ids_, versions_, hashes_, parts_, retry_ = (column[order] for column in whole)
        twice = np.zeros(len(ids_), np.bool_)
        twice[1:] = ids_[1:] == ids_[:-1]
        return Known(ids_, versions_, hashes_, parts_, tuple(p.name for p in paths), retry_, twice)

    def drop(self, files: dict[str, set[int]]) -> None:
        """Take the rows of files out of parts: name of the part to `number_of` its files."""
        import pyarrow as pa

        for name, numbers in files.items():
            path = self.rows / name
            if not path.exists():  # another shard has dropped it
                continue
            table = read_part(path, None)
            keep = [int(each, 16) not in numbers for each in table["file_id"].to_pylist()]
            if any(keep):
                self._put(path, [table.filter(pa.array(keep))])
            else:
                path.unlink(missing_ok=True)

    def free_names(self, shard: tuple[int, int] | None) -> Iterator[str]:
        """Names of parts that are not there yet, in their order."""
        prefix = "part-" if shard is None else f"part-{shard[0]:02}of{shard[1]:02}-"
        there = {path.name for path in self.parts()}
        number = 0
        while True:
            name = f"{prefix}{number:05}.parquet"
            if name not in there:
                yield name
            number += 1

    def write(self, name: str, tables: Sequence[Any]) -> None:
        """Write a part; it appears whole or not at all.

        Raises:
            UsageError: it cannot be written.
        """
        import pyarrow as pa

        self._put(self.rows / name, [pa.concat_tables(tables)])

    def schema(self) -> Any:
        """The schema of a part, by the manifest.

        Raises:
            DataError: there is no data set.
        """
        entries = self.manifest()["tables"][self.kind]
        return parquet_schema([_column(name, entry) for name, entry in entries.items()], None)

    def write_clip(self, number: int, tables: Iterable[Any]) -> None:
        """Write the part of one clip, one table after the other; it appears whole or not at all.

        Raises:
            UsageError: it cannot be written.
        """
        self._put(self.rows / f"part-clip-{number:016x}.parquet", tables)

    def is_merged(self) -> bool:
        """Whether the whole tables are there, of now or of before."""
        return all((self.folder / f"{self.kind}.{suffix}").exists() for suffix in ("parquet", "csv"))

    def merge(self) -> int:
        """Write all rows as CSV and Parquet, such as ``images.csv``; returns how many parts there are.

        Raises:
            DataError: there is no data set, or a part cannot be read.
            UsageError: a file cannot be written.
        """
        manifest, paths = self.manifest(), self.parts()
        columns = [_column(name, entry) for name, entry in manifest["tables"][self.kind].items()]
        join_tables(paths, self.folder, self.kind, columns, manifest)
        return len(paths)

    def _put(self, path: Path, tables: Iterable[Any]) -> None:
        import pyarrow.parquet as pq

        following = iter(tables)
        first = next(following)
        try:
            with staged(path) as temporary:
                with pq.ParquetWriter(temporary, first.schema) as writer:
                    for table in chain([first], following):
                        writer.write_table(table)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {reason(error)}. Choose another place.") from error

    def _remove_staged(self, shard: tuple[int, int] | None) -> None:
        """Delete what a killed run of the same shard left."""
        start = ".part-" if shard is None else f".part-{shard[0]:02}of{shard[1]:02}-"
        for path in self.rows.glob(f"{start}*.tmp.parquet"):
            if shard is not None or "of" not in path.name:
                path.unlink(missing_ok=True)


def manifest_of(
    head: Head, facts: dict[str, Any], kind: Kind = "images", *, movements: bool = False
) -> dict[str, Any]:
    """The manifest of a data set of a model's head, with facts about model and options."""
    import mien

    tables = {kind: describe(file_columns(head, kind, movements=movements))}
    return {"format": 1, "mien": mien.__version__} | facts | {"missing": MISSING, "tables": tables}


def schema_of(head: Head, kind: Kind = "images", *, movements: bool = False) -> Any:
    """The schema of a part; the dictionary of its columns is in the manifest."""
    return parquet_schema(file_columns(head, kind, movements=movements), None)


def first_rows(table: Any) -> Any:
    """The first row of each file in a part."""
    codes = table["file_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return table.take(np.sort(np.unique(codes, return_index=True)[1]))


def version_number(size: int | None, version: str) -> int:
    """A number of 64 bits for the size and the version of a file."""
    return _hash64(f"{size}|{version}".encode())


def _is_of_another(name: str, shard: tuple[int, int] | None) -> bool:
    """Whether a part is of another one of the same number of shards."""
    match = re.match(r"part-(\d+)of(\d+)-", name)
    return bool(match and shard and int(match[2]) == shard[1] and int(match[1]) != shard[0])


def _hash64(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def read_part(path: Path, columns: list[str] | None) -> Any:
    """A part as an Arrow table, all columns for None.

    Raises:
        DataError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path).read(columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} cannot be read: {reason(error)}. Delete it; a second run reads its files again."
        ) from error


def _differences(there: Any, wanted: Any, key: str) -> Iterable[str]:
    """What is different, such as ``"options.align is False there, True now"``."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        for name in sorted(set(there) | set(wanted)):
            if there.get(name) != json.loads(json_text(wanted.get(name))):
                yield from _differences(there.get(name), wanted.get(name), f"{key}.{name}")
    else:
        yield f"{key} is {there!r} there, {wanted!r} now"


def _column(name: str, entry: dict[str, Any]) -> Column:
    limits = entry.get("range")
    return Column(
        name,
        entry["type"],
        entry["description"],
        entry.get("unit"),
        None if limits is None else (limits[0], limits[1]),
        entry["missing"],
        entry["derived"],
    )
