"""Parquet: what mien writes comes back as it was, and what others write is understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from mien.data import FaceTable, load  # noqa: E402
from mien.data.parquet import write_parquet  # noqa: E402
from mien.data.table import BadRow  # noqa: E402
from mien.emotions import FER2013, FERPLUS  # noqa: E402
from mien.errors import DataError, FormatError  # noqa: E402
from mien.images.gray import png  # noqa: E402


def table_of(count: int, **columns: Any) -> FaceTable:
    generator = np.random.default_rng(0)
    given: dict[str, Any] = {
        "pixels": generator.integers(0, 256, (count, 48, 48), dtype=np.uint8),
        "labels": generator.integers(-1, 7, count),
        "splits": np.array([["Training", "PublicTest"][row % 2] for row in range(count)]),
        "rows": np.arange(count) * 2,
    }
    return FaceTable(**{**given, **columns})


VOTES = np.random.default_rng(1).integers(0, 11, (9, 10), dtype=np.uint8)
TABLES = {
    "plain": table_of(9),
    "votes": table_of(9, votes=VOTES),
    "names": table_of(9, names=np.array([f"train/a/{i}.jpg" for i in range(9)])),
    "larger": table_of(9, pixels=np.random.default_rng(2).integers(0, 256, (9, 64, 64), dtype=np.uint8)),
    "contempt": table_of(9, labels=np.arange(9) % 8, classes=FERPLUS),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_written_comes_back_identical(name: str, tmp_path: Path) -> None:
    table = TABLES[name]
    path = tmp_path / "faces.parquet"
    write_parquet(table, path)
    back = load(path, size=table.pixels.shape[1], contempt="keep")
    assert back.sha256 == table.sha256
    for column in ("pixels", "labels", "splits", "rows", "votes", "names"):
        expected, found = getattr(table, column), getattr(back, column)
        assert (found is None) == (expected is None)
        assert found is None or (
            found.tolist() == expected.tolist() and found.dtype.kind == expected.dtype.kind
        )
    assert back.classes == table.classes
    assert back.problems == ()
    assert [entry.name for entry in tmp_path.iterdir()] == ["faces.parquet"]


def test_the_file_tells_hugging_face_what_its_columns_are(tmp_path: Path) -> None:
    write_parquet(TABLES["votes"], tmp_path / "f.parquet")
    schema = pq.read_schema(tmp_path / "f.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": list(FER2013), "_type": "ClassLabel"}
    assert list(features) == schema.names


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_parquet(TABLES["plain"], tmp_path / "absent" / "f.parquet")
    (tmp_path / "taken.parquet").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_parquet(TABLES["plain"], tmp_path / "taken.parquet")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken.parquet"]


def hub_file(path: Path, columns: dict[str, list[Any]], names: list[str] | None = None) -> Path:
    table = pa.table(columns)
    if names is not None:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


FACES = TABLES["plain"].pixels
IMAGES = [{"bytes": png(face), "path": f"{place}.png"} for place, face in enumerate(FACES)]


def test_label_names_come_from_hugging_faces_metadata(tmp_path: Path) -> None:
    names = ["Anger", "contempt", "Happiness", "Neutral"]
    path = hub_file(
        tmp_path / "train-00000-of-00001.parquet", {"image": IMAGES[:4], "label": [3, 2, 1, 0]}, names
    )
    table = load(path)
    assert [FER2013[label] for label in table.labels] == ["neutral", "happy", "angry"]
    assert table.pixels.tolist() == FACES[[0, 1, 3]].tolist()
    assert table.names is not None
    assert table.names.tolist() == ["0.png", "1.png", "3.png"]
    assert table.source.endswith("(1 faces of contempt left out)")
    assert load(path, contempt="keep").labels.tolist() == [6, 3, 7, 0]


def test_without_names_the_labels_are_fer2013s(tmp_path: Path) -> None:
    path = hub_file(tmp_path / "x.parquet", {"image": IMAGES[:3], "label": [0, 6, 7]})
    table = load(path)
    assert table.labels.tolist() == [0, 6]
    assert table.problems == (BadRow("x.parquet row 2", "label 7 is not one of 0-6"),)


def test_labels_may_be_text_and_pictures_bare_bytes(tmp_path: Path) -> None:
    path = hub_file(
        tmp_path / "x.parquet",
        {"img_bytes": [image["bytes"] for image in IMAGES[:3]], "labels": ["fear", "Sadness", "bored"]},
    )
    table = load(path)
    assert table.labels.tolist() == [2, 4]
    assert "'bored'" in table.problems[0].reason


def test_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    broken = [
        IMAGES[0],
        None,
        {"bytes": None, "path": "x"},
        {"bytes": b"junk", "path": "y"},
        IMAGES[4],
        IMAGES[5],
    ]
    path = hub_file(tmp_path / "x.parquet", {"image": broken, "label": [1, 1, 1, 1, None, 2]})
    table = load(path)
    assert table.labels.tolist() == [1, 2]
    assert table.rows.tolist() == [0, 5]
    assert [problem.where for problem in table.problems] == [f"x.parquet row {row}" for row in (1, 2, 3, 4)]


def test_the_files_of_a_folder_are_its_splits(tmp_path: Path) -> None:
    for name, rows in {"train": slice(0, 4), "test": slice(4, 6), "validation": slice(6, 9)}.items():
        part = IMAGES[rows]
        hub_file(tmp_path / f"data/{name}-00000-of-00001.parquet", {"image": part, "label": [0] * len(part)})
    table = load(tmp_path)
    assert dict(table.split_counts) == {"test": 2, "Training": 4, "validation": 3}
    assert table.pixels.tolist() == FACES[[4, 5, 0, 1, 2, 3, 6, 7, 8]].tolist()


def test_other_files_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no column of images .* its columns: a"):
        load(hub_file(tmp_path / "x.parquet", {"a": [1]}))
    with pytest.raises(FormatError, match="no face that can be used"):
        load(hub_file(tmp_path / "y.parquet", {"image": [None], "label": [1]}))
    whole = hub_file(tmp_path / "z.parquet", {"image": IMAGES, "label": [0] * 9}).read_bytes()
    (tmp_path / "z.parquet").write_bytes(whole[:-100])
    with pytest.raises(FormatError, match=r"z.parquet is not Parquet, or is cut"):
        load(tmp_path / "z.parquet")


def test_a_csv_goes_through_parquet_with_its_votes(
    rows: Callable[..., list[str]], write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    lines = rows(4)
    lines[1] = "x" + lines[1]
    table = load(write_csv(lines))
    write_parquet(table, tmp_path / "x.parquet")
    back = load(tmp_path / "x.parquet")
    assert back.names is None
    assert back.rows.tolist() == [0, 2, 3]
    assert back.sha256 == table.sha256
