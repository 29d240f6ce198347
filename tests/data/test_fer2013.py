"""Reading a whole FER2013 CSV: rows, lines, line ends, and files that were cut."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data import FaceTable, load
from mien.data.fer2013 import reader as fer2013
from mien.data.table import BadRow
from mien.errors import BadRows, FormatError, SourceNotFound

Rows = Callable[..., list[str]]
WriteCsv = Callable[..., Path]


def plain_pixels(lines: list[str]) -> list[list[int]]:
    """The pixels as csv and int() read them."""
    return [[int(word) for word in fields[1].split()] for fields in csv.reader(lines)]


def flat(table: FaceTable) -> list[list[int]]:
    values: list[list[int]] = table.pixels.reshape(len(table), -1).tolist()
    return values


def test_a_good_file_is_read_as_it_is(rows: Rows, write_csv: WriteCsv) -> None:
    lines = [*rows(5), *rows(3, seed=1, usage="PublicTest"), *rows(2, seed=2, usage="PrivateTest")]
    table = load(write_csv(lines))
    assert flat(table) == plain_pixels(lines)
    assert table.labels.tolist() == [int(line[0]) for line in lines]
    assert dict(table.split_counts) == {"Training": 5, "PublicTest": 3, "PrivateTest": 2}
    assert table.rows.tolist() == list(range(10))
    assert table.pixels.shape == (10, 48, 48)
    assert table.problems == ()


def test_blocks_of_any_size_give_the_same_table(
    rows: Rows, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that lie across the seams of blocks, and blocks that hold not one line end, lose nothing."""
    lines = rows(9)
    lines[4] = lines[4].replace(" ", ";", 1)
    path = write_csv(lines)
    expected = load(path, cache=False)
    for size in (700, 5_000, 9_000, 30_000):
        monkeypatch.setattr(fer2013, "_BLOCK_BYTES", size)
        table = load(path, cache=False)
        assert table.sha256 == expected.sha256
        assert table.rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
        assert table.problems == expected.problems


def test_refused_rows_keep_their_number_and_name_their_line(rows: Rows, write_csv: WriteCsv) -> None:
    lines = rows(6)
    good = plain_pixels(lines)
    lines[1] = lines[1].replace(",", ",300 ", 1)
    lines[4] = "7" + lines[4][1:]
    table = load(write_csv(lines))
    assert table.rows.tolist() == [0, 2, 3, 5]
    assert flat(table) == [good[0], good[2], good[3], good[5]]
    assert table.problems == (
        BadRow("line 3", "pixel 1 is '300', outside 0-255"),
        BadRow("line 6", "label '7' is not one of 0-6"),
    )


def test_strict_stops_at_the_first_problem(rows: Rows, write_csv: WriteCsv) -> None:
    lines = rows(4)
    lines[1], lines[2] = "x" + lines[1][1:], "8" + lines[2][1:]
    path = write_csv(lines)
    with pytest.raises(BadRows, match=r"fer2013.csv, line 3: label 'x' is not a whole number \(1 more"):
        load(path, strict=True)
    assert len(load(write_csv(rows(4)), strict=True)) == 4


def test_a_byte_order_mark_is_reported_and_costs_nothing(rows: Rows, write_csv: WriteCsv) -> None:
    path = write_csv(rows(3))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    table = load(path)
    assert flat(table) == plain_pixels(rows(3))
    assert [(problem.where, problem.refused) for problem in table.problems] == [("line 1", False)]
    with pytest.raises(BadRows, match="byte-order mark"):
        load(path, strict=True)


def test_cr_lf_is_reported_once_and_costs_nothing(rows: Rows, write_csv: WriteCsv) -> None:
    path = write_csv(rows(3))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    table = load(path)
    assert flat(table) == plain_pixels(rows(3))
    assert table.problems == (BadRow("line 1", "ends in CR LF, as do 3 lines after it", refused=False),)


def test_a_block_of_nul_bytes_is_one_bad_row(rows: Rows, write_csv: WriteCsv) -> None:
    """What a file system leaves where a write was lost."""
    path = write_csv(rows(5))
    data = bytearray(path.read_bytes())
    start = data.index(b"\n", 12_000) - 5_000
    data[start : start + 300] = bytes(300)
    path.write_bytes(data)
    table = load(path)
    assert len(table) == 4
    assert len(table.problems) == 1
    assert "NUL byte" in table.problems[0].reason
    assert "300 in all" in table.problems[0].reason


def test_an_empty_line_between_rows_is_reported_and_is_no_row(rows: Rows, write_csv: WriteCsv) -> None:
    lines = rows(3)
    table = load(write_csv([lines[0], "", lines[1], lines[2], "", ""]))
    assert table.rows.tolist() == [0, 1, 2]
    assert table.problems == (BadRow("line 3", "an empty line between rows", refused=False),)


def test_wherever_a_line_is_cut_the_file_says_so(rows: Rows, write_csv: WriteCsv) -> None:
    """A cut file is never a silently short split: at every byte of the last row but its end."""
    path = write_csv(rows(3))
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    places = {
        *range(last + 1, last + 12),
        *range(last + 12, len(whole), 797),
        *range(len(whole) - 12, len(whole)),
    }
    for place in sorted(places):
        table = fer2013.read_csv(io.BytesIO(whole[:place]), "cut")
        assert [problem.where for problem in table.problems] == ["line 4"]
        assert "cut" in table.problems[0].reason
        assert len(table) == (2 if table.problems[0].refused else 3)
        assert flat(table) == plain_pixels(rows(3))[: len(table)]


@pytest.mark.parametrize("header", ["emotion,pixels", "pixels"])
def test_a_cut_in_the_last_pixel_of_the_last_row_is_reported(
    header: str, rows: Rows, write_csv: WriteCsv
) -> None:
    """train.csv and test.csv end their rows with the pixels: 123 cut to 12 still looks right."""
    lines = [",".join(line.split(",")[-2 - (header != "pixels") : -1]) for line in rows(2)]
    path = write_csv(lines, header=header)
    path.write_bytes(path.read_bytes()[:-1])
    table = load(path)
    assert len(table) == 2
    assert table.problems == (
        BadRow("line 3", "the last line has no end: the file may be cut here", refused=False),
    )


def test_fer2013_cut_between_two_rows_is_known_by_its_splits(
    rows: Rows, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published sizes are shrunk to 4, 2 and 2 rows here."""
    monkeypatch.setattr(fer2013, "_SPLIT_ENDS", (4, 6, 8))
    lines = [*rows(4), *rows(2, usage="PublicTest"), *rows(2, usage="PrivateTest")]
    for count, cut in {
        8: "",
        7: "1 rows of PrivateTest",
        6: "",
        5: "1 rows of PublicTest",
        4: "",
        3: "",
    }.items():
        problems = load(write_csv(lines[:count]), cache=False).problems
        assert bool(problems) == bool(cut)
        assert all(cut in problem.reason for problem in problems)
    mixed = [lines[5], *lines[:4]]
    assert load(write_csv(mixed), cache=False).problems == ()


def test_a_train_csv_has_labels_and_one_split(rows: Rows, write_csv: WriteCsv) -> None:
    table = load(
        write_csv([line.rsplit(",", 1)[0] for line in rows(4)], header="emotion,pixels", name="train.csv")
    )
    assert dict(table.split_counts) == {"Training": 4}
    assert table.labels.tolist() == [int(line[0]) for line in rows(4)]


def test_a_test_csv_has_no_labels(rows: Rows, write_csv: WriteCsv) -> None:
    table = load(write_csv([line.split(",")[1] for line in rows(4)], header="pixels", name="test.csv"))
    assert dict(table.split_counts) == {"test": 4}
    assert table.labels.tolist() == [-1] * 4
    assert flat(table) == plain_pixels(rows(4))


def test_an_icml_face_data_csv_has_its_columns_elsewhere(rows: Rows, write_csv: WriteCsv) -> None:
    lines = [",".join(np.array(line.split(","))[[0, 2, 1]]) for line in rows(4, usage="PrivateTest")]
    table = load(write_csv(lines, header="emotion, Usage, pixels", name="icml_face_data.csv"))
    assert dict(table.split_counts) == {"PrivateTest": 4}
    assert flat(table) == plain_pixels(rows(4))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"emotion,pixels,Usage\n", "no row that can be used"),
        (b"emotion,pixels,Usage\n1,2 3,Training\n", "first problem: line 2: 2 pixels, not 2,304"),
        (b"\xff\xfee\0m\0", "UTF-16"),
        (b"id,name\n1,2\n", "but with b'id,name'"),
    ],
)
def test_a_file_without_one_row_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=reason):
        load(path)


def test_a_path_to_nothing_says_what_could_be_there(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"fer.csv does not exist. Give FER2013's CSV"):
        load(tmp_path / "fer.csv")


DAMAGE = {
    "a digit became a space": (lambda line: line.replace(" 1", "  ", 1), "a space too many behind pixel"),
    "a digit became a zero": (lambda line: line.replace(" 1", " 0", 1), "has a zero before it"),
    "a label": (lambda line: " 0" + line, "label ' 0"),
    "a split": (lambda line: line + " ", "Usage 'Training ' has spaces around it"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_row_that_is_spelled_unlike_the_others_is_refused(
    rows: Rows, write_csv: WriteCsv, kind: str
) -> None:
    damage, reason = DAMAGE[kind]
    lines = rows(6)
    good = plain_pixels(lines)
    lines[3] = damage(lines[3])
    table = load(write_csv(lines))
    assert table.rows.tolist() == [0, 1, 2, 4, 5]
    assert flat(table) == [*good[:3], *good[4:]]
    (problem,) = table.problems
    assert (problem.where, problem.refused) == ("line 5", True)
    assert reason in problem.reason
    assert "a digit may be lost here" in problem.reason


def test_a_file_that_is_written_with_spaces_throughout_is_read_with_a_note(
    rows: Rows, write_csv: WriteCsv
) -> None:
    lines = rows(6)
    good = plain_pixels(lines)
    spaced = [line.replace(",", ", ") for line in lines[:4]] + lines[4:]
    table = load(write_csv(spaced))
    assert flat(table) == good
    (problem,) = table.problems
    assert (problem.where, problem.refused) == ("line 2", False)
    assert "4 rows are spelled so" in problem.reason
