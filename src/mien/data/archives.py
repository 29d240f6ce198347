"""FER2013's CSV files in folders and archives, also in an archive inside an archive."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Literal, TypeAlias, cast

from mien.data.fer2013.header import read_header
from mien.errors import DataError, FormatError
from mien.names import shown

Kind: TypeAlias = Literal["zip", "gzip", "tar", "plain"]
Opener: TypeAlias = Callable[[], AbstractContextManager[IO[bytes]]]

# Kaggle ships the competition as one archive inside another; deeper ones are mistakes.
_MAX_DEPTH = 2
# What an archive may contain and unpack to. FER2013 packs to a third; zeros to a thousandth.
MAX_MEMBERS, MAX_NESTED = 10_000, 100
MAX_RATIO, MAX_TOTAL = 100, 8_000_000_000
# A small archive may always unpack to this many bytes.
_ALWAYS = 64_000_000
# The environment variable that raises all of them.
FACTOR = "MIEN_ARCHIVE_FACTOR"
_CHUNK_BYTES = 1 << 20
_HEADER_BYTES = 4096
_TAR_MAGIC_AT = 257


@dataclass(frozen=True)
class Member:
    """A CSV that can be opened.

    Attributes:
        file: the file on disk.
        inner: its path in that file's archives, "" for a plain file.
        rank: how complete it is by its header, see `Layout.rank`.
        size: bytes when unpacked, or as packed where the archive does not have that number.
        depth: how many archives contain it.
        open: opens the stream; closing reads to the end, so that a cut or damaged archive is noticed.
    """

    file: Path
    inner: str
    rank: int
    size: int
    depth: int
    open: Opener

    @property
    def source(self) -> str:
        """Its name for messages."""
        return f"{self.file}: {self.inner}" if self.inner else str(self.file)


def find_csv(path: Path) -> Member | None:
    """The most complete CSV of FER2013 at a path, None if there is none.

    Splits and labels come before labels, these before bare pixels; then the larger file (to the percent, for
    icml_face_data.csv is fer2013.csv with two more spaces), then the one in fewer archives.

    Raises:
        FormatError: an archive is cut or damaged.
    """
    members = list(_in_folder(path) if path.is_dir() else _in_file(path))
    if not members:
        return None
    largest = max(member.size for member in members)
    return max(
        members, key=lambda member: (member.rank, round(100 * member.size / (largest or 1)), -member.depth)
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Errors of archives within the block become a `FormatError` that names the path."""
    try:
        yield
    except (
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
        tarfile.TarError,
        zipfile.BadZipFile,
        NotImplementedError,
        UnicodeError,
        lzma.LZMAError,
        struct.error,
        RecursionError,
    ) as error:
        raise FormatError(f"{path} is cut short or damaged ({error}). Download or copy it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def kind_of(start: bytes) -> Kind:
    """The kind of a file by its first bytes (262 are enough); names are not reliable."""
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    return "tar" if start[_TAR_MAGIC_AT:].startswith(b"ustar") else "plain"


def check_member(name: str) -> None:
    """Raise where the name of an archive's member leads out of the archive.

    Raises:
        FormatError: it does; a program that makes such archives means harm, or is broken.
    """
    parts = re.split(r"[\\/]", name)
    if ".." in parts or name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name):
        raise FormatError(
            f"the archive has a member {shown(name)!r}, which leads out of it. Do not trust the archive; "
            "to use it all the same, unpack it and give the file."
        )


def _check_count(count: int, most: int, name: str) -> None:
    if count > most * _factor():
        raise FormatError(
            f"{shown(name) or 'the archive'} has more than {most * _factor():,} members that could be a CSV. "
            f"Unpack the one that you need, or set {FACTOR}=10 to allow ten times as many."
        )


def _factor() -> int:
    text = os.environ.get(FACTOR, "1")
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise FormatError(f"{FACTOR} must be a whole number from 1 on, not {shown(text)!r}.")
    return int(text)


class _BoundedStream:
    """A stream that ends with an error where an archive unpacks to far more than a CSV of faces does."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path, self._done = stream, path, 0
        packed = path.stat().st_size
        self._most = max(packed, min(MAX_TOTAL, max(_ALWAYS, packed * MAX_RATIO)) * _factor())

    def read(self, size: int = -1, /) -> bytes:
        """As `io.RawIOBase.read`."""
        data = self._stream.read(size)
        self._done += len(data)
        if self._done > self._most:
            raise FormatError(
                f"{shown(self._path)} unpacks to more than {self._most / 1e6:,.0f} MB, which no CSV of "
                f"faces of its size does. Set {FACTOR}=10 to allow ten times as much."
            )
        return data


def _bounded(opener: Opener, path: Path) -> Opener:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with opener() as stream:
            yield cast(IO[bytes], _BoundedStream(stream, path))

    return opened


def _in_folder(folder: Path) -> Iterator[Member]:
    near = (path for pattern in ("*", "*/*") for path in folder.glob(pattern))
    for path in sorted(path for path in near if _may_contain_csv(path.name) and path.is_file()):
        yield from _in_file(path)


def _may_contain_csv(name: str) -> bool:
    lower = PurePosixPath(name).name.lower()
    return lower.endswith((".csv", ".zip", ".tar", ".tgz", ".gz")) and not lower.startswith(".")


def _in_file(path: Path) -> Iterator[Member]:
    def opened() -> AbstractContextManager[IO[bytes]]:
        return path.open("rb", buffering=0)

    with readable(path):
        for member in _in_stream(opened, "", path.stat().st_size, 0):
            yield replace(member, file=path, open=_bounded(member.open, path))


def _in_stream(opener: Opener, name: str, size: int, depth: int) -> Iterator[Member]:
    with opener() as stream:
        start = stream.read(_HEADER_BYTES)
    kind = kind_of(start)
    if kind == "plain":
        if rank := _rank(start):
            yield Member(Path(), name, rank, size, depth, opener)
    elif depth == _MAX_DEPTH:
        return
    elif kind == "zip":
        yield from _in_zip(opener, name, depth)
    elif kind == "tar":
        yield from _in_tar(opener, name, depth)
    else:
        # A .gz does not count as an archive of its own: a .tar.gz is one.
        yield from _in_stream(_gzip_opener(opener), name, size, depth)


def _rank(start: bytes) -> int:
    line, _, _ = start.partition(b"\n")
    try:
        return read_header(line, "")[0].rank
    except FormatError:
        return 0


def _in_zip(opener: Opener, name: str, depth: int) -> Iterator[Member]:
    nested = 0
    with opener() as stream, zipfile.ZipFile(stream) as archive:
        entries = [entry for entry in archive.infolist() if _may_contain_csv(entry.filename)]
        _check_count(len(entries), MAX_MEMBERS, name)
        for entry in entries:
            check_member(entry.filename)
            if entry.filename.startswith("__MACOSX/"):
                continue
            inner = f"{name}: {entry.filename}".removeprefix(": ")
            with _open_entry(archive, entry.filename) as content:
                start = content.read(_HEADER_BYTES)
            member_opener = _zip_opener(opener, entry.filename)
            if kind_of(start) != "plain":
                nested += 1
                _check_count(nested, MAX_NESTED, name)
                yield from _in_stream(member_opener, inner, entry.file_size, depth + 1)
            elif rank := _rank(start):
                yield Member(Path(), inner, rank, entry.file_size, depth + 1, member_opener)


def _open_entry(archive: zipfile.ZipFile, entry: str) -> IO[bytes]:
    try:
        return archive.open(entry)
    except RuntimeError as error:  # zipfile raises it for a password, or an unknown compression
        raise FormatError(f"{shown(entry)} cannot be unpacked ({error}). Unpack it first.") from error


def _zip_opener(opener: Opener, entry: str) -> Opener:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with opener() as stream, zipfile.ZipFile(stream) as archive, _open_entry(archive, entry) as member:
            yield member

    return opened


def _gzip_opener(opener: Opener) -> Opener:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with opener() as stream, gzip.GzipFile(fileobj=stream) as unpacked:
            yield unpacked  # type: ignore[misc]

    return opened


def _in_tar(opener: Opener, name: str, depth: int) -> Iterator[Member]:
    """The CSV files of a tar, up to the first with splits and labels."""
    with opener() as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for number, entry in enumerate(archive, start=1):
            _check_count(number, MAX_MEMBERS, name)
            if _may_contain_csv(entry.name):
                check_member(entry.name)
            content = archive.extractfile(entry) if entry.isfile() and _may_contain_csv(entry.name) else None
            rank = _rank(content.read(_HEADER_BYTES)) if content else 0
            if rank:
                inner = f"{name}: {entry.name}".removeprefix(": ")
                yield Member(Path(), inner, rank, entry.size, depth + 1, _tar_opener(opener, entry.name))
            if rank == 3:
                return


def _tar_opener(opener: Opener, name: str) -> Opener:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with opener() as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.name == name else None
                if content:
                    yield content
                    break
            while stream.read(_CHUNK_BYTES):  # the checksum of a gzip is at its end
                pass

    return opened
