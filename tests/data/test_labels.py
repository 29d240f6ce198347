"""Folders that are named in a data set's own way get its emotions, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data import load
from mien.data.folders.labels import label_map, label_maps
from mien.errors import FormatError, UsageError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))


def picture(path: Path, gray: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 20), gray, np.uint8)).save(path)


def named(root: Path, mapping: str | Path, **options: str) -> list[tuple[int, str, str]]:
    """Gray, emotion and split of each picture."""
    table = load(root, mapping=label_map(mapping), **options)  # type: ignore[arg-type]
    return [
        (int(face[0, 0]), table.classes[label], split)
        for face, label, split in zip(table.pixels, table.labels.tolist(), table.splits.tolist(), strict=True)
    ]


def test_raf_db_as_it_comes_from_kaggle(tmp_path: Path) -> None:
    """Source: kaggle.com/datasets/shuvoalok/raf-db-dataset: DATASET/train/1/train_00001_aligned.jpg."""
    for number, gray in ((1, 10), (4, 40), (7, 70)):
        picture(tmp_path / "DATASET" / "train" / str(number) / f"train_0000{number}_aligned.png", gray)
    picture(tmp_path / "DATASET" / "test" / "6" / "test_0001_aligned.png", 60)
    assert sorted(named(tmp_path, "raf-db")) == [
        (10, "surprise", "Training"),
        (40, "happy", "Training"),
        (60, "angry", "test"),
        (70, "neutral", "Training"),
    ]


def test_affectnet_counts_from_nought_and_has_contempt(tmp_path: Path) -> None:
    for number in (0, 6, 7):
        picture(tmp_path / "val" / str(number) / "a.png", number)
    assert named(tmp_path, "affectnet") == [(0, "neutral", "validation"), (6, "angry", "validation")]
    assert (7, "contempt", "validation") in named(tmp_path, "affectnet", contempt="keep")


def test_the_same_folder_read_by_two_maps_is_two_tables(tmp_path: Path) -> None:
    """The cache must not give the one for the other."""
    picture(tmp_path / "3" / "a.png", 9)
    import os

    os.utime(tmp_path / "3" / "a.png", (1, 1))
    assert [name for _, name, _ in named(tmp_path, "raf-db")] == ["disgust"]
    assert [name for _, name, _ in named(tmp_path, "affectnet")] == ["surprise"]


def test_a_map_of_ones_own_comes_before_the_names_that_mien_knows(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("folder,emotion\nLaughing,joy\n 007 ,Anger\nsad,neutral\n")
    for name in ("laughing", "7", "sad"):
        picture(tmp_path / "faces" / name / "a.png", 1)
    found = {name for _, name, _ in named(tmp_path / "faces", tmp_path / "map.csv")}
    assert found == {"happy", "angry", "neutral"}


def test_jaffe_names_its_emotions_in_its_files(tmp_path: Path) -> None:
    for name in ("KA.AN1.39.tiff", "KA.HA2.30.tiff", "YM.NE1.49.tiff"):
        picture(tmp_path / "jaffe" / name, 5)
    table = load(tmp_path)
    assert [table.classes[label] for label in table.labels] == ["angry", "happy", "neutral"]
    assert set(table.splits) == {"all"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("folder,feeling\na,happy\n", "columns folder,emotion"),
        ("folder,emotion\na,bored\n", "line 2: 'bored' is not an emotion"),
        ("folder,emotion\n1,happy\n01,sad\n", "line 3: folder '01' is listed twice"),
        ("folder,emotion\n", "is empty"),
    ],
)
def test_a_map_that_cannot_be_used_says_where(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "map.csv").write_text(content)
    with pytest.raises(FormatError, match=said):
        label_map(tmp_path / "map.csv")


def test_an_unknown_map_is_told_those_that_ship() -> None:
    with pytest.raises(UsageError, match=r"affectnet, ck\+, raf-db"):
        label_map("rafdb")
    assert label_maps() == ["affectnet", "ck+", "raf-db", "own"]


def test_a_map_for_what_has_no_folders_is_refused(tmp_path: Path) -> None:
    pixels = " ".join(["0"] * 2304)
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n3,{pixels},Training\n")
    with pytest.raises(UsageError, match="what folders mean"):
        load(tmp_path / "fer2013.csv", mapping=label_map("raf-db"))
