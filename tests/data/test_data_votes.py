"""FER+'s votes beside FER2013's rows, and how they say that they do not belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data import load
from mien.data.votes import agreement
from mien.emotions import VOTES
from mien.errors import DataError, FormatError, SourceNotFound

Rows = Callable[..., list[str]]
WriteCsv = Callable[..., Path]

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
# Where each of VOTES stands in the file, counted by hand from HEADER.
ORDER = [4, 5, 6, 1, 3, 2, 0, 7, 8, 9]


def votes_file(folder: Path, counts: list[list[int]], usages: list[str]) -> Path:
    path = folder / "fer2013new.csv"
    lines = [
        f"{usage},fer{row:07d}.png,{','.join(map(str, each))}"
        for row, (usage, each) in enumerate(zip(usages, counts, strict=True))
    ]
    path.write_text("".join(f"{line}\n" for line in [HEADER, *lines]))
    return path


def drawn(count: int) -> list[list[int]]:
    values: list[list[int]] = np.random.default_rng(3).integers(0, 11, (count, 10)).tolist()
    return values


def test_votes_come_in_miens_order_and_join_by_row(rows: Rows, write_csv: WriteCsv, tmp_path: Path) -> None:
    lines = rows(5)
    lines[2] = "9" + lines[2][1:]
    counts = drawn(7)
    path = votes_file(tmp_path, counts, ["Training"] * 5 + ["PublicTest"] * 2)
    table = load(write_csv(lines), votes=path)
    assert table.votes is not None
    assert table.votes.tolist() == [[counts[row][place] for place in ORDER] for row in (0, 1, 3, 4)]
    assert table.votes.shape[1] == len(VOTES)


def test_fewer_votes_than_rows_is_an_error_that_names_both(
    rows: Rows, write_csv: WriteCsv, tmp_path: Path
) -> None:
    path = votes_file(tmp_path, drawn(3), ["Training"] * 3)
    with pytest.raises(FormatError, match=r"fer2013new.csv has votes for 3 rows, but .*fer2013.csv has 4"):
        load(write_csv(rows(4)), votes=path)


def test_another_usage_is_an_error_that_names_both(rows: Rows, write_csv: WriteCsv, tmp_path: Path) -> None:
    path = votes_file(tmp_path, drawn(4), ["Training", "Training", "PublicTest", "Training"])
    with pytest.raises(
        FormatError, match=r"differ in the Usage of 1 rows, first in row 2: 'PublicTest' and 'Train"
    ):
        load(write_csv(rows(4)), votes=path)


def test_single_pictures_have_no_rows_to_join_by(tmp_path: Path) -> None:
    (tmp_path / "tree/happy").mkdir(parents=True)
    Image.new("L", (48, 48)).save(tmp_path / "tree/happy/a.png")
    with pytest.raises(DataError, match="joins by FER2013's row numbers"):
        load(tmp_path / "tree", votes=votes_file(tmp_path, drawn(1), ["all"]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "lacks Usage, neutral"),
        ("emotion,pixels,Usage\n", "lacks neutral"),
        (f"{HEADER}\nTraining,a,1,2,3\n", "line 2: 'Training,a,1,2,3' is not"),
        (f"{HEADER}\nTraining,a,1,2,3,4,5,6,7,8,9,x\n", "line 2"),
        (f"{HEADER}\nTraining,a,1,2,3,4,5,6,7,8,9,-1\n", "line 2"),
        (f"{HEADER}\nTraining,a,1,2,3,4,5,6,7,8,9,256\n", "line 2"),
    ],
)
def test_a_file_that_is_not_ferplus_says_where(
    content: str, reason: str, rows: Rows, write_csv: WriteCsv, tmp_path: Path
) -> None:
    path = tmp_path / "votes.csv"
    path.write_text(content)
    with pytest.raises(FormatError, match=reason):
        load(write_csv(rows(1)), votes=path)


def test_votes_that_are_not_there_are_named(rows: Rows, write_csv: WriteCsv, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"absent\.csv"):
        load(write_csv(rows(1)), votes=tmp_path / "absent.csv")


def test_agreement_counts_the_label_with_most_votes_and_no_ties(
    rows: Rows, write_csv: WriteCsv, tmp_path: Path
) -> None:
    lines = [f"{label}{line[1:]}" for label, line in zip([3, 3, 6, 0], rows(4), strict=True)]
    counts = [
        [0, 9, 1, 0, 0, 0, 0, 0, 0, 0],  # happy, labelled so
        [0, 5, 5, 0, 0, 0, 0, 0, 0, 0],  # a tie of happy and surprise
        [1, 9, 0, 0, 0, 0, 0, 0, 0, 0],  # happy, labelled neutral
        [0, 0, 0, 0, 4, 0, 0, 3, 0, 3],  # angry, labelled so
    ]
    table = load(write_csv(lines), votes=votes_file(tmp_path, counts, ["Training"] * 4))
    agreed = agreement(table)
    assert agreed is not None
    assert (agreed.faces, agreed.agreeing, agreed.tied, agreed.share) == (4, 2, 1, 0.5)
    assert agreed.by_class["happy"] == (2, 1)
    assert agreed.by_class["neutral"] == (1, 0)
    assert agreement(load(write_csv(lines))) is None


@pytest.mark.parametrize(
    ("counts", "moved", "refused"),
    [
        ({"Training": 300}, 0, False),
        ({"Training": 300}, 1, True),
        ({"Training": 150, "PublicTest": 150}, 1, False),
    ],
)
def test_votes_of_other_rows_are_refused_where_enough_faces_show_it(
    counts: dict[str, int], moved: int, refused: bool, rows: Rows, write_csv: WriteCsv, tmp_path: Path
) -> None:
    """Votes that were a row out used to be joined without a word; below 200 faces of a split they are."""
    lines = [line for split, count in counts.items() for line in rows(count, usage=split)]
    column = dict(enumerate([4, 5, 6, 1, 3, 2, 0]))  # of FER2013's labels, counted from HEADER
    votes = [[9 if place == column[int(line[0])] else 0 for place in range(10)] for line in lines]
    usages = [split for split, count in counts.items() for _ in range(count)]
    path = votes_file(tmp_path, [*votes[moved:], *votes[:moved]], usages)
    if refused:
        with pytest.raises(FormatError, match=r"in Training, the label of 1\d% of 300 faces has most votes"):
            load(write_csv(lines), votes=path)
    else:
        assert load(write_csv(lines), votes=path).votes is not None
