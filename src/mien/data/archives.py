"""FER2013's CSVs inside files, folders and archives, also an archive inside an archive."""

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

# One archive inside another is how Kaggle ships the competition; deeper is somebody's mistake.
_DEEPEST = 2
_CHUNK_BYTES = 1 << 20
_HEADER_BYTES = 4096
_TAR_MAGIC_AT = 257


@dataclass(frozen=True)
class Member:
    """A CSV that can be opened.

    Attributes:
        file: the file on disk.
        inner: its place in that file's archives, "" for a plain file.
        rank: what its header announces, see `Layout.rank`.
        size: bytes when unpacked, or as packed where the archive does not say.
        depth: how many archives are round it.
        open: gives the stream; leaving it reads on to the end, so that a cut or damaged archive is noticed.
    """

    file: Path
    inner: str
    rank: int
    size: int
    depth: int
    open: Opener

    @property
    def source(self) -> str:
        """The place in words."""
        return f"{self.file}: {self.inner}" if self.inner else str(self.file)


def find_csv(path: Path) -> Member | None:
    """The most complete of FER2013's CSVs at a path, None if there is none.

    Splits and labels come before labels, these before bare pixels; then the larger file (to the percent, for
    icml_face_data.csv is fer2013.csv with two more spaces), then the one that takes less unpacking.

    Raises:
        FormatError: an archive is cut or damaged.
    """
    found = list(_in_folder(path) if path.is_dir() else _in_file(path))
    if not found:
        return None
    largest = max(member.size for member in found)
    return max(
        found, key=lambda member: (member.rank, round(100 * member.size / (largest or 1)), -member.depth)
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What goes wrong with an archive inside becomes a `FormatError` that names the path."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile) as error:
        raise FormatError(
            f"{path} is cut short or damaged ({error}). Download or copy it again; nothing of it was used."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def kind_of(start: bytes) -> Kind:
    """What a file is, by its first bytes (262 tell all): names lie, as of downloads without an ending."""
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    return "tar" if start[_TAR_MAGIC_AT:].startswith(b"ustar") else "plain"


def _in_folder(folder: Path) -> Iterator[Member]:
    near = (path for pattern in ("*", "*/*") for path in folder.glob(pattern))
    for path in sorted(path for path in near if _promising(path.name) and path.is_file()):
        yield from _in_file(path)


def _promising(name: str) -> bool:
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
    elif depth == _DEEPEST:
        return
    elif kind == "zip":
        yield from _in_zip(opener, name, depth)
    elif kind == "tar":
        yield from _in_tar(opener, name, depth)
    else:
        # What is inside a .gz is no archive further in: a .tar.gz is one thing.
        yield from _in_stream(_gzip_opener(opener), name, size, depth)


def _rank(start: bytes) -> int:
    line, _, _ = start.partition(b"\n")
    try:
        return read_header(line, "")[0].rank
    except FormatError:
        return 0


def _in_zip(opener: Opener, name: str, depth: int) -> Iterator[Member]:
    with opener() as stream, zipfile.ZipFile(stream) as archive:
        entries = [entry for entry in archive.infolist() if _promising(entry.filename)]
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
            except (
                RuntimeError
            ) as error:  # zipfile's way to say: a password, or a compression it does not know
                raise FormatError(
                    f"{entry} cannot be unpacked ({error}). Unpack it by hand first."
                ) from error
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
    """The CSVs of a tar; it is read no further than the first that has splits and labels."""
    with opener() as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isfile() and _promising(entry.name) else None
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
            while stream.read(_CHUNK_BYTES):  # the checksum of a gzip stands at its end
                pass

    return opened
