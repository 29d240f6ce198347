"""What a data set of images holds, and what failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.batch.dataset import DataSet

_COLUMNS = ["source", "face_id", "error", "message"]


@dataclass(frozen=True)
class Status:
    """What a data set holds.

    Attributes:
        parts: number of Parquet files.
        files: files with rows.
        faces: rows with a face.
        errors: kind of error to the number of files.
        failures: source, kind of error and message of each file that could not be read, as far as asked for.
        shards: name of a shard (``"03of16"``; empty without shards) to its files.
        manifest: of the data set.
    """

    parts: int
    files: int
    faces: int
    errors: dict[str, int]
    failures: list[tuple[str, str, str]]
    shards: dict[str, int]
    manifest: dict[str, Any]


def status(folder: str | Path, *, failures: int = 20) -> Status:
    """What a data set holds by now; it may be written meanwhile.

    Args:
        folder: of the data set.
        failures: of so many files that could not be read, say why.

    Raises:
        DataError: the folder holds no data set, or a part cannot be read.
        MissingExtra: pyarrow is not installed.
    """
    from mien.batch.dataset import read_part

    data = DataSet(Path(folder))
    manifest, parts = data.manifest(), data.parts()
    files = faces = 0
    errors: Counter[str] = Counter()
    shards: Counter[str] = Counter()
    failed: list[tuple[str, str, str]] = []
    for part in parts:
        rows = read_part(part, _COLUMNS).to_pydict()
        of_part = sum(face in (None, 1) for face in rows["face_id"])
        files += of_part
        faces += sum(face is not None for face in rows["face_id"])
        shards[part.stem.removeprefix("part-").rpartition("-")[0]] += of_part
        for source, error, message in zip(rows["source"], rows["error"], rows["message"], strict=True):
            if error is not None:
                errors[error] += 1
                if len(failed) < failures:
                    failed.append((source, error, message))
    return Status(len(parts), files, faces, dict(errors), failed, dict(sorted(shards.items())), manifest)
