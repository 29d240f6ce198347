"""Validation faces held out from the training split, and the splits that a recipe means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mien
from mien.data.parquet import write_parquet
from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.errors import DataError, RecipeError
from mien.exporting import export as exporting
from mien.runs.recipe import Recipe, from_dict, load_recipe
from mien.runs.recipe_sections import DataRecipe
from mien.training import api
from mien.training.data.holdout import held_out
from mien.training.data.splits import rows_of, with_splits_of


def table(people: int, frames: int) -> FaceTable:
    """Faces of people as CK+ names them, `frames` each; the labels go round."""
    n = people * frames
    drawn = faces(n, seed=5)
    names = [f"S{person:03d}_001_{frame:08d}.png" for person in range(people) for frame in range(frames)]
    return FaceTable(
        drawn.pixels,
        np.arange(n) % 7,
        np.array(["Training"] * n),
        np.arange(n),
        names=np.array(names),
        source="people",
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 20), st.integers(1, 4), st.floats(0.1, 0.5))
def test_no_person_is_on_both_sides(people: int, frames: int, share: float) -> None:
    rows = table(people, frames)
    subject = np.array([name[:4] for name in rows.names])  # type: ignore[union-attr]
    mask = held_out(rows, share)
    assert not set(subject[mask]) & set(subject[~mask])
    assert mask.any()
    assert not mask.all()


def test_identical_faces_are_on_one_side_and_join_the_people_that_share_them() -> None:
    rows = table(12, 2)
    pixels = rows.pixels.copy()
    pixels[2] = pixels[1]  # of the first and the second person
    rows = replace(rows, pixels=pixels)
    sides = [held_out(rows, share)[:4].tolist() for share in (0.1, 0.2, 0.3, 0.5)]
    assert all(side in ([True] * 4, [False] * 4) for side in sides)


def test_each_class_gives_its_share() -> None:
    rows = replace(faces(400, seed=2), names=None)
    mask = held_out(rows, 0.15)
    for label in range(7):
        of_class = rows.labels == label
        assert abs(mask[of_class].sum() - 0.15 * of_class.sum()) <= 1


def test_the_choice_is_of_the_faces_and_not_of_their_order() -> None:
    rows = faces(60, seed=2)
    order = np.random.default_rng(0).permutation(60)
    assert held_out(rows.take(order), 0.2).tolist() == held_out(rows, 0.2)[order].tolist()


def test_one_person_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="the 7 faces are of one person or identical"):
        held_out(table(1, 7), 0.15)


def test_the_only_split_is_divided_and_a_note_says_how() -> None:
    whole = replace(table(12, 2), splits=np.array(["all"] * 24))
    plan = with_splits_of(whole, from_dict({"data": {"holdout": 0.25}}))
    assert plan.data.train == "all"
    assert plan.data.validation_name == "25% held out of all"
    notes: list[str] = []
    train, validation = rows_of(whole, plan.data, notes.append)
    assert len(train) + len(validation) == 24
    assert notes == [f"{len(train)} faces to train on, and {len(validation)} of all held out (by subject)."]
    rows_of(replace(whole, names=None), plan.data, notes.append)
    assert "subjects are not known" in notes[-1]


def test_folds_and_holdout_exclude_each_other() -> None:
    with pytest.raises(RecipeError, match=r"data\.folds and data\.holdout are both set"):
        from_dict({"data": {"folds": 5, "holdout": 0.2}})


@pytest.mark.parametrize(
    ("have", "wanted", "expected"),
    [
        (["Training", "validation"], {}, ("Training", "validation")),
        (["Training", "PublicTest", "validation"], {}, ("Training", "PublicTest")),
        (["TRAIN", "Test"], {"train": "train", "validation": "testing"}, ("TRAIN", "Test")),
        (["fold1", "fold2"], {"train": "FOLD1", "validation": "fold2"}, ("fold1", "fold2")),
    ],
)
def test_synonyms_of_a_split_mean_it(
    have: list[str], wanted: dict[str, str], expected: tuple[str, str]
) -> None:
    rows = replace(table(4, 3), splits=np.array(have * (12 // len(have))))
    plan = with_splits_of(rows, from_dict({"data": wanted}))
    assert (plan.data.train, plan.data.validation) == expected
    assert len(rows.split(wanted.get("train", "training"))) == 12 // len(have)


def test_a_split_that_is_not_there_names_those_that_are_and_the_option() -> None:
    rows = replace(table(4, 3), splits=np.array(["Training", "test"] * 6))
    with pytest.raises(
        DataError, match=r"no split 'PublicTest' .*it has: Training \(6\), test \(6\).*--holdout 0\.15"
    ):
        with_splits_of(rows, Recipe())
    with pytest.raises(DataError, match=r"no split 'learn' \(train\).*--set data\.train=NAME"):
        with_splits_of(rows, from_dict({"data": {"train": "learn"}}))


def test_one_class_is_refused_and_missing_classes_are_named() -> None:
    rows = table(7, 2)
    with pytest.raises(DataError, match=r"all 2 faces to learn from are happy.*--label-map FILE"):
        rows_of(rows.take(rows.labels == 3), DataRecipe(validation="Training"), lambda text: None)
    notes: list[str] = []
    rows_of(rows.take(rows.labels >= 2), DataRecipe(validation="Training"), notes.append)
    assert notes == ["No face to learn from is angry, disgust: the model will not predict what it never saw."]


def test_a_run_with_a_holdout_is_recorded_and_measured_on_the_faces_it_held_out(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export used to be measured on the only split there is: on the faces that it was trained on."""
    monkeypatch.setattr(api, "draw_run", lambda folder: [])
    rows = replace(faces(40, seed=3), splits=np.array(["all"] * 40), votes=None)
    write_parquet(rows, tmp_path / "faces.parquet")
    plan = tiny(schedule={"epochs": 1, "warmup_epochs": 0})
    run = api.train(
        plan, data=tmp_path / "faces.parquet", out=tmp_path / "run", threads=1, **{"data.holdout": 0.25}
    )
    assert 7 <= run.validation_faces <= 10  # a quarter of each class, rounded
    assert "on 25% held out of all" in run.summary
    assert load_recipe(tmp_path / "run/recipe.toml").data.train == "all"

    given: list[tuple[FaceTable, str]] = []

    def export(run: Path, out: Path | None, table: FaceTable, *, split: str, **options: object) -> None:
        given.append((table, split))

    monkeypatch.setattr(exporting, "export_model", export)
    mien.export(tmp_path / "run")
    ((table, split),) = given
    validation = rows_of(rows, run.recipe.data, lambda text: None)[1]
    assert split == "held out"
    assert table.split(split).pixel_keys.tolist() == validation.pixel_keys.tolist()
    assert len(table.split("Training")) == 40 - len(validation)
