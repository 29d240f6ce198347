"""No person is in two folds, the folds are the data's alone, and what they say together is arithmetic."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data import load
from mien.data.folders.subjects import subjects_of
from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.errors import DataError, RecipeError, ResumeError, UsageError
from mien.runs.recipe import Recipe, from_dict, load_recipe, to_toml
from mien.runs.recipe_sections import DataRecipe
from mien.training import api
from mien.training.data.splits import fold_numbers, fold_of, rows_of, with_splits_of
from mien.training.repeated import cross_validation

# As CK+'s folders are called in the release of cropped faces.
FOLDERS = ("anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def ck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as CK+ comes: 12 people, three frames of each of two sequences, the faces drawn."""
    root = tmp_path_factory.mktemp("ck") / "CK+48"
    drawn = faces(72, seed=8)
    for i, (face, label) in enumerate(zip(drawn.pixels, drawn.labels, strict=True)):
        person, sequence, frame = i // 6, i // 3 % 2, i % 3
        path = root / FOLDERS[label] / f"S{person + 10:03d}_{sequence + 1:03d}_{frame + 11:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(path)
    return root.parent


@pytest.fixture(scope="module")
def table(ck: Path) -> FaceTable:
    return load(ck)


SPEC = DataRecipe(folds=4)


def test_no_person_is_both_learned_from_and_measured_on(table: FaceTable) -> None:
    held: list[str] = []
    for fold in (1, 2, 3, 4):
        train, validation = fold_of(table, replace(SPEC, fold=fold))
        assert len(train) + len(validation) == len(table) == 72
        assert not set(subjects_of(train)) & set(subjects_of(validation))
        held += sorted(set(subjects_of(validation)))
    assert sorted(held) == [f"S{i:03d}" for i in range(10, 22)]


def test_the_folds_are_the_same_in_whatever_order_the_faces_come(table: FaceTable) -> None:
    shuffled = np.random.default_rng(0).permutation(len(table))
    numbers = fold_numbers(table, SPEC)
    np.testing.assert_array_equal(fold_numbers(table.take(shuffled), SPEC), numbers[shuffled])
    sizes = np.bincount(numbers)[1:]
    assert sizes.min() >= 12


def test_too_few_people_or_names_without_people_are_refused(table: FaceTable) -> None:
    with pytest.raises(DataError, match="12 subjects, too few for 13 folds"):
        fold_numbers(table, DataRecipe(folds=13))
    with pytest.raises(DataError, match="no names of files"):
        fold_of(faces(20), SPEC)


def test_a_held_out_fold_takes_the_place_of_the_validation_split(table: FaceTable) -> None:
    notes: list[str] = []
    train, validation = rows_of(table, replace(SPEC, fold=2), notes.append)
    assert (len(train), len(validation)) == tuple(map(len, fold_of(table, replace(SPEC, fold=2))))
    assert notes == [
        f"fold 2 of 4: {len(train)} faces to train on, and {len(validation)} of other people held out."
    ]


def test_without_folds_a_folder_without_splits_says_that_there_are_some(table: FaceTable) -> None:
    with pytest.raises(DataError, match=r"no split .Training.*--folds 5"):
        with_splits_of(table, Recipe())


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"folds": 3, "fold": 4}])
def test_folds_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match=r"data\.folds must be 2 or more"):
        from_dict({"data": wrong})


@pytest.fixture
def plan(tiny: Callable[..., Recipe], tmp_path: Path) -> Path:
    """Two folds of the small recipe, one epoch each, as a file."""
    path = tmp_path / "tiny.toml"
    recipe = tiny(schedule={"epochs": 2}, data={"votes": False, "folds": 2})
    path.write_text(to_toml(recipe))
    return path


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "draw_run", lambda folder: [])


def test_a_run_a_fold_and_their_mean_and_spread(ck: Path, plan: Path, tmp_path: Path, recorder) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    asked = {"data": str(ck), "recipe": plan, "out": out, "threads": 1, "device": "cpu"}
    result = cross_validation.cross_validate(**asked, reporter=recorder)
    last, best = [], []
    for number, each in enumerate(result.folds, 1):
        with (out / f"fold-{number}" / "metrics.csv").open() as file:
            accuracies = [float(row["validation_accuracy"]) for row in csv.DictReader(file)]
        last.append(accuracies[-1])
        best.append(max(accuracies))
        assert load_recipe(out / f"fold-{number}" / "recipe.toml").data.fold == each.fold == number
        assert f"on fold {number} of 2 (n = {each.faces}" in recorder.summaries[number - 1]
    assert result.mean == pytest.approx(statistics.fmean(last))
    assert result.sd == pytest.approx(statistics.stdev(last))
    assert result.best_mean == pytest.approx(statistics.fmean(best))
    right = [a * each.faces for a, each in zip(last, result.folds, strict=True)]
    assert result.pooled == pytest.approx(sum(right) / 72)
    assert (result.subjects, result.faces) == (12, 72)
    assert json.loads((out / "folds.json").read_text())["mean"] == result.mean
    assert recorder.summaries[-1] == result.summary
    assert "2 folds, 12 subjects, 72 faces" in result.summary

    # Going on trains nothing again; starting anew in the same folder is refused.
    before = (out / "fold-1" / "last.safetensors").stat().st_mtime_ns
    assert cross_validation.resume_cross_validation(out, reporter=recorder) == result
    assert (out / "fold-1" / "last.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="--resume"):
        cross_validation.cross_validate(**asked, reporter=recorder)


def test_nothing_is_trained_where_the_people_are_not_told(plan: Path, tmp_path: Path, recorder) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    with pytest.raises(DataError, match="subject-independent"):
        cross_validation.cross_validate(data="synthetic", recipe=plan, out=out, reporter=recorder)
    assert not out.exists()
    with pytest.raises(ResumeError, match="no folds"):
        cross_validation.resume_cross_validation(tmp_path, reporter=recorder)
