"""Soft targets in a file: written, found by the pixels in any order, and used as a run's targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.data.table import FaceTable
from mien.errors import DataError, RecipeError
from mien.runs.recipe import Recipe, load_recipe
from mien.runs.recipe_sections import DistilRecipe
from mien.training.data.loader import BatchLoader
from mien.training.data.soft_targets import read_soft_targets, write_soft_targets
from mien.training.data.targets import targets_of
from mien.training.distributed import World

HEADS = ("fer2013", "votes")


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)


def predictions(n: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    return {"fer2013": generator.dirichlet(np.ones(7), n), "votes": generator.dirichlet(np.ones(10), n)}


def test_every_face_is_found_again_whatever_the_order(faces: np.ndarray, tmp_path: Path) -> None:
    known = predictions(40)
    write_soft_targets(tmp_path / "soft.npz", faces, known)
    order = np.random.default_rng(2).permutation(40)[:25]
    found = read_soft_targets(tmp_path / "soft.npz", faces[order], HEADS)
    for head in HEADS:
        assert found[head].shape == (25, known[head].shape[1])
        np.testing.assert_allclose(found[head].sum(1), 1, atol=1e-6)
        np.testing.assert_allclose(found[head], known[head][order], atol=0.01)


def test_the_file_holds_no_pixels(faces: np.ndarray, tmp_path: Path) -> None:
    write_soft_targets(tmp_path / "soft.npz", faces, predictions(40))
    with np.load(tmp_path / "soft.npz") as file:
        assert {name: file[name].nbytes for name in file.files} == {
            "pixels": 40 * 8,
            "fer2013": 40 * 7,
            "votes": 40 * 10,
        }


def test_a_face_that_is_not_in_the_file_is_counted(faces: np.ndarray, tmp_path: Path) -> None:
    write_soft_targets(tmp_path / "soft.npz", faces[:30], predictions(30))
    with pytest.raises(DataError, match=r"soft.npz has no predictions for 10 of 40 training faces"):
        read_soft_targets(tmp_path / "soft.npz", faces, HEADS)


def test_a_file_without_a_head_or_of_another_kind_is_an_error(faces: np.ndarray, tmp_path: Path) -> None:
    write_soft_targets(tmp_path / "soft.npz", faces, {"fer2013": predictions(40)["fer2013"]})
    with pytest.raises(RecipeError, match="no predictions 'votes'"):
        read_soft_targets(tmp_path / "soft.npz", faces, HEADS)
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("text.npz", "nothing.npz"):
        with pytest.raises(RecipeError, match=f"{name} cannot be read"):
            read_soft_targets(tmp_path / name, faces, HEADS)


def test_a_run_learns_from_the_file(
    tiny: Callable[..., Recipe], few_faces: FaceTable, tmp_path: Path
) -> None:
    train = few_faces.split("Training")
    known = predictions(len(train))
    write_soft_targets(tmp_path / "soft.npz", train.pixels, known)
    recipe = replace(
        tiny(augment={"mixup": 0.0, "cutmix": 0.0}),
        distil=DistilRecipe(predictions=str(tmp_path / "soft.npz"), weight=0.5),
    )
    loader = BatchLoader(recipe, few_faces, device=torch.device("cpu"), world=World(), note=lambda text: None)
    order = loader.order(0)
    batch = loader.batch_at(order, 0, 1)
    index = order[8:16]
    truth = targets_of(train, HEADS, torch.device("cpu"))
    for head in HEADS:
        expected = (truth[head][index] + torch.from_numpy(known[head]).float()[index]) / 2
        torch.testing.assert_close(batch.targets[head], expected, atol=0.005, rtol=0)


def test_teachers_and_their_kept_predictions_exclude_each_other() -> None:
    changes = {"distil.teachers": ["mien-lite0"], "distil.predictions": "soft.npz"}
    with pytest.raises(RecipeError, match="both set"):
        load_recipe("quick", changes)
