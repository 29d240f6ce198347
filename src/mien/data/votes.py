"""FER+'s votes (fer2013new.csv) joined to FER2013's faces by row."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.emotions import FERPLUS_COLUMNS, VOTES
from mien.errors import DataError, FormatError, SourceNotFound

# A count of votes as text. A row of Python's int() for each would take three times as long.
_COUNTS = {str(count): count for count in range(256)}


def join_votes(table: FaceTable, path: Path) -> FaceTable:
    """The table with the ten votes of each face, from the row of the file that has the face's own number.

    The file lists FER2013's rows one to one in their order; it may go on behind the table's last.

    Raises:
        SourceNotFound: no such file.
        FormatError: not FER+'s file, fewer rows than the table, or another Usage in a row of both.
        DataError: the table's rows are not FER2013's (it was read from single pictures).
    """
    if table.names is not None:
        raise DataError(
            f"{path} joins by FER2013's row numbers, which {table.source} does not keep. "
            "Read the votes with fer2013.csv, or with a Parquet file that mien converted from it."
        )
    usages, votes = read_votes(path)
    needed = int(table.rows.max()) + 1
    if len(votes) < needed:
        raise FormatError(
            f"{path} has votes for {len(votes):,} rows, but {table.source} has {needed:,}. "
            "Both must be of the same edition of FER2013."
        )
    differ = np.flatnonzero(usages[table.rows] != table.splits)
    if len(differ):
        first = int(differ[0])
        row = int(table.rows[first])
        raise FormatError(
            f"{path} and {table.source} differ in the Usage of {len(differ):,} rows, first in row {row}: "
            f"{str(usages[row])!r} and {str(table.splits[first])!r}. They do not belong together."
        )
    return replace(table, votes=votes[table.rows])


def read_votes(path: Path) -> tuple[NDArray[np.str_], NDArray[np.uint8]]:
    """Usage (n,) and votes uint8 (n, 10), columns in the order of `mien.emotions.VOTES`.

    Raises:
        SourceNotFound: no such file.
        FormatError: not FER+'s header, or a row that breaks it; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except FileNotFoundError:
        raise SourceNotFound(
            f"{path} does not exist. FER+'s votes are fer2013new.csv of microsoft/FERPlus."
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read as FER+'s votes: {error}") from error
    header = [name.strip() for name in lines[0]] if lines else []
    missing = [name for name in ("Usage", *FERPLUS_COLUMNS) if name not in header]
    if missing:
        raise FormatError(f"{path} is not FER+'s fer2013new.csv: its header lacks {', '.join(missing)}.")
    emotions = [FERPLUS_COLUMNS.get(name) for name in header]
    columns = [emotions.index(vote) for vote in VOTES]
    usage = header.index("Usage")
    rows = lines[1:]
    while rows and not rows[-1]:  # line ends behind the last row
        rows.pop()
    votes = np.empty((len(rows), len(VOTES)), np.uint8)
    usages = []
    for place, row in enumerate(rows):
        try:
            votes[place] = [_COUNTS[row[column]] for column in columns]
            usages.append(row[usage].strip())
        except (IndexError, KeyError):
            raise FormatError(
                f"{path}, line {place + 2}: {','.join(row)[:80]!r} is not a Usage, a name and ten votes."
            ) from None
    return np.array(usages, dtype=np.str_), votes
