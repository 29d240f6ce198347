"""Joins the ranges of long clips: their logs become one, which is tracked and smoothed as a whole.

So persons keep their numbers across seams by the same rules as anywhere in a clip: where they are, how they
move and what they look like. Any process may join; the part has the same name and rows whoever does it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mien.batch.clip_worker import clip_tables
from mien.batch.dataset import DataSet
from mien.batch.ranges import RangeFile, range_files, unpack_range
from mien.files import hold_lock
from mien.video.log import join_logs, replay
from mien.video.results import FrameResult


def join_ranges(data: DataSet) -> tuple[int, int]:
    """Writes the part of each clip whose ranges have all been read, and deletes those.

    Returns how many clips were joined, and how many still lack ranges.

    Raises:
        DataError: a range cannot be read.
        UsageError: a part cannot be written.
    """
    joined = waiting = 0
    for (number, _), several in groupby(range_files(data.rows), lambda file: (file.number, file.version)):
        files = list(several)
        if len(files) < files[0].range[1]:
            waiting += 1
            continue
        with hold_lock(data.rows / f".lock-join-{number:016x}") as owner:
            if owner is None:
                joined += _join(data, files)
    return joined, waiting


def _join(data: DataSet, files: Sequence[RangeFile]) -> bool:
    """Joins the ranges of one clip; False where another process has done so meanwhile."""
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        logs = [Path(folder) / f"{file.range[0]}.jsonl" for file in files]
        try:
            unpacked = [unpack_range(file, log) for file, log in zip(files, logs, strict=True)]
        except FileNotFoundError:
            return False
        facts = _facts([facts for facts, _ in unpacked])
        read = [(log, seam_s) for log, (_, seam_s) in zip(logs, unpacked, strict=True) if log.stat().st_size]
        whole = Path(folder) / "whole.jsonl"
        results: Iterator[FrameResult] = iter(())
        if read:
            join_logs([log for log, _ in read], [seam_s for _, seam_s in read[1:]], whole)
            results = replay(whole)
        data.write_clip(files[0].number, clip_tables(results, facts, data.schema(), [0, 0]))
    of_killed = data.rows.glob(f".range-{files[0].number:016x}-*")
    for path in [*(file.path for file in files), *of_killed]:
        path.unlink(missing_ok=True)
    return True


def _facts(several: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is known of the clip, by its ranges: the first known value of each, and all that went wrong."""
    facts: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in several for name in each):
        facts[name] = next((each[name] for each in several if each.get(name) is not None), None)
    wrong = [
        f"range {i} of {len(several)}: {each['message']}"
        for i, each in enumerate(several, 1)
        if "error" in each
    ]
    if wrong:
        facts["message"] = "; ".join(wrong)
    return facts
