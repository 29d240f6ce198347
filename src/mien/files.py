"""Files written whole or not at all, hashed in blocks, and rows of CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; moved onto `path` at the end of the ``with`` block.

    A reader, or a power cut, finds the old file or the new one, never a part. Where the block raises, or
    writes nothing, `path` stays as it was and the staged file is deleted. The suffix stays, for writers that
    choose a format by it.

    Raises:
        OSError: the file cannot be moved.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        if temporary.exists():
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file, in hex, read in blocks.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any] | Sequence[Any]]) -> str:
    """Rows as CSV with a header, lines ended by a line feed; a row is a mapping or a sequence of values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row[name] for name in columns] if isinstance(row, Mapping) else row)
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
