"""The size of the frames that an AVIF codes, which may be larger than the size that its header announces.

Source: AV1 Bitstream and Decoding Process Specification, 5.3 and 5.5; ISO/IEC 14496-12, 8.11.3 (locations).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from mmap import mmap

_SEQUENCE_HEADER = 1  # type of an OBU
# What is looked at of a file made to take long.
_MOST_BOXES, _MOST_ITEMS, _MOST_OBUS = 16, 1000, 100


class _Bits:
    """Numbers of some bits each; IndexError beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._value >> self._left & ((1 << count) - 1)

    def skip_uvlc(self) -> None:
        zeros = 0
        while not self.read(1):
            zeros += 1
        if zeros < 32:
            self.read(zeros)


def sizes_of_frames(data: bytes | mmap) -> list[tuple[int, int]]:
    """Width and height of the frames that the items of an AVIF code; what cannot be parsed is left out."""
    sizes: list[tuple[int, int]] = []
    boxes = islice(re.finditer(b"iloc", data), _MOST_BOXES)
    extents = (extent for box in boxes for extent in _extents(data, box.end()))
    for start, length in islice(extents, _MOST_ITEMS):
        with suppress(IndexError):
            sizes += _sequence_sizes(data, start, min(len(data), start + length) if length else len(data))
    return sizes


def _extents(data: bytes | mmap, box: int) -> Iterator[tuple[int, int]]:
    """Offset and length of the first extent of each item; a length of 0 reaches to the end."""
    bits = _Bits(data[box : box + 64 * _MOST_ITEMS])
    idat = data.find(b"idat") + 4
    try:
        version = bits.read(32) >> 24
        sizes = [8 * bits.read(4) for _ in range(4)]  # of an offset, a length, a base offset, an index
        for _ in range(min(bits.read(16 if version < 2 else 32), _MOST_ITEMS)):
            bits.read(16 if version < 2 else 32)
            in_idat = version > 0 and bits.read(16) & 15 == 1
            bits.read(16)
            base, count = bits.read(sizes[2]), bits.read(16)
            for i in range(count):
                if version:
                    bits.read(sizes[3])
                offset, length = bits.read(sizes[0]), bits.read(sizes[1])
                if i == 0:
                    yield base + offset + (idat if in_idat else 0), length
    except IndexError:
        return


def _sequence_sizes(data: bytes | mmap, at: int, end: int) -> Iterator[tuple[int, int]]:
    """The sizes in the sequence headers among the OBUs of an item, from `at` to `end`."""
    for _ in range(_MOST_OBUS):
        if at >= end:
            return
        header = data[at]
        at += 1 + (header >> 2 & 1)  # an extension
        size = end - at
        if header >> 1 & 1:
            size = 0
            for shift in range(0, 56, 7):
                at += 1
                size |= (data[at - 1] & 127) << shift
                if data[at - 1] < 128:
                    break
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            yield _size(_Bits(data[at : at + min(size, 1000)]))
        at += size


def _size(bits: _Bits) -> tuple[int, int]:
    """The largest width and height of a frame, from a sequence header."""
    bits.read(4)  # profile, still picture
    if bits.read(1):  # reduced header
        bits.read(5)
    else:
        _skip_operating_points(bits)
    wide, high = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(wide) + 1, bits.read(high) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):
            bits.skip_uvlc()
        if bits.read(1):  # decoder model
            delay = bits.read(5) + 1
            bits.read(42)
    display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:  # level
            bits.read(1)
        if delay and bits.read(1):
            bits.read(2 * delay + 1)
        if display_delay and bits.read(1):
            bits.read(4)
