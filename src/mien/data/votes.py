"""FER+ votes (fer2013new.csv): joined to FER2013 by row, their majority, and their agreement with labels."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.table import UNLABELLED, FaceTable
from mien.emotions import FERPLUS, FERPLUS_COLUMNS, VOTES
from mien.errors import DataError, FormatError, SourceNotFound

NO_MAJORITY = -1
TOP_VOTES = 3

# In FER2013, 62 % of the labels have most votes in each split; of shuffled rows, 17 %. Below 200 faces, the
# share is too uncertain to refuse anything.
_LEAST_AGREEMENT = 0.4
_ENOUGH_FACES = 200

# Counts as text: three times as fast as int() for each.
_COUNTS = {str(count): count for count in range(256)}


def join_votes(table: FaceTable, path: Path) -> FaceTable:
    """The table with the ten votes of each face, from the file's row with the number of the face.

    The file lists FER2013's rows in their order; it may have more rows than the table.

    Raises:
        SourceNotFound: no such file.
        FormatError: not FER+'s file, fewer rows than the table, rows with another Usage, or votes that do not
            agree with the labels.
        DataError: the table's rows are not FER2013's (it was read from single images).
    """
    if table.names is not None:
        raise DataError(
            f"{path} joins by FER2013's row numbers, which {table.source} does not have. "
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
            f"{str(usages[row])!r} and {str(table.splits[first])!r}. They are not of the same edition."
        )
    joined = replace(table, votes=votes[table.rows])
    _check_agreement(joined, path)
    return joined


def _check_agreement(table: FaceTable, path: Path) -> None:
    """Refuse votes of other faces: shuffled, or a row out, they agree with one label in six.

    Raises:
        FormatError: in a split, fewer labels agree with the votes than chance and noise can explain.
    """
    for split in table.split_counts:
        agreed = agreement(table.split(split))
        if agreed and agreed.faces >= _ENOUGH_FACES and agreed.share < _LEAST_AGREEMENT:
            raise FormatError(
                f"{path}: in {split}, the label of {agreed.share:.0%} of {agreed.faces:,} faces has most "
                "votes, where 62 % is usual. The votes are of other faces: the rows of one of the two files "
                "were shuffled, or moved by one. Give the unchanged fer2013new.csv of microsoft/FERPlus "
                "with the unchanged fer2013.csv, or leave the votes out."
            )


def read_votes(path: Path) -> tuple[NDArray[np.str_], NDArray[np.uint8]]:
    """Usage (n,) and votes uint8 (n, 10), columns in the order of `mien.emotions.VOTES`.

    Raises:
        SourceNotFound: no such file.
        FormatError: not FER+'s header, or a row that does not fit it; the message names the line.
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
    while rows and not rows[-1]:  # line ends after the last row
        rows.pop()
    votes = np.empty((len(rows), len(VOTES)), np.uint8)
    usages = []
    for i, row in enumerate(rows):
        try:
            votes[i] = [_COUNTS[row[column]] for column in columns]
            usages.append(row[usage].strip())
        except (IndexError, KeyError):
            raise FormatError(
                f"{path}, line {i + 2}: {','.join(row)[:80]!r} is not a Usage, a name and ten votes."
            ) from None
    return np.array(usages, dtype=np.str_), votes


def majority(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The emotion that the majority chose, (N,), index into `FERPLUS`; -1 where there is none.

    `votes` is (N, 10) in the order of `mien.emotions.VOTES`. Choices of a single person do not count; of the
    rest, one choice must have more than half. Faces whose majority chose "unknown" or "not a face" have no
    majority emotion.

    Source: Barsoum et al. 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced
    Label Distribution", section 3; the single votes and the half as in `ferplus.py` of
    github.com/microsoft/FERPlus.
    """
    counted = np.where(votes > 1, votes, 0).astype(np.int64)
    winner = counted.argmax(axis=1)
    clear = 2 * counted.max(axis=1, initial=0) > counted.sum(axis=1)
    return np.where(clear & (winner < len(FERPLUS)), winner, NO_MAJORITY)


def vote_shares(votes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The voters' distribution over the eight emotions, (N, 8): every vote counts, rows sum to 1.

    Votes for "unknown" and "not a face" are left out; a face with no other vote gets a row of zeros.
    """
    emotions = votes[:, : len(FERPLUS)].astype(np.float64)
    totals = emotions.sum(axis=1, keepdims=True)
    scaled: NDArray[np.float64] = np.divide(emotions, totals, out=np.zeros_like(emotions), where=totals > 0)
    return scaled


def top_votes(votes: NDArray[np.uint8], most: int = TOP_VOTES) -> str:
    """The emotions with most votes for one face, as ``"sad 4, fear 3, neutral 2"``."""
    order = np.argsort(-votes.astype(int), kind="stable")[:most]
    return ", ".join(f"{VOTES[i]} {votes[i]}" for i in order if votes[i])


@dataclass(frozen=True)
class Agreement:
    """How many faces have a label with more votes than any other of the ten choices.

    Attributes:
        faces: those with a label.
        agreeing: those whose label has more votes than any other choice.
        tied: those where two choices share most votes; they count as not agreeing.
        by_class: faces and agreeing faces of each label.
    """

    faces: int
    agreeing: int
    tied: int
    by_class: dict[str, tuple[int, int]]

    @property
    def share(self) -> float:
        """The share of agreeing faces, 0-1; 0 without faces."""
        return self.agreeing / self.faces if self.faces else 0.0


def agreement(table: FaceTable) -> Agreement | None:
    """How far labels and votes of a table agree; None without votes."""
    if table.votes is None:
        return None
    labelled = table.labels != UNLABELLED
    votes, labels = table.votes[labelled], table.labels[labelled]
    most = votes.max(axis=1, initial=0)
    tied = (votes == most[:, None]).sum(axis=1) > 1
    column = np.array([VOTES.index(name) for name in table.classes])[labels]
    agreeing = (votes.argmax(axis=1) == column) & ~tied
    by_class = {
        name: (int((labels == label).sum()), int(agreeing[labels == label].sum()))
        for label, name in enumerate(table.classes)
    }
    return Agreement(len(labels), int(agreeing.sum()), int(tied.sum()), by_class)
