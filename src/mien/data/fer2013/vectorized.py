"""A block of a FER2013 CSV into pixels, a whole block at a time.

Every byte of the block is classified at once, and the value of the number that would end there is computed
in uint8 arithmetic; the values where a number does end are then kept. Rows without anything unusual are done.
The others go, one by one, to `row.parse_row`, which reads them or gives the reason why it cannot: the quick
path accepts a part of what the exact one accepts, and never anything else.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013.header import Layout
from mien.data.fer2013.row import NO_USAGE, PIXELS, USAGES, RowError, parse_row, spelling
from mien.data.table import UNLABELLED
from mien.emotions import FER2013

Bytes: TypeAlias = NDArray[np.uint8]
Index: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_ZERO, _SPACE, _COMMA, _QUOTE, _NEWLINE, _RETURN = (ord(sign) for sign in '0 ,"\n\r')
# How many bytes before and after a byte decide which number ends there.
_BEFORE, _AFTER = 3, 1


@dataclass(frozen=True, eq=False)
class Block:
    """The rows of a block of lines. Lines count from 0 within it.

    Attributes:
        pixels: uint8 (n, 2304), one good row each.
        labels: int64 (n,), -1 without a label.
        usages: uint8 (n,), index into `row.USAGES`, or `NO_USAGE`.
        lines: int64 (n,), ascending.
        bad: line and reason of each refused row.
        odd: line and spelling of each good row with spaces or zeros that FER2013 does not have, see
            `row.spelling`.
        empty: lines with nothing on them.
        count: lines in all.
        returns: lines that end in CR LF.
    """

    pixels: Bytes
    labels: Index
    usages: Bytes
    lines: Index
    bad: tuple[tuple[int, str], ...]
    odd: tuple[tuple[int, str], ...]
    empty: tuple[int, ...]
    count: int
    returns: Index


@dataclass(frozen=True, eq=False)
class _BlockLines:
    """The lines of a block: where each starts and ends, and its fields by the quick path."""

    starts: Index
    ends: Index
    quick: Mask
    trimmed: Mask  # a space was taken from a field
    labels: Index
    usages: Bytes
    left: Index  # of the pixels
    right: Index


def parse_block(block: bytes | bytearray | memoryview, layout: Layout) -> Block:
    """The rows of whole lines, each ended by a line feed."""
    padded = np.full(_BEFORE + len(block) + _AFTER, _SPACE, np.uint8)
    data = padded[_BEFORE:-_AFTER]
    data[:] = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    starts = np.concatenate((ends[:0], [0], ends[:-1] + 1))[: len(ends)]
    returned = (ends > starts) & (data[ends - 1] == _RETURN)
    lines = _split(data, starts, ends - returned, layout)
    ending, values, odd = _numbers(padded)
    good = lines.quick & (_between(odd, lines.left, lines.right) == 0)
    good = _keep(ending, good, lines)
    pixels = np.compress(ending, values).reshape(-1, PIXELS)
    return _with_exact(data, layout, lines, good, pixels, np.flatnonzero(returned))


def _numbers(padded: Bytes) -> tuple[Mask, Bytes, Index]:
    """Where numbers end, the value of a number that ends there, and the indices of unusual bytes.

    Unusual are any byte but a digit or a space, a second space, a fourth digit, a zero before another
    digit, and the end of a number above 255.
    """
    size = len(padded) - _BEFORE - _AFTER

    def at(offset: int) -> slice:
        return slice(_BEFORE + offset, _BEFORE + offset + size)

    digits = padded - np.uint8(_ZERO)  # bytes below "0" wrap round: all but digits are above 9
    is_digit = digits <= 9
    is_space = padded == _SPACE
    digits *= is_digit
    pairs = is_digit[1:] & is_digit[:-1]
    second, fourth = pairs[_BEFORE - 1 :][:size], pairs[_BEFORE - 3 :][:size]
    hundreds = digits[at(-2)] * second
    rest = digits[at(-1)] * np.uint8(10)
    rest += digits[at(0)]
    odd = hundreds > 2
    odd |= (hundreds == 2) & (rest > 55)
    odd |= is_space[at(0)] & is_space[at(-1)]
    odd |= ~(is_digit[at(0)] | is_space[at(0)])
    odd |= second & fourth
    first = pairs[_BEFORE:][:size] > second  # of several digits
    odd |= first & (digits[at(0)] == 0)
    hundreds *= np.uint8(100)
    rest += hundreds
    return is_digit[at(0)] > is_digit[at(1)], rest, np.flatnonzero(odd)


def _split(data: Bytes, starts: Index, ends: Index, layout: Layout) -> _BlockLines:
    """Lines into fields. `quick` is true where label, usage, and the ends of the pixels are valid."""
    commas = np.flatnonzero(data == _COMMA)
    first = np.searchsorted(commas, starts)
    quick = np.searchsorted(commas, ends) - first == layout.columns - 1
    quotes = _between(np.flatnonzero(data == _QUOTE), starts, ends)
    labels = np.full(len(starts), UNLABELLED, np.int64)
    usages = np.full(len(starts), NO_USAGE, np.uint8)
    trimmed = np.zeros(len(starts), bool)
    pixels = (starts, starts)
    for column in range(layout.columns):
        left = starts if column == 0 else _entries(commas, first + column - 1, starts, quick) + 1
        right = ends if column == layout.columns - 1 else _entries(commas, first + column, starts, quick)
        left, right, quoted, spaces = _trim(data, np.minimum(left, ends), right)
        quotes -= 2 * quoted
        if column in (layout.label, layout.usage, layout.pixels):
            trimmed |= spaces
        if column == layout.label:
            labels = data[left].astype(np.int64) - _ZERO
            quick &= (right - left == 1) & (labels >= 0) & (labels < len(FER2013))
        elif column == layout.usage:
            usages = _usages(data, left, right)
            quick &= usages != NO_USAGE
        elif column == layout.pixels:
            quick &= (right > left) & _digit(data[left]) & _digit(data[right - 1])
            pixels = (left, right)
    quick &= quotes == 0
    return _BlockLines(starts, ends, quick, trimmed, labels, usages, *pixels)


def _entries(commas: Index, index: Index, otherwise: Index, valid: Mask) -> Index:
    """`commas[index]` where valid; elsewhere an index may lie outside, and `otherwise` is taken."""
    entries = otherwise.copy()
    entries[valid] = commas[index[valid]]
    return entries


def _trim(data: Bytes, left: Index, right: Index) -> tuple[Index, Index, Mask, Mask]:
    """Fields without quotes, then without one space on either side; which had quotes, and which spaces."""
    quoted = (right - left >= 2) & (data[left] == _QUOTE) & (data[right - 1] == _QUOTE)
    left, right = left + quoted, right - quoted
    before = (right - left >= 1) & (data[left] == _SPACE)
    left = left + before
    behind = (right - left >= 1) & (data[right - 1] == _SPACE)
    return left, right - behind, quoted, before | behind


def _usages(data: Bytes, left: Index, right: Index) -> Bytes:
    """Index into USAGES of the word in each field, NO_USAGE for any other."""
    codes = np.full(len(left), NO_USAGE, np.uint8)
    for code, name in enumerate(USAGES):
        rows = np.flatnonzero(right - left == len(name))
        letters = data[left[rows, None] + np.arange(len(name))]
        codes[rows[(letters == np.frombuffer(name.encode(), np.uint8)).all(axis=1)]] = code
    return codes


def _digit(data: Bytes) -> Mask:
    return (data >= _ZERO) & (data <= _ZERO + 9)


def _between(indices: Index, left: Index, right: Index) -> Index:
    """How many of the ascending indices lie in each half-open range."""
    return np.searchsorted(indices, right) - np.searchsorted(indices, left)


def _keep(ending: Mask, good: Mask, lines: _BlockLines) -> Mask:
    """Which of the good rows have 2,304 numbers; all other ends of numbers are removed from `ending`."""
    full = good.copy()
    kept = 0
    for row in np.flatnonzero(good).tolist():
        left, right = int(lines.left[row]), int(lines.right[row])
        ending[kept:left] = False
        full[row] = np.count_nonzero(ending[left:right]) == PIXELS
        kept = right if full[row] else left
    ending[kept:] = False
    return full


def _with_exact(
    data: Bytes, layout: Layout, lines: _BlockLines, good: Mask, pixels: Bytes, returns: Index
) -> Block:
    """The quick rows and those that only the exact path can read."""
    bad: list[tuple[int, str]] = []
    odd: list[tuple[int, str]] = []
    empty: list[int] = []
    more: list[Bytes] = []
    labels, usages = lines.labels.copy(), lines.usages.copy()
    quick = np.flatnonzero(good)
    for line in np.flatnonzero(good & lines.trimmed).tolist():
        plain = data[lines.starts[line] : lines.ends[line]].tobytes().decode("latin-1")
        odd.append((line, spelling(next(csv.reader([plain])), layout)))
    for line in np.flatnonzero(~good).tolist():
        text = data[lines.starts[line] : lines.ends[line]].tobytes()
        if not text.strip():
            empty.append(line)
            continue
        try:
            labels[line], usages[line], row, spelled = parse_row(text, layout)
        except RowError as reason:
            bad.append((line, str(reason)))
        else:
            good[line] = True
            more.append(row)
            if spelled:
                odd.append((line, spelled))
    if more:
        exact = np.setdiff1d(np.flatnonzero(good), quick)
        pixels = np.concatenate((pixels, more))[np.argsort(np.concatenate((quick, exact)))]
    kept = np.flatnonzero(good)
    return Block(
        pixels,
        labels[kept],
        usages[kept],
        kept,
        tuple(bad),
        tuple(sorted(odd)),
        tuple(empty),
        len(lines.starts),
        returns,
    )


def without(block: Block, refused: Mapping[int, str]) -> Block:
    """The block with some of its good rows refused: line to reason."""
    keep = ~np.isin(block.lines, list(refused))
    return replace(
        block,
        pixels=block.pixels[keep],
        labels=block.labels[keep],
        usages=block.usages[keep],
        lines=block.lines[keep],
        bad=tuple(sorted((*block.bad, *refused.items()))),
        odd=(),
    )
