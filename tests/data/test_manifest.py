"""A CSV or Parquet file of paths and labels, as people have it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from mien.data import cache, load
from mien.data.folders.labels import label_map
from mien.data.folders.subjects import subjects_of
from mien.data.parquet import write_parquet
from mien.emotions import FER2013
from mien.errors import FormatError
from mien.images.gray import png


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with six images, each of one gray, in a folder below."""
    (tmp_path / "img").mkdir()
    for n in range(6):
        (tmp_path / f"img/{n}.png").write_bytes(png(np.full((48, 48), 10 * n, np.uint8)))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    (folder / "faces.csv").write_text(text, encoding="utf-8")
    return folder / "faces.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_csv_of_paths_and_labels_is_a_table_of_faces(images: Path, separator: str, start: str) -> None:
    """Semicolons and a byte-order mark are what a spreadsheet in German writes."""
    lines = ["path,label,split,subject", "img/0.png,happy,train,anna", "img/3.png,Anger,TRAIN,ben"]
    lines += [f"{images}/img/1.png,sadness,val,anna", "img/2.png,,val,ben"]
    table = load(write(images, start + "\n".join(lines).replace(",", separator)))
    assert [FER2013[label] if label >= 0 else "" for label in table.labels] == ["happy", "angry", "sad", ""]
    assert table.splits.tolist() == ["Training", "Training", "validation", "validation"]
    assert table.pixels[:, 0, 0].tolist() == [0, 30, 10, 20]
    assert subjects_of(table).tolist() == ["anna", "ben", "anna", "ben"]
    assert table.names is not None
    assert table.names[0] == "img/0.png"
    assert table.problems == ()


def test_without_further_columns_all_faces_are_of_one_split_and_nobody_is_known(images: Path) -> None:
    table = load(write(images, "emotion,file\nhappy,img/0.png\nsad,img/1.png\n"))
    assert dict(table.split_counts) == {"all": 2}
    assert table.subjects is None


def test_numbers_need_a_label_map(images: Path) -> None:
    path = write(images, "path,label\nimg/0.png,1\nimg/1.png,4\n")
    with pytest.raises(FormatError, match=r"It has: 1, 4\. .*raf-db \(1-7 are surprise"):
        load(path)
    assert load(path, mapping=label_map("raf-db")).labels.tolist() == [5, 3]


def test_what_cannot_be_used_is_named_with_its_row(images: Path) -> None:
    (images / "img/5.png").write_text("no image")
    rows = ["img/0.png,happy", "img/1.png,sad", "img/2.png,bored", "img/3.png,bored", ",happy"]
    rows += ["img/9.png,happy", "img/5.png,sad"]
    table = load(write(images, "path,label\n" + "\n".join(rows)))
    assert len(table) == 2
    assert [(each.where, each.count) for each in table.problems] == [
        ("img/5.png", 1),
        ("img/9.png", 1),
        ("label bored", 2),
        ("line 6", 1),
    ]
    assert "No such file" in table.problems[1].reason
    with pytest.raises(FormatError, match=r"only happy \(1 images\).*Unknown: bored \(2\)"):
        load(write(images, "path,label\n" + "\n".join(rows[0:1] + rows[2:4])))


def test_a_manifest_at_rest_is_cached_until_it_or_an_image_changes(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(images, "path,label\nimg/0.png,happy\nimg/1.png,sad\n")
    later = time.time_ns() + 10**10
    monkeypatch.setattr(cache.time, "time_ns", lambda: later)
    load(path)
    assert isinstance(load(path).pixels.base, np.memmap)
    (images / "img/1.png").write_bytes(png(np.full((48, 48), 77, np.uint8)))
    assert load(path).pixels[1, 0, 0] == 77
    write(images, "path,label\nimg/0.png,happy\nimg/1.png,angry\n")
    assert load(path).labels.tolist() == [3, 0]


def test_parquet_of_paths_is_read_as_the_csv_and_keeps_the_people(images: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"path": ["img/0.png", "img/1.png"], "label": [1, 4], "subject": ["anna", "ben"]}
    parquet.write_table(pa.table(columns), images / "faces.parquet")
    table = load(images / "faces.parquet", mapping=label_map("raf-db"))
    assert table.labels.tolist() == [5, 3]
    write_parquet(table, images / "written.parquet")
    again = load(images / "written.parquet")
    assert again.sha256 == table.sha256
    assert again.subjects is not None
    assert again.subjects.tolist() == ["anna", "ben"]


def test_metadata_in_a_folder_is_read_with_the_splits_of_its_folders(images: Path) -> None:
    """Hugging Face's `imagefolder`: a metadata file in each folder, or one above them; CSV or JSON lines."""
    for folder in ("train", "test/faces"):
        (images / "set" / folder).mkdir(parents=True)
        for n in range(2):
            (images / "set" / folder / f"{n}.png").write_bytes((images / f"img/{n}.png").read_bytes())
    (images / "set/train/metadata.csv").write_text("file_name,label\n1.png,happy\n")
    rows = [
        '{"file_name": "faces/0.png", "label": "sad"}',
        "",
        '{"file_name": "faces/1.png", "label": "happy"}',
    ]
    (images / "set/test/metadata.jsonl").write_text("\n".join(rows))
    table = load(images / "set")
    assert table.names is not None
    assert list(zip(table.names, table.splits, table.labels, table.pixels[:, 0, 0], strict=True)) == [
        ("test/faces/0.png", "test", 4, 0),
        ("test/faces/1.png", "test", 3, 10),
        ("train/1.png", "Training", 3, 10),
    ]
    assert [(each.where, each.reason, each.count) for each in table.problems] == [
        ("test/metadata.jsonl, train/metadata.csv", "has no row for 1 images; left out", 1)
    ]
    alone = load(images / "set/test/metadata.jsonl")
    assert (alone.labels.tolist(), dict(alone.split_counts)) == ([4, 3], {"all": 2})
    (images / "set/test/metadata.jsonl").write_text(rows[0] + "\n{'file_name'")
    with pytest.raises(FormatError, match=r"metadata\.jsonl line 2 is not JSON"):
        load(images / "set")
