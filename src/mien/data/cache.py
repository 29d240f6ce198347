"""Tables that were read before, kept under the hash of their source, with pixels mapped from the disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from mien.data.table import BadRow, FaceTable
from mien.errors import reason
from mien.files import expanded, sha256_file, write_atomically

# Part of every key: increase it when a reader changes what it returns.
_READER_VERSION = 3
# FER2013 takes 83 MB. Beyond this number, the entries that were not used for longest are deleted.
_MAX_ENTRIES = 8
_COLUMNS = ("labels", "splits", "rows", "votes", "names", "subjects")
# A change within one tick of the file system's clock leaves no trace in the time stamps. FAT ticks every two
# seconds; a file changed less than that ago is hashed each time (as git does with its index).
_TICK_NS = 2_000_000_000

_log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """The folder for what mien can make again: MIEN_CACHE, or the platform's folder for caches.

    A process without a home has none; its folder is one that cannot be made, since one that others can make,
    in /tmp, could be filled by them.
    """
    if chosen := os.environ.get("MIEN_CACHE"):
        return expanded(chosen)
    with contextlib.suppress(RuntimeError):  # newer versions of platformdirs; the older ones give ~/.cache
        folder = user_cache_path("mien", appauthor=False, opinion=False)
        if folder.is_absolute():
            return folder
    return Path(os.devnull, "no-home-folder")


def entry_for(sha256: str, *options: object) -> Path:
    """The folder of the table that was read from bytes of this hash with these options."""
    key = zlib.crc32(json.dumps([_READER_VERSION, *options]).encode())
    return cache_dir() / "tables" / f"{sha256[:40]}-{key:08x}"


def fetch(entry: Path) -> FaceTable | None:
    """The table of an entry, None if there is none. A damaged entry is logged, deleted; it counts as none."""
    try:
        table = _read(entry, json.loads((entry / "table.json").read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        if not entry.exists():
            return None
        damage = "a file is missing"
    except PermissionError:  # `store` says so, in the same run
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        damage = reason(error)
    else:
        with contextlib.suppress(OSError):  # a shared, read-only cache still works
            os.utime(entry / "table.json")
        return table
    _log.warning("The cached copy %s is damaged (%s); reading the source again.", entry, damage)
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
            **{name: columns.get(name) for name in _COLUMNS},
            classes=tuple(about["classes"]),
            source=about["source"],
            problems=tuple(BadRow(*problem) for problem in about["problems"]),
        )


def store(entry: Path, table: FaceTable) -> None:
    """Keep a table. The entry appears complete or not at all; a cache that cannot be written is logged."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".part-", dir=entry.parent, ignore_cleanup_errors=True
        ) as partial:
            _write(Path(partial, "entry"), table)
            if not entry.exists():  # another process may have written it
                Path(partial, "entry").rename(entry)
        _prune(entry.parent)
    except OSError as error:
        _log.warning(
            "The cache %s cannot be written (%s); the source will be read again next time.",
            entry.parent,
            reason(error),
        )


def _write(folder: Path, table: FaceTable) -> None:
    folder.mkdir()
    np.save(folder / "pixels.npy", table.pixels, allow_pickle=False)
    columns = {name: getattr(table, name) for name in _COLUMNS}
    np.savez(
        folder / "columns.npz", **{name: column for name, column in columns.items() if column is not None}
    )
    problems = [(problem.where, problem.reason, problem.refused, problem.count) for problem in table.problems]
    about = json.dumps({"classes": table.classes, "source": table.source, "problems": problems})
    manifest = {
        "about": about,
        "about_crc32": zlib.crc32(about.encode()),
        "crc32": {name: _crc32(folder / name) for name in ("pixels.npy", "columns.npz")},
    }
    (folder / "table.json").write_text(json.dumps(manifest))


def _crc32(path: Path) -> int:
    """A checksum against disk errors and half copies, not against malice: three times as fast as SHA-256."""
    checksum = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _prune(folder: Path) -> None:
    """Delete the entries that were not used for longest."""
    entries = sorted(folder.glob("*/table.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for manifest in entries[_MAX_ENTRIES:]:
        shutil.rmtree(manifest.parent, ignore_errors=True)


def fingerprint(path: Path) -> list[int]:
    """A file's device, inode, size, time of content and time of any change."""
    status = path.stat()
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def file_sha256(path: Path, memory: Path) -> str:
    """The hash of a file's bytes, from the folder `memory` if nothing about the file has changed since.

    On POSIX the time of change cannot be set back by `touch` or `cp -p`; only setting back the system's clock
    can make a changed file look unchanged. A `memory` that cannot be written does no harm.
    """
    before = fingerprint(path)
    note = memory / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # absent or damaged: hash again
        known = json.loads(note.read_bytes())
        if known["fingerprint"] == before:
            return str(known["sha256"])
    read_at = time.time_ns()
    digest = sha256_file(path)
    settled = read_at - max(before[3:]) > _TICK_NS
    if settled and fingerprint(path) == before:
        with contextlib.suppress(OSError):  # hashed again next time
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(note, json.dumps({"fingerprint": before, "sha256": digest}))
    return digest


def tree_sha256(paths: Iterable[str]) -> str | None:
    """A hash of names, sizes and times of many small files, in the order given.

    Their bytes are not read: that would take as long as decoding them. None where a file changed so recently
    that another change might leave no trace.
    """
    digest = hashlib.sha256()
    newest = 0
    for path in paths:
        status = os.stat(path)  # noqa: PTH116  # a Path for each would double the time
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        known = (path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest.update(repr(known).encode("utf-8", "surrogateescape"))
    return digest.hexdigest() if time.time_ns() - newest > _TICK_NS else None
