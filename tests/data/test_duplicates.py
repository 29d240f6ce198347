from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

import mien
from mien.data import duplicates
from mien.data.synthetic import faces as synthetic
from mien.data.table import FaceTable, not_in
from mien.errors import DataError, UsageError


def table_of(faces: list[int], labels: list[int], splits: list[str]) -> FaceTable:
    """A table whose row i shows the synthetic face number `faces[i]`."""
    drawn = synthetic.faces(10)
    return replace(
        drawn,
        pixels=drawn.pixels[faces],
        labels=np.array(labels, dtype=np.int64),
        splits=np.array(splits),
        rows=np.arange(len(faces)),
        votes=None,
    )


TABLE = table_of(
    faces=[4, 1, 4, 2, 1, 4, 3, 5],
    labels=[0, 3, 0, 2, 6, 0, 1, 5],
    splits=[
        "Training",
        "Training",
        "Training",
        "Training",
        "PublicTest",
        "PublicTest",
        "PublicTest",
        "PublicTest",
    ],
)


def by_hand(table: FaceTable, split: str, other: str, *, same_label: bool) -> list[bool]:
    """The oracle: every pair compared, byte by byte."""
    return [
        table.splits[i] == split
        and any(
            table.splits[j] == other
            and np.array_equal(table.pixels[i], table.pixels[j])
            and (not same_label or table.labels[i] == table.labels[j] != -1)
            for j in range(len(table))
        )
        for i in range(len(table))
    ]


def test_groups_are_the_rows_of_identical_faces() -> None:
    assert [rows.tolist() for rows in duplicates.groups(TABLE)] == [[0, 2, 5], [1, 4]]


def test_faces_that_all_differ_have_no_groups() -> None:
    assert duplicates.groups(synthetic.faces(30)) == []


def test_one_changed_pixel_makes_another_face() -> None:
    pixels = TABLE.pixels.copy()
    pixels[2, 10, 10] ^= 1
    assert [rows.tolist() for rows in duplicates.groups(replace(TABLE, pixels=pixels))] == [[0, 5], [1, 4]]


def test_conflicting_groups_have_more_than_one_label() -> None:
    assert [rows.tolist() for rows in duplicates.conflicting(TABLE)] == [[1, 4]]


def test_a_missing_label_conflicts_with_none() -> None:
    labels = TABLE.labels.copy()
    labels[4] = -1
    assert duplicates.conflicting(replace(TABLE, labels=labels)) == []


def test_across_marks_the_twins_in_one_split_of_the_other() -> None:
    assert np.flatnonzero(duplicates.across(TABLE, "PublicTest", "Training")).tolist() == [4, 5]
    assert np.flatnonzero(duplicates.across(TABLE, "Training", "PublicTest")).tolist() == [0, 1, 2]


def test_across_can_ask_for_the_same_label() -> None:
    twins = duplicates.across(TABLE, "PublicTest", "Training", same_label=True)
    assert np.flatnonzero(twins).tolist() == [5]


@pytest.mark.parametrize("same_label", [False, True])
def test_across_agrees_with_comparing_every_pair(same_label: bool) -> None:
    generator = np.random.default_rng(0)
    table = table_of(
        faces=generator.integers(0, 10, 40).tolist(),
        labels=generator.integers(-1, 3, 40).tolist(),
        splits=generator.choice(["Training", "PublicTest"], 40).tolist(),
    )
    found = duplicates.across(table, "PublicTest", "Training", same_label=same_label)
    assert found.tolist() == by_hand(table, "PublicTest", "Training", same_label=same_label)


def test_across_is_what_not_in_leaves_out() -> None:
    kept = not_in(TABLE.split("PublicTest"), TABLE.split("Training"))
    twins = duplicates.across(TABLE, "PublicTest", "Training")
    assert (~twins[TABLE.splits == "PublicTest"]).tolist() == kept.tolist()


def test_an_absent_split_is_named() -> None:
    with pytest.raises(DataError, match=r"no split 'PrivateTest'; it has: Training \(4\), PublicTest \(4\)"):
        duplicates.across(TABLE, "PrivateTest", "Training")


def test_a_split_has_no_twins_across_itself() -> None:
    with pytest.raises(UsageError, match="within 'Training'"):
        duplicates.across(TABLE, "Training", "Training")


@pytest.mark.skipif(
    "MIEN_FER2013" not in os.environ, reason="MIEN_FER2013 names no fer2013.csv or archive of it"
)
def test_fer2013_has_the_documented_duplicates() -> None:
    table = mien.load(os.environ["MIEN_FER2013"])
    table = table.take(table.splits != "PrivateTest")
    assert len(duplicates.groups(table)) == 1_271
    assert len(duplicates.conflicting(table)) == 47
    assert duplicates.across(table, "PublicTest", "Training").sum() == 280
    assert duplicates.across(table, "PublicTest", "Training", same_label=True).sum() == 273
