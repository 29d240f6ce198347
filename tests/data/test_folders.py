"""Trees with one folder a class, and what can be wrong in them."""

from __future__ import annotations

import io
import os
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.data import cache, load
from mien.data.folders.labels import label_map
from mien.emotions import FER2013, FERPLUS
from mien.errors import FormatError, ImageError, ImageTooLarge
from mien.images.gray import gray_face, png


def face(seed: int, size: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def tree(root: Path, names: list[str]) -> dict[str, NDArray[np.uint8]]:
    """Files of random faces; gives the pixels of each."""
    faces = {name: face(seed) for seed, name in enumerate(names)}
    for name, pixels in faces.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(pixels))
    return faces


def test_the_folder_release_gives_labels_and_splits_of_its_folders(tmp_path: Path) -> None:
    """`test` holds PublicTest and PrivateTest mixed, so it is called neither."""
    faces = tree(
        tmp_path, ["train/angry/b.png", "train/happy/a.png", "test/neutral/c.png", "test/angry/d.png"]
    )
    table = load(tmp_path)
    assert table.names is not None
    assert table.names.tolist() == sorted(faces)
    for name, pixels, label in zip(table.names, table.pixels, table.labels, strict=True):
        assert pixels.tolist() == faces[name].tolist()
        assert FER2013[label] == name.split("/")[1]
    assert dict(table.split_counts) == {"test": 2, "Training": 2}
    assert table.problems == ()
    assert table.classes == FER2013


@pytest.mark.parametrize(
    ("folders", "labels", "splits"),
    [
        (["anger", "disgust", "fear", "happy", "sadness", "surprise"], [0, 1, 2, 3, 4, 5], ["all"]),  # CK+48
        (["train/Surprise", "test/Anger", "valid/Neutral"], [5, 0, 6], ["Training", "test", "validation"]),
        (["0 - Neutral", "1_Happiness"], [6, 3], ["all"]),
        (["FER2013Train/3_happy", "FER2013Valid/4_sad"], [3, 4], ["Training", "PublicTest"]),
        (["DATASET/train/joy", "DATASET/test/fear"], [3, 2], ["Training", "test"]),
        (["CK+48/happy/S010", "CK+48/sad/S011"], [3, 4], ["all"]),
        (["fold1/happy", "fold2/sad"], [3, 4], ["fold1", "fold2"]),
    ],
)
def test_the_names_of_other_data_sets_are_understood(
    folders: list[str], labels: list[int], splits: list[str], tmp_path: Path
) -> None:
    tree(tmp_path, [f"{folder}/x.png" for folder in folders])
    table = load(tmp_path)
    assert sorted(table.labels.tolist()) == sorted(labels)
    assert set(table.split_counts) == set(splits)


def test_contempt_is_dropped_and_told_or_kept_as_the_eighth_class(tmp_path: Path) -> None:
    tree(tmp_path, ["happy/a.png", "contempt/b.png", "contempt/c.png"])
    dropped = load(tmp_path)
    assert dropped.labels.tolist() == [3]
    assert dropped.classes == FER2013
    assert dropped.source.endswith("(2 faces of contempt left out)")
    kept = load(tmp_path, contempt="keep")
    assert kept.labels.tolist() == [7, 7, 3]
    assert kept.classes == FERPLUS


def test_a_tree_at_rest_is_kept_until_a_file_of_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, ["happy/a.png", "sad/b.png"])
    load(tmp_path)
    assert not (cache.cache_dir() / "tables").exists()  # changed a moment ago: not certain yet
    later = time.time_ns() + 10**10
    monkeypatch.setattr(cache.time, "time_ns", lambda: later)
    first = load(tmp_path)
    assert load(tmp_path).sha256 == first.sha256
    assert isinstance(load(tmp_path).pixels.base, np.memmap)
    (tmp_path / "sad/b.png").write_bytes(png(face(7)))
    assert load(tmp_path).pixels[1].tolist() == face(7).tolist()
    (tmp_path / "sad/b.png").rename(tmp_path / "sad/c.png")
    assert load(tmp_path).names.tolist() == ["happy/a.png", "sad/c.png"]  # type: ignore[union-attr]


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    faces = tree(tmp_path, ["happy/a.png", "happy/z.png", "sad/b.png", "bored/e.png", "bored/f.png"])
    (tmp_path / "happy/cut.png").write_bytes(png(face(9))[:300])
    (tmp_path / "happy/notes.txt").write_text("hello")
    (tmp_path / "happy/text.jpg").write_text("hello")
    (tmp_path / "sad/.DS_Store").write_bytes(b"x")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    table = load(tmp_path)
    assert table.names is not None
    assert table.names.tolist() == ["happy/a.png", "happy/z.png", "sad/b.png"]
    assert table.pixels.tolist() == [faces[name].tolist() for name in table.names]
    assert {problem.where: problem.reason.split(":")[0].split(" (")[0] for problem in table.problems} == {
        "bored": "not an emotion that mien knows; 2 images left out",
        "happy/cut.png": "the image is cut short or damaged",
        "happy/notes.txt": "its suffix is not that of an image",
        "happy/text.jpg": "the image cannot be read as an image",
    }
    assert table.rows.tolist() == [0, 3, 4]
    assert table.refused == 5  # the two of the folder count as two


def test_one_emotion_among_unknown_folders_is_refused(tmp_path: Path) -> None:
    """A folder in German used to be read as "neutral" alone, and a model of it reported 100 %."""
    tree(tmp_path, ["train/neutral/a.png", "train/freude/b.png", "train/wut/c.png", "train/wut/d.png"])
    with pytest.raises(
        FormatError, match=r"only neutral \(1 images\).*train/freude \(1\), train/wut \(2\).*--label-map"
    ):
        load(tmp_path)
    (tmp_path / "map.csv").write_text("folder,emotion\nfreude,happy\nwut,angry\n")
    table = load(tmp_path, mapping=label_map(tmp_path / "map.csv"))
    assert sorted(table.labels.tolist()) == [0, 0, 3, 6]


def test_folders_named_by_numbers_are_not_guessed(tmp_path: Path) -> None:
    tree(tmp_path, ["train/1/a.png", "train/2/b.png"])
    with pytest.raises(FormatError, match=r"raf-db \(1-7 are surprise, fear.*--label-map"):
        load(tmp_path)


def test_a_folder_without_classes_names_what_is_there(tmp_path: Path) -> None:
    tree(tmp_path, ["cats/a.png", "dogs/b.png"])
    with pytest.raises(FormatError, match="It has: cats, dogs"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="none with images"):
        load(tmp_path / "empty")


def test_a_zip_of_the_tree_is_read_as_the_tree(tmp_path: Path) -> None:
    tree(tmp_path / "fer", ["train/angry/a.png", "test/sad/b.png"])
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for path in (tmp_path / "fer").rglob("*.png"):
            archive.write(path, f"archive/{path.relative_to(tmp_path / 'fer').as_posix()}")
    expected, table = load(tmp_path / "fer"), load(tmp_path / "archive.zip")
    assert table.sha256 == expected.sha256
    assert table.names is not None
    assert table.names.tolist() == ["test/sad/b.png", "train/angry/a.png"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path / "real", ["happy/a.png"])
    root = tmp_path / "root"
    root.mkdir()
    (root / "joy").symlink_to(tmp_path / "real/happy")
    (tmp_path / "real/happy/up").symlink_to(root)
    assert len(load(root)) == 1


def test_a_gray_picture_of_the_right_size_keeps_its_pixels() -> None:
    assert gray_face(png(face(1)), 48).tolist() == face(1).tolist()


def test_other_pictures_become_gray_squares() -> None:
    """Checked on pictures of one tone, which no resampling changes, and against ITU-R 601's weights."""

    def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
        out = io.BytesIO()
        picture.save(out, form, **options)
        return out.getvalue()

    red = Image.new("RGB", (100, 60), (200, 0, 0))
    assert np.unique(gray_face(encoded(red), 48)).tolist() == [round(0.299 * 200)]
    wide = Image.fromarray(np.full((50, 70), 128 * 257, np.uint16))
    assert np.unique(gray_face(encoded(wide), 48)).tolist() == [128]
    clear = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    assert np.unique(gray_face(encoded(clear), 48)).tolist() == [255]
    stripes = np.zeros((48, 144), np.uint8)
    stripes[:, 48:96] = 200
    assert np.unique(gray_face(png(stripes), 48)).tolist() == [200]
    turned = Image.Exif()
    turned[0x0112] = 6  # turn by 90 degrees to the right
    half = np.zeros((48, 48), np.uint8)
    half[:24] = 255
    upright = gray_face(encoded(Image.fromarray(half), exif=turned), 48)
    assert upright[:, 24:].min() == 255
    assert upright[:, :24].max() == 0


def test_a_picture_that_announces_too_much_is_refused_by_its_header() -> None:
    header = bytearray(png(face(0, 8)))
    header[16:24] = (9_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageTooLarge, match="9,000 x 9,000"):
        gray_face(bytes(header), 48)
    with pytest.raises(ImageError, match="the image is empty"):
        gray_face(b"", 48)
