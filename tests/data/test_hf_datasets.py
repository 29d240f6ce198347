"""Data sets of Hugging Face's `datasets`, saved to disk, and label maps for Parquet that contains images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.data import load
from mien.data.folders.labels import label_map
from mien.data.parquet import write_parquet
from mien.data.synthetic.faces import faces as draw_faces
from mien.data.table import FaceTable
from mien.errors import FormatError
from mien.images.gray import png

datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def drawn() -> FaceTable:
    return draw_faces(12, seed=5)


def saved(drawn: FaceTable, names: list[str], folder: Path) -> Path:
    """Twelve faces with labels 0, 1, 2 in turn: eight in the split train, four in test."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})

    def part(rows: range) -> object:
        images = [{"bytes": png(drawn.pixels[row]), "path": f"{row}.png"} for row in rows]
        columns = {"image": images, "label": [row % 3 for row in rows]}
        return datasets.Dataset.from_dict(columns, features=features)

    whole = datasets.DatasetDict({"train": part(range(8)), "test": part(range(8, 12))})
    whole.save_to_disk(str(folder))
    return folder


def test_a_data_set_that_was_saved_to_disk_is_read_split_by_split(drawn: FaceTable, tmp_path: Path) -> None:
    table = load(saved(drawn, ["anger", "happiness", "neutral"], tmp_path / "hf"))
    assert table.split_counts == {"Training": 8, "test": 4}
    order = np.concatenate([np.arange(8, 12), np.arange(8)])  # test comes before train
    assert (table.pixels == drawn.pixels[order]).all()
    assert [table.classes[label] for label in table.labels[:3]] == ["neutral", "angry", "happy"]


def test_classes_of_ones_own_and_their_map_hold_for_it(drawn: FaceTable, tmp_path: Path) -> None:
    folder = saved(drawn, ["bored", "tired", "angry"], tmp_path / "hf")
    table = load(folder, mapping=label_map("own"))
    assert sorted(table.classes) == ["angry", "bored", "tired"]
    assert [table.classes[label] for label in table.labels[:3]] == ["angry", "bored", "tired"]
    (tmp_path / "map.csv").write_text("folder,class\nbored,idle\ntired,tired\n")
    mapped = load(folder, mapping=label_map(tmp_path / "map.csv"))
    assert set(mapped.classes) == {"idle", "tired"}
    assert (len(mapped), mapped.refused) == (8, 4)
    assert "not in the label map" in mapped.problems[0].reason


def test_a_map_gives_numbers_in_parquet_their_meaning(drawn: FaceTable, tmp_path: Path) -> None:
    """RAF-DB counts from 1, surprise first; without the map its numbers were taken for FER2013's."""
    import pyarrow as pa
    from pyarrow import parquet

    images = [{"bytes": png(face), "path": None} for face in drawn.pixels[:3]]
    path = tmp_path / "train.parquet"
    parquet.write_table(pa.table({"image": images, "label": [1, 4, 7]}), path)
    table = load(path, mapping=label_map("raf-db"))
    assert [table.classes[label] for label in table.labels] == ["surprise", "happy", "neutral"]
    plain = load(path)
    assert [plain.classes[label] for label in plain.labels] == ["disgust", "sad"]
    assert plain.problems[0].reason == "label 7 is not one of 0-6"


def test_one_class_alone_is_refused(drawn: FaceTable, tmp_path: Path) -> None:
    write_parquet(drawn.take(drawn.labels == drawn.labels[0]), tmp_path / "one.parquet")
    with pytest.raises(FormatError, match="too few classes"):
        load(tmp_path / "one.parquet", mapping=label_map("own"))


# `datasets` leaves metadata files open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_imagefolder_with_metadata_is_what_datasets_reads(
    drawn: FaceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for split, rows in (("train", range(4)), ("test", range(4, 6))):
        folder = tmp_path / "set" / split
        folder.mkdir(parents=True)
        for row in rows:
            (folder / f"{row}.png").write_bytes(png(drawn.pixels[row]))
        lines = ["file_name,label", *(f"{row}.png,{('happy', 'fear')[row % 2]}" for row in rows)]
        (folder / "metadata.csv").write_text("\n".join(lines))
    whole = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "set"), cache_dir=str(tmp_path / "hf")
    )
    table = load(tmp_path / "set")
    for split, name in (("train", "Training"), ("test", "test")):
        part = table.split(name)
        assert [np.asarray(image).tolist() for image in whole[split]["image"]] == part.pixels.tolist()
        assert whole[split]["label"][:] == [part.classes[label] for label in part.labels]
