"""Who is on a picture is read from the names of files, or it is said that it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from mien.data.folders.subjects import subjects_of
from mien.data.table import FaceTable
from mien.errors import DataError, UsageError


def table(*names: str) -> FaceTable:
    n = len(names)
    return FaceTable(
        pixels=np.zeros((n, 8, 8), np.uint8),
        labels=np.zeros(n, np.int64),
        splits=np.array(["all"] * n),
        rows=np.arange(n),
        names=np.array(names) if n else None,
        source="faces",
    )


def test_the_names_of_ck_and_jaffe_are_known() -> None:
    faces = table("happy/S010_006_00000013.png", "CK+48/anger/S999_001_00000018.png", "KA.AN1.39.tiff")
    assert subjects_of(faces).tolist() == ["S010", "S999", "KA"]


def test_a_pattern_of_ones_own_reads_the_whole_path() -> None:
    faces = table("anna/happy/1.png", "bo/sad/2.png")
    assert subjects_of(faces, r"^(\w+)/").tolist() == ["anna", "bo"]


def test_names_that_say_nothing_are_named_with_the_remedy() -> None:
    faces = table("S010_006_00000013.png", *(f"train_0000{i}_aligned.jpg" for i in range(5)))
    with pytest.raises(
        DataError, match=r"5 of 6 files.*train_00000_aligned\.jpg.*CK\+ and JAFFE.*data\.subject"
    ):
        subjects_of(faces)


def test_a_table_without_files_knows_nobody() -> None:
    with pytest.raises(DataError, match="Give a folder of images"):
        subjects_of(table())


@pytest.mark.parametrize("pattern", ["(", r"\d+"])
def test_a_pattern_that_cannot_tell_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"data\.subject="):
        subjects_of(table("a.png"), pattern)
