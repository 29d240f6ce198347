"""The columns of a FER2013 CSV, from its header."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from mien.data.table import BadRow
from mien.errors import FormatError

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Layout:
    """Zero-based columns of the three fields; None where the file has no such column.

    fer2013.csv has all three, icml_face_data.csv has them in another order with spaces in the header,
    Kaggle's train.csv has no usage, test.csv nothing but pixels.
    """

    columns: int
    pixels: int
    label: int | None
    usage: int | None

    @property
    def default_split(self) -> str:
        """The split of every row of a file without usage: train.csv is labelled, test.csv is not."""
        return "test" if self.label is None else "Training"

    @property
    def rank(self) -> int:
        """How complete the file is: 3 with splits and labels, 2 with labels, 1 with pixels alone."""
        return 1 + (self.label is not None) + (self.label is not None and self.usage is not None)


def read_header(line: bytes, source: str) -> tuple[Layout, tuple[BadRow, ...]]:
    """The layout of a file with this first line, and what is unusual about it (a byte-order mark).

    Raises:
        FormatError: the line is not a header of FER2013's CSV; the message shows it.
    """
    if line.startswith(_UTF16):
        raise FormatError(f"{source} is UTF-16 text. Save it as UTF-8 or ASCII, then read it again.")
    odd: tuple[BadRow, ...] = ()
    if line.startswith(_BOM):
        line = line[len(_BOM) :]
        odd = (BadRow("line 1", "a byte-order mark before the header; skipped", refused=False),)
    try:
        fields = next(csv.reader([line.decode("latin-1").rstrip("\r\n")]), [])
    except csv.Error:  # such as a carriage return inside the line
        fields = []
    names = [name.strip().lower() for name in fields]
    if "pixels" not in names or any(names.count(name) > 1 for name in ("pixels", "emotion", "usage")):
        raise FormatError(
            f"{source} does not begin with FER2013's header (emotion,pixels,Usage or less) "
            f"but with {line[:60]!r}. mien also reads a CSV with the "
            "columns path,label, Parquet, and folders and zips with one folder per class."
        )
    columns = {name: column for column, name in enumerate(names)}
    return Layout(len(names), columns["pixels"], columns.get("emotion"), columns.get("usage")), odd
