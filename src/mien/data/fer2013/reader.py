"""FER2013's CSV, from any stream of bytes, into the table: blocks of lines, parsed on all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013.header import Layout, read_header
from mien.data.fer2013.row import SIDE, USAGES
from mien.data.fer2013.vectorized import Block, parse_block, without
from mien.data.table import BadRow, FaceTable, nothing_usable
from mien.errors import FormatError

# Measured: from 0.5 to 4 MiB the speed is the same; the smaller, the less memory.
_BLOCK_BYTES = 1 << 20
# The longest header known has 24 bytes; a first line longer than this is something else.
_MAX_HEADER_BYTES = 4096
# A line without an end is given up at this length; a row of FER2013 has 9 kB.
_MAX_UNENDED_BYTES = 16_000_000
# FER2013 has 35,887 rows; each line that is none takes a microsecond and memory.
_MAX_UNUSABLE_LINES = 1_000_000
# The rows of the published file at which its splits end, in the order of USAGES.
# Source: Goodfellow et al. 2013.
_SPLIT_ENDS = (28_709, 32_298, 35_887)


class ByteStream(Protocol):
    """A file, or a member of an archive that is unpacked as it is read."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


def read_csv(stream: ByteStream, source: str) -> FaceTable:
    """The faces of a CSV: good rows as they are, and all others listed in `problems`.

    Rows are numbered as in the file, refused ones included, so that votes join in any case. The stream is
    read to its end. Rows with spaces or zeros that most others lack are refused. A file that was cut is
    reported where that can be seen: within a line always; between two lines if a split has fewer rows than in
    FER2013.

    Raises:
        FormatError: no header of FER2013, or not one good row.
    """
    lines = _LineBlocks(stream)
    header = lines.header()
    if not header:
        raise FormatError(f"{source} is empty.")
    layout, odd = read_header(header, source)
    blocks, habit = _strict(list(_bounded(_parsed(lines, layout), source)))
    rows = _FileRows(blocks, header.endswith(b"\r\n"), lines.unended)
    problems = (*odd, *habit, *rows.problems(layout))
    if not len(rows.lines):
        raise nothing_usable(source, "row", problems)
    names = np.array([*USAGES, layout.default_split])
    return FaceTable(
        pixels=np.concatenate([block.pixels for block in blocks]).reshape(-1, SIDE, SIDE),
        labels=np.concatenate([block.labels for block in blocks]),
        splits=names[rows.usages],
        rows=rows.rows,
        source=source,
        problems=problems,
    )


class _LineBlocks:
    """A stream as blocks of whole lines. A last line without an end gets one, and sets `unended`."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._buffer = b""
        self.unended = False

    def header(self) -> bytes:
        """The first line, with its end."""
        while b"\n" not in self._buffer and len(self._buffer) < _MAX_HEADER_BYTES:
            if not (more := self._stream.read(_MAX_HEADER_BYTES)):
                break
            self._buffer += more
        header, end, self._buffer = self._buffer.partition(b"\n")
        return header + end

    def __iter__(self) -> Iterator[bytes]:
        rest = [self._buffer]
        while chunk := self._stream.read(_BLOCK_BYTES):
            if cut := chunk.rfind(b"\n") + 1:
                yield b"".join((*rest, memoryview(chunk)[:cut]))
                rest = []
            rest.append(chunk[cut:])
            if sum(map(len, rest)) > _MAX_UNENDED_BYTES:
                raise FormatError(
                    f"a line has more than {_MAX_UNENDED_BYTES // 1_000_000} MB. FER2013's lines end after "
                    "some 10 kB: this is another kind of file, or its line ends are missing."
                )
        last = b"".join(rest)
        self.unended = not last.endswith(b"\n") and last != b""
        if last:
            yield last + b"\n" * self.unended


def _parsed(lines: Iterable[bytes], layout: Layout) -> Iterator[Block]:
    """The blocks in order, a few of them parsed at a time."""
    workers = cores()
    with ThreadPoolExecutor(workers, thread_name_prefix="mien-csv") as pool:
        waiting: deque[Future[Block]] = deque()
        for block in lines:
            waiting.append(pool.submit(parse_block, block, layout))
            if len(waiting) > workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _bounded(blocks: Iterable[Block], source: str) -> Iterator[Block]:
    """The blocks, until too many of their lines are no rows.

    Raises:
        FormatError: more than a million lines are empty or refused.
    """
    unusable = 0
    for block in blocks:
        unusable += len(block.empty) + len(block.bad)
        if unusable > _MAX_UNUSABLE_LINES:
            raise FormatError(
                f"{source} has more than {_MAX_UNUSABLE_LINES:,} lines that are empty or no rows. "
                "It is not FER2013's CSV, or damaged."
            )
        yield block


def cores() -> int:
    """How many cores this process may use, at most 8."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such call
        available = os.cpu_count() or 1
    return min(available, 8)


def _strict(blocks: list[Block]) -> tuple[list[Block], list[BadRow]]:
    """The blocks without the rows that have spaces or zeros too many, and the note where they stay.

    Where most rows are spelled so, the file was written so, and they stay, with a note. Where few are, digits
    may have been lost: "129" became " 29". They are refused.
    """
    spelled = sum(len(block.odd) for block in blocks)
    if not spelled:
        return blocks, []
    if spelled * 2 <= sum(len(block.lines) for block in blocks):
        why = "; most rows have none, so a digit may be lost here"
        return [
            without(block, {line: spelling + why for line, spelling in block.odd}) if block.odd else block
            for block in blocks
        ], []
    start = 2
    for block in blocks:
        if block.odd:
            break
        start += block.count
    line, spelling = block.odd[0]
    note = f"{spelling}; {spelled:,} rows are spelled so, and are read all the same"
    return blocks, [BadRow(f"line {line + start}", note, refused=False, count=spelled)]


class _FileRows:
    """The rows of all blocks of a file; lines count from 1, the header is line 1.

    Attributes:
        lines: int64 (n,), the line of each good row.
        usages: uint8 (n,).
        rows: int64 (n,), the zero-based row: lines without the header and the empty lines before.
    """

    def __init__(self, blocks: Sequence[Block], header_returns: bool, unended: bool) -> None:
        starts = 2 + np.cumsum([0, *(block.count for block in blocks)])
        each = list(zip(blocks, starts.tolist(), strict=False))
        none = np.zeros(0, np.int64)
        self.lines = np.concatenate([none, *(block.lines + start for block, start in each)])
        self.usages = np.concatenate([none.astype(np.uint8), *(block.usages for block in blocks)])
        self._bad = {line + start: reason for block, start in each for line, reason in block.bad}
        self._returns = [1] * header_returns + [
            line + start for block, start in each for line in block.returns.tolist()
        ]
        self._last = max([1, *self.lines[-1:].tolist(), *self._bad])
        empty = [line + start for block, start in each for line in block.empty]
        # Some editors end a file with empty lines; between rows they are a problem.
        self._empty = np.array([line for line in empty if line < self._last], dtype=np.int64)
        self._unended = unended and self._last == int(starts[-1]) - 1
        if self._unended and self._last in self._bad:
            self._bad[self._last] += "; the line has no end: the file seems cut here"
        self.rows = self.lines - 2 - np.searchsorted(self._empty, self.lines)

    def problems(self, layout: Layout) -> list[BadRow]:
        """Everything wrong below the header, in the order of lines."""
        problems = [(line, reason, True) for line, reason in self._bad.items()]
        problems += [(int(line), "an empty line between rows", False) for line in self._empty]
        if self._returns:
            others = len(self._returns) - 1
            problems.append((self._returns[0], f"ends in CR LF, as do {others:,} lines after it", False))
        if self._unended and self._last not in self._bad:
            problems.append((self._last, "the last line has no end: the file may be cut here", False))
        elif layout.usage is not None and (reason := self._cut_split()):
            problems.append((self._last, reason, False))
        return [BadRow(f"line {line}", reason, refused) for line, reason, refused in sorted(problems)]

    def _cut_split(self) -> str:
        """What is missing if the rows are FER2013's, in its order, and end within a later split."""
        total = self._last - 1 - len(self._empty)
        expected: NDArray[np.int64] = np.searchsorted(_SPLIT_ENDS, self.rows, side="right")
        if not _SPLIT_ENDS[0] < total < _SPLIT_ENDS[-1] or total in _SPLIT_ENDS:
            return ""
        if not np.array_equal(expected, self.usages):
            return ""
        split = int(np.searchsorted(_SPLIT_ENDS, total))
        before, end = _SPLIT_ENDS[split - 1], _SPLIT_ENDS[split]
        return (
            f"the file ends after {total - before:,} rows of {USAGES[split]}, "
            f"which has {end - before:,} in FER2013: it seems cut"
        )
