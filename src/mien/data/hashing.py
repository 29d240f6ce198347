"""What a source is known by: the SHA-256 of a file, remembered while the file is certainly the same."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

# A change within one tick of the file system's clock leaves no trace in the time stamps. FAT ticks every two
# seconds; a file changed less than that ago is hashed anew each time (as git does with its index).
_TICK_NS = 2_000_000_000


def fingerprint(path: Path) -> list[int]:
    """What the file system knows of a file: device, inode, size, time of content, time of any change."""
    status = path.stat()
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def file_sha256(path: Path, memory: Path) -> str:
    """The hash of the file's bytes, from the folder `memory` if nothing about the file has changed since.

    On POSIX the time of change cannot be set back by `touch` or `cp -p`, so only somebody who turns the
    system's clock back can pass a changed file for the old one. A `memory` that cannot be written is no harm.
    """
    before = fingerprint(path)
    note = memory / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"
    known = _read(note)
    if known is not None and known.get("fingerprint") == before:
        return str(known["sha256"])
    read_at = time.time_ns()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settled = read_at - max(before[3:]) > _TICK_NS
    if settled and fingerprint(path) == before:
        _write(note, {"fingerprint": before, "sha256": digest})
    return digest


def tree_sha256(paths: Iterable[str]) -> str | None:
    """A hash of what the file system knows of many small files, in the order given.

    Their bytes are not read: that would take as long as decoding them. None where one changed so lately that
    another change might leave no trace.
    """
    digest = hashlib.sha256()
    newest = 0
    for path in paths:
        status = os.stat(path)  # noqa: PTH116  # a Path for each would double the time
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        known = (path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest.update(repr(known).encode("utf-8", "surrogateescape"))
    return digest.hexdigest() if time.time_ns() - newest > _TICK_NS else None


def _read(note: Path) -> dict[str, object] | None:
    try:
        content = json.loads(note.read_bytes())
    except (OSError, ValueError):  # absent, or half written by a machine that died: hash again
        return None
    return content if isinstance(content, dict) and "sha256" in content else None


def _write(note: Path, content: dict[str, object]) -> None:
    partial = note.with_name(f"{note.name}.{os.getpid()}.part")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content))
        partial.replace(note)
    except OSError:  # the next read hashes again; nothing is lost
        partial.unlink(missing_ok=True)
