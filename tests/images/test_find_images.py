"""Files, folders and globs become a list of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.errors import ImageError
from mien.images.find import find_images


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """b.JPG, a.png, notes.txt, .hidden.jpg, holiday/c.webp, .cache/d.jpg, [1]/e.tif, empty/."""
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "holiday/c.webp", ".cache/d.jpg", "[1]/e.tif"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_a_folder_gives_the_images_below_it_sorted_and_without_hidden_ones(album: Path) -> None:
    found = find_images([album])
    assert found == [album / "[1]" / "e.tif", album / "a.png", album / "b.JPG", album / "holiday" / "c.webp"]


def test_a_glob_gives_what_it_matches(album: Path) -> None:
    assert find_images([f"{album}/*.png"]) == [album / "a.png"]
    assert find_images([f"{album}/?.*"]) == [album / "a.png", album / "b.JPG"]
    assert find_images([f"{album}/h*/**"]) == [album / "holiday" / "c.webp"]


def test_a_file_is_taken_as_it_is_whatever_its_ending(album: Path) -> None:
    assert find_images([album / "notes.txt"]) == [album / "notes.txt"]
    assert find_images([str(album / "[1]" / "e.tif")]) == [album / "[1]" / "e.tif"]


def test_a_missing_file_is_left_for_the_reader_to_report(album: Path) -> None:
    assert find_images([album / "a.png", "missing.jpg"]) == [album / "a.png", Path("missing.jpg")]


def test_each_image_comes_once_in_the_order_of_the_sources(album: Path) -> None:
    assert find_images([album / "b.JPG", album, album / "a.png"])[:2] == [
        album / "b.JPG",
        album / "[1]" / "e.tif",
    ]
    assert len(find_images([album, album])) == 4


@pytest.mark.parametrize("source", ["empty", "*.bmp", "nowhere/**", "empty/*"])
def test_a_folder_or_glob_without_images_is_an_error_that_names_it(album: Path, source: str) -> None:
    with pytest.raises(ImageError, match="contains no images") as told:
        find_images([album / source])
    assert str(album / source) in str(told.value)


def test_no_sources_give_no_images() -> None:
    assert find_images([]) == []
