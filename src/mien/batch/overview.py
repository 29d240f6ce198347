"""What a data set holds, and what failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from mien.batch.dataset import DataSet, first_rows, read_part
from mien.batch.ranges import range_facts, range_files
from mien.batch.sources import Kind

_COLUMNS = ["source", "file_id", "face_id", "error", "message"]


@dataclass(frozen=True)
class Status:
    """What a data set holds.

    Attributes:
        parts: number of Parquet files.
        files: files with rows.
        faces: rows with a face; a person has one in each frame of a clip.
        errors: kind of error to the number of files.
        failures: source, kind of error and message of each file that could not be read, as far as asked for.
        shards: name of a shard (``"03of16"``; empty without shards) to its files.
        manifest: of the data set.
        ranges: clip whose ranges are not joined to how many have been read, and how many there are.
    """

    parts: int
    files: int
    faces: int
    errors: dict[str, int]
    failures: list[tuple[str, str, str]]
    shards: dict[str, int]
    manifest: dict[str, Any]
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)


def kinds_of(folder: str | Path) -> list[Kind]:
    """Whether a folder has a data set of images, of clips, or both; "images" for none."""
    kinds: tuple[Kind, ...] = ("images", "clips")
    return [kind for kind in kinds if (Path(folder) / f"{kind}.json").exists()] or ["images"]


def status(folder: str | Path, kind: Kind = "images", *, failures: int = 20) -> Status:
    """What a data set holds by now; it may be written meanwhile.

    Args:
        folder: of the data set.
        kind: of its rows.
        failures: of so many files that could not be read, say why.

    Raises:
        DataError: the folder holds no data set, or a part cannot be read.
        MissingExtra: pyarrow is not installed.
    """
    import pyarrow.compute as pc

    data = DataSet(Path(folder), kind)
    manifest, parts = data.manifest(), data.parts()
    files = faces = 0
    errors: Counter[str] = Counter()
    shards: Counter[str] = Counter()
    failed: list[tuple[str, str, str]] = []
    for part in parts:
        table = read_part(part, _COLUMNS)
        of_part = len(first_rows(table))
        files += of_part
        faces += table["face_id"].length() - table["face_id"].null_count
        shard = part.stem.removeprefix("part-").rpartition("-")[0]
        shards["joined ranges" if shard == "clip" else shard] += of_part
        rows = table.filter(pc.is_valid(table["error"])).to_pydict()
        for source, error, message in zip(rows["source"], rows["error"], rows["message"], strict=True):
            errors[error] += 1
            if len(failed) < failures:
                failed.append((source, error, message))
    ranges: dict[str, tuple[int, int]] = {}
    for _, several in groupby(range_files(data.rows), lambda file: (file.number, file.version)):
        read = list(several)
        ranges[range_facts(read[0])["source"]] = len(read), read[0].range[1]
    found = dict(sorted(shards.items()))
    return Status(len(parts), files, faces, dict(errors), failed, found, manifest, ranges)
