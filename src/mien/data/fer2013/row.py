"""One row of a FER2013 CSV, read slowly and exactly: the grammar, and the message for each violation."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013.header import Layout
from mien.data.table import UNLABELLED
from mien.emotions import FER2013

SIDE = 48
PIXELS = SIDE * SIDE
# Source: Goodfellow et al. 2013; the order in which the file lists them.
USAGES = ("Training", "PublicTest", "PrivateTest")
# The usage of a row in a file without that column.
NO_USAGE = len(USAGES)
# 2,304 numbers of three digits fill 9,215 characters; csv's own limit is 131,072.
_MAX_LINE_BYTES = 131_072

_NUMBER = re.compile(r"[0-9]+")
_LEADING_ZERO = re.compile(r"\b0[0-9]")


class RowError(ValueError):
    """Why a row is refused."""


def parse_row(line: bytes, layout: Layout) -> tuple[int, int, NDArray[np.uint8], str]:
    """Label (-1 without one), index of the usage and pixels uint8 (2304,) of a line without its end.

    The text at last says what is spelled otherwise than in FER2013, see `spelling`; it is empty for most.

    Raises:
        RowError: the line is not valid; the message names the value and its position.
    """
    if b"\0" in line:
        raise RowError(f"NUL byte at column {line.index(0) + 1} of the line ({line.count(0)} in all)")
    if len(line) > _MAX_LINE_BYTES:
        raise RowError(f"the line has {len(line):,} bytes; no row of {PIXELS} pixels is that long")
    try:
        fields = next(csv.reader([line.decode("latin-1").rstrip("\r\n")], strict=True), [])
    except csv.Error as error:
        raise RowError(f"not CSV: {error}") from None
    if len(fields) != layout.columns:
        raise RowError(f"{len(fields)} columns where the header has {layout.columns}")
    label = UNLABELLED if layout.label is None else _label(fields[layout.label].strip())
    usage = NO_USAGE if layout.usage is None else _usage(fields[layout.usage].strip())
    return label, usage, _pixels(fields[layout.pixels]), spelling(fields, layout)


def spelling(fields: Sequence[str], layout: Layout) -> str:
    """Spaces and zeros that FER2013 does not have: a writer's habit, or a digit that was lost.

    They change no value by themselves, but "129" becomes " 29" where its first digit is overwritten.
    """
    for name, column in (("label", layout.label), ("Usage", layout.usage)):
        if column is not None and (text := fields[column]) != text.strip():
            return f"{name} {_shown(text)} has spaces around it"
    if layout.label is not None and len(text := fields[layout.label]) > 1:
        return f"label {_shown(text)} has a zero before it"
    text = fields[layout.pixels]
    if text != text.strip() or "  " in text:
        return f"a space too many {_where(text)}"
    if zero := _LEADING_ZERO.search(text):
        return f"pixel {text.count(' ', 0, zero.start()) + 1:,} has a zero before it"
    return ""


def _where(text: str) -> str:
    """Behind which pixel the first needless space is."""
    before = 0 if text.startswith(" ") else text.find("  ")
    number = PIXELS if before < 0 else len(text[:before].split())
    return "before pixel 1" if number == 0 else f"behind pixel {number:,}"


def _label(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise RowError(f"label {_shown(text)} is not a whole number")
    digits = text.lstrip("0") or "0"
    if len(digits) > 1 or int(digits) >= len(FER2013):
        raise RowError(f"label {_shown(text)} is not one of 0-{len(FER2013) - 1}")
    return int(digits)


def _usage(text: str) -> int:
    if text not in USAGES:
        raise RowError(f"unknown Usage {_shown(text)}; known: {', '.join(USAGES)}")
    return USAGES.index(text)


def _pixels(text: str) -> NDArray[np.uint8]:
    words = [word for word in text.split(" ") if word]
    values = np.zeros(len(words), np.uint8)
    for number, word in enumerate(words, 1):
        if not _NUMBER.fullmatch(word):
            raise RowError(f"pixel {number:,} is {_shown(word)}, not a number")
        digits = word.lstrip("0") or "0"
        if len(digits) > 3 or int(digits) > 255:
            raise RowError(f"pixel {number:,} is {_shown(word)}, outside 0-255")
        values[number - 1] = int(digits)
    if len(words) != PIXELS:
        raise RowError(f"{len(words):,} pixels, not {PIXELS:,}")
    return values


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 24 else text[:21] + "...")
