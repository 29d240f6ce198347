"""Tables once read, kept under the hash of what they were read from, with pixels mapped from the disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.table import BadRow, FaceTable

# Goes into every key: a reader that reads differently must not find what its forerunner read.
_READER = 1
# A FER2013 takes 83 MB. The entries that were not used for longest make room.
_MOST_ENTRIES = 8
_COLUMNS = ("labels", "splits", "rows", "votes", "names")

# A change within one tick of the file system's clock leaves no trace in the time stamps. FAT ticks every two
# seconds; a file changed less than that ago is hashed anew each time (as git does with its index).
_TICK_NS = 2_000_000_000

_log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """Where mien keeps what it can make again: MIEN_CACHE, or the platform's place for caches."""
    if chosen := os.environ.get("MIEN_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mien"


def entry_for(sha256: str, *choices: object) -> Path:
    """The folder of what was read from bytes of this hash with these choices."""
    told = zlib.crc32(json.dumps([_READER, *choices]).encode())
    return cache_dir() / "tables" / f"{sha256[:40]}-{told:08x}"


def fetch(entry: Path) -> FaceTable | None:
    """The table of an entry, None if there is none. A damaged entry is noted, removed, and counts as none."""
    try:
        manifest = json.loads((entry / "table.json").read_bytes())
        table = _read(entry, manifest)
    except FileNotFoundError:
        if not entry.exists():
            return None
        reason = "a file of it is missing"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error)
    else:
        with contextlib.suppress(OSError):  # a cache that is shared and not ours to write still serves
            os.utime(entry / "table.json")
        return table
    _log.warning("The cached copy %s is damaged (%s); reading the source again.", entry, reason)
    shutil.rmtree(entry, ignore_errors=True)
    return None


def _read(entry: Path, manifest: dict[str, Any]) -> FaceTable:
    for name, expected in manifest["crc32"].items():
        if _crc32(entry / name) != expected:
            raise ValueError(f"{name} has changed")
    about = json.loads(manifest["about"])
    if zlib.crc32(manifest["about"].encode()) != manifest["about_crc32"]:
        raise ValueError("table.json has changed")
    pixels = np.load(entry / "pixels.npy", mmap_mode="r", allow_pickle=False)
    with np.load(entry / "columns.npz", allow_pickle=False) as columns:
        return FaceTable(
            pixels=pixels.view(np.ndarray),
            labels=columns["labels"],
            splits=columns["splits"],
            rows=columns["rows"],
            votes=columns.get("votes"),
            names=columns.get("names"),
            classes=tuple(about["classes"]),
            source=about["source"],
            problems=tuple(BadRow(*problem) for problem in about["problems"]),
        )


def store(entry: Path, table: FaceTable) -> None:
    """Keep a table. The entry appears complete or not at all; where it cannot be written, that is noted."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".part-", dir=entry.parent, ignore_cleanup_errors=True
        ) as partial:
            _write(Path(partial, "entry"), table)
            if not entry.exists():  # another process may have been quicker
                Path(partial, "entry").rename(entry)
        _prune(entry.parent)
    except OSError as error:
        _log.warning(
            "The cache %s cannot be written (%s); the next reading takes as long.", entry.parent, error
        )


def _write(folder: Path, table: FaceTable) -> None:
    folder.mkdir()
    np.save(folder / "pixels.npy", table.pixels, allow_pickle=False)
    columns = {name: getattr(table, name) for name in _COLUMNS}
    np.savez(
        folder / "columns.npz", **{name: column for name, column in columns.items() if column is not None}
    )
    problems = [(problem.where, problem.reason, problem.refused) for problem in table.problems]
    about = json.dumps({"classes": table.classes, "source": table.source, "problems": problems})
    manifest = {
        "about": about,
        "about_crc32": zlib.crc32(about.encode()),
        "crc32": {name: _crc32(folder / name) for name in ("pixels.npy", "columns.npz")},
    }
    (folder / "table.json").write_text(json.dumps(manifest))


def _crc32(path: Path) -> int:
    """A checksum against disks and half copies, not against malice: three times as fast as SHA-256."""
    checksum = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _prune(folder: Path) -> None:
    """Remove the entries that were not used for longest."""
    entries = sorted(folder.glob("*/table.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for manifest in entries[_MOST_ENTRIES:]:
        shutil.rmtree(manifest.parent, ignore_errors=True)


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
    known = _read_note(note)
    if known is not None and known.get("fingerprint") == before:
        return str(known["sha256"])
    read_at = time.time_ns()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settled = read_at - max(before[3:]) > _TICK_NS
    if settled and fingerprint(path) == before:
        _write_note(note, {"fingerprint": before, "sha256": digest})
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


def _read_note(note: Path) -> dict[str, object] | None:
    try:
        content = json.loads(note.read_bytes())
    except (OSError, ValueError):  # absent, or half written by a machine that died: hash again
        return None
    return content if isinstance(content, dict) and "sha256" in content else None


def _write_note(note: Path, content: dict[str, object]) -> None:
    partial = note.with_name(f"{note.name}.{os.getpid()}.part")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content))
        partial.replace(note)
    except OSError:  # the next read hashes again; nothing is lost
        partial.unlink(missing_ok=True)
