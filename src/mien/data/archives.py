"""FER2013's CSV files in folders and archives, also in an archive inside an archive."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Literal, TypeAlias

from mien.data.fer2013.header import read_header
from mien.errors import DataError, FormatError

Kind: TypeAlias = Literal["zip", "gzip", "tar", "plain"]
Opener: TypeAlias = Callable[[], AbstractContextManager[IO[bytes]]]

# Kaggle ships the competition as one archive inside another; deeper ones are mistakes.
_MAX_DEPTH = 2
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
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile) as error:
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
            yield replace(member, file=path)


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
    with opener() as stream, zipfile.ZipFile(stream) as archive:
        entries = [entry for entry in archive.infolist() if _may_contain_csv(entry.filename)]
    for entry in entries:
        if not entry.filename.startswith("__MACOSX/"):
            inner = f"{name}: {entry.filename}".removeprefix(": ")
            yield from _in_stream(_zip_opener(opener, entry.filename), inner, entry.file_size, depth + 1)


def _zip_opener(opener: Opener, entry: str) -> Opener:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with opener() as stream, zipfile.ZipFile(stream) as archive:
            try:
                member = archive.open(entry)
            except RuntimeError as error:  # zipfile raises it for a password, or an unknown compression
                raise FormatError(f"{entry} cannot be unpacked ({error}). Unpack it first.") from error
            with member:
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
        for entry in archive:
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
