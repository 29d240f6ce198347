"""Files written whole or not at all, hashed in blocks, and rows of CSV."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from mien.errors import MienError
from mien.names import csv_cell, shown

# What a write fails with where the disk is full (or its quota, or a limit on files), read-only or broken.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_BLOCK = 1 << 16


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; moved onto `path` at the end of the ``with`` block.

    A reader, or a power cut, finds the old file or the new one, never a part. Where the block raises, or
    writes nothing, `path` stays as it was and the staged file is deleted. The suffix stays, for writers that
    choose a format by it.

    Raises:
        OSError: the file cannot be moved.
    """
    if not path.name:  # "" or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with named(path):
            yield temporary
        if temporary.exists():
            temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # else it would hide what went wrong
            temporary.unlink()


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a power cut, finds the old one or the new one, never a part.

    Text is written as UTF-8, its line ends as they are.

    Raises:
        OSError: the file cannot be written.
    """
    with staged(path) as temporary, temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def named(path: Path) -> Iterator[None]:
    """A ``with`` block whose errors of the system name a path, where they name none.

    A file that is open does not name itself when a write fails on a full disk.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def drop_partial_line(path: Path) -> None:
    """Cut a text file behind its last whole line, after a write has failed; an empty file is deleted.

    Raises:
        OSError: the file cannot be changed.
    """
    if not path.is_file():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK)
            file.seek(start)
            if (newline := file.read(end - start).rfind(b"\n")) >= 0:
                file.truncate(start + newline + 1)
                return
            end = start
    path.unlink()


@contextmanager
def hold_lock(path: Path) -> Iterator[str | None]:
    """Hold a lock while the ``with`` block runs; what comes back is None, or the process that holds it.

    The id of this process is in the file meanwhile, and the file is deleted behind it. The lock of a process
    that was killed does not count: the system frees it. File systems without locks, and Windows, go without.

    Raises:
        OSError: the file cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield None
        return
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            yield file.read().strip() or "unknown"
            return
        except OSError:  # a network file system without locks
            yield None
            return
        try:
            with named(path):
                os.ftruncate(file.fileno(), 0)
                os.write(file.fileno(), f"{os.getpid()}\n".encode())
            yield None
        finally:
            path.unlink(missing_ok=True)


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path from outside, a leading ``~`` or ``~user`` replaced by that home; one without a home stays.

    A file may have such a name, as in ``~$thesis.jpg``; and a process may have no home, as in a container.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises where there is no home


def kind_of_path(path: Path, error: type[MienError]) -> Literal["file", "folder", "nothing"]:
    """What a path from outside leads to: a folder, nothing, or a file (or a pipe or a device).

    Raises:
        MienError: of the class `error`, where the system refuses to look: a folder above that may not be
            entered, a name that is too long, a loop of links.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except (OSError, ValueError) as reason:  # the latter for a name with a zero byte
        why = getattr(reason, "strerror", None) or reason
        raise error(f"{shown(path)} cannot be read: {why}.") from reason
    return "folder" if stat.S_ISDIR(mode) else "file"


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file, in hex, read in blocks.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any] | Sequence[Any]]) -> str:
    """Rows as CSV with a header, lines ended by a line feed; a row is a mapping or a sequence of values.

    Text goes through `mien.names.csv_cell`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [row[name] for name in columns] if isinstance(row, Mapping) else row
        writer.writerow([csv_cell(value) for value in values])
    return text.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV with a header, as text by column; a byte order mark is dropped.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: the file is not UTF-8.
        csv.Error: a line cannot be split.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
