"""Ranges of a long clip: how it is cut, and the files in which their logs wait to be joined.

Decoding of a range begins at the key frame before it, and it overlaps its neighbours by some seconds.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.batch.sources import SourceFile
from mien.errors import DataError, reason

# Reading begins so many seconds before a range: scenes and the frames of the detector are then those
# of one pass.
OVERLAP_S = 2.0
_ROUNDING = 1e-9
_LEVEL = 3  # of compression; half of a log is base64
_NAME = re.compile(r"range-([0-9a-f]{16})-([0-9a-f]{16})-(\d{4,})of(\d{4,})\.jsonl\.gz")


@dataclass(frozen=True)
class RangePlan:
    """How a clip is cut.

    Attributes:
        count: of ranges; 1 for a clip that is read as a whole.
        length_s: of each range but the last, whose end is that of the clip.
        overlap_s: what is read before and behind each range.
        start_s, end_s: of all ranges; to the clip's end for None.
    """

    count: int = 1
    length_s: float = 0.0
    overlap_s: float = 0.0
    start_s: float = 0.0
    end_s: float | None = None

    @classmethod
    def of(
        cls, seconds: float, range_s: float, start_s: float, end_s: float | None, interval_s: float | None
    ) -> RangePlan:
        """The plan for so many seconds of a clip, in ranges of `range_s`, with an interval a little more."""
        length_s, overlap_s = range_s, OVERLAP_S
        if interval_s is not None:  # ranges begin with an interval
            length_s, overlap_s = (
                interval_s * math.ceil(each / interval_s - _ROUNDING) for each in (range_s, OVERLAP_S)
            )
        return cls(max(1, round(seconds / length_s)), length_s, overlap_s, start_s, end_s)

    def seam_s(self, i: int) -> float:
        """When the i-th range begins, from 1."""
        return self.start_s + (i - 1) * self.length_s

    def to_read(self, i: int) -> tuple[float, float | None]:
        """From when to when the i-th range is read, its overlaps included."""
        start_s = max(self.start_s, self.seam_s(i) - self.overlap_s)
        if i == self.count:
            return start_s, self.end_s
        end_s = self.seam_s(i + 1) + self.overlap_s
        return start_s, end_s if self.end_s is None else min(end_s, self.end_s)


@dataclass(frozen=True)
class RangeFile:
    """The file of a range by its name: `DataSet.number_of` its clip, the clip's version, (i, n)."""

    path: Path
    number: int
    version: int
    range: tuple[int, int]


def range_name(number: int, version: int, of: tuple[int, int]) -> str:
    """The name of the file of a range."""
    return f"range-{number:016x}-{version:016x}-{of[0]:04}of{of[1]:04}.jsonl.gz"


def range_files(folder: Path) -> list[RangeFile]:
    """The files of ranges in a folder, by name."""
    found = []
    for path in sorted(folder.glob("range-*")):
        if match := _NAME.fullmatch(path.name):
            of = int(match[3]), int(match[4])
            found.append(RangeFile(path, int(match[1], 16), int(match[2], 16), of))
    return found


def item_name(file: SourceFile) -> str:
    """The name by which a clip, or a range of one, gets its shard."""
    return f"{file.name}#{file.range[0]}" if file.range else file.name


def pack_range(facts: dict[str, Any], seam_s: float, log: bytes) -> bytes:
    """The content of the file of a range: what is known of it, when it begins, then its log."""
    first = json.dumps(facts | {"seam_s": seam_s}) + "\n"
    return gzip.compress(first.encode() + log, _LEVEL, mtime=0)


def range_facts(file: RangeFile) -> dict[str, Any]:
    """What is known of a range; errors as of `unpack_range`."""
    with _opened(file) as packed:
        facts: dict[str, Any] = json.loads(packed.readline())
    return facts


def unpack_range(file: RangeFile, log: Path) -> tuple[dict[str, Any], float]:
    """Writes the log of a range, empty for one that could not be read; returns its facts and its beginning.

    Raises:
        DataError: the file cannot be read.
        FileNotFoundError: another process has joined the ranges, and deleted it.
    """
    with _opened(file) as packed, log.open("wb") as out:
        facts: dict[str, Any] = json.loads(packed.readline())
        while block := packed.read(1 << 20):
            out.write(block)
    return facts, facts.pop("seam_s")


@contextmanager
def _opened(file: RangeFile) -> Iterator[gzip.GzipFile]:
    try:
        with gzip.open(file.path) as packed:
            yield packed
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{file.path} cannot be read: {reason(error)}. Delete it; a second run reads its range again."
        ) from error
