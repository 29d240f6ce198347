"""`mien.train`: a recipe and faces in, a typed result out, silent unless a reporter is given."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mien
from mien.data.table import FaceTable
from mien.errors import RecipeError, ResumeError, UsageError
from mien.runs.recipe import Recipe, load_recipe
from mien.training import api
from mien.training.result import TrainResult


@pytest.fixture
def trained(
    tiny: Callable[..., Recipe], few_faces: FaceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TrainResult]:
    """Trains the small recipe on the few faces by `mien.train`."""
    monkeypatch.setattr(api, "draw_run", lambda folder: [folder / "training.png"])

    def run(**options: Any) -> TrainResult:
        return mien.train(tiny(), data=few_faces, out=tmp_path / "run", device="cpu", threads=1, **options)

    return run


def test_a_recipe_and_a_table_give_a_run_that_can_be_loaded(
    trained: Callable[..., TrainResult],
    few_faces: FaceTable,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = trained(**{"schedule.epochs": 1, "seed": 5})
    assert (run.folder, run.epochs, run.ended) == (tmp_path / "run", 1, "complete")
    assert run.best == run.history[0]
    assert (run.validation_faces, run.figures) == (12, (tmp_path / "run" / "training.png",))
    assert run.recipe == load_recipe(tmp_path / "run" / "recipe.toml")
    assert (run.recipe.schedule.epochs, run.recipe.loop.seed) == (1, 5)
    assert repr(run) == f"<TrainResult {run.summary}>"
    assert f"{run.best.validation_accuracy:.2%} on PublicTest (n = 12, seed 5, epoch 1 of 1)" in repr(run)
    assert os.fspath(run) == str(tmp_path / "run")
    model = mien.load_model(run)
    predicted = model.predict(few_faces.split("PublicTest").pixels)["fer2013"].argmax(axis=1)
    right = np.mean(predicted == few_faces.split("PublicTest").labels)
    assert right == pytest.approx(run.best.validation_accuracy)
    assert capfd.readouterr() == ("", "")


def test_without_a_reporter_epochs_and_the_summary_go_to_the_log(
    trained: Callable[..., TrainResult], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="mien.training"):
        run = trained(epochs=1)
    messages = [record.getMessage() for record in caplog.records]
    assert any(message.startswith("epoch 1/1: train loss") for message in messages)
    assert messages[-1] == run.summary


def test_a_run_of_a_table_is_resumed_with_the_table(
    trained: Callable[..., TrainResult], few_faces: FaceTable
) -> None:
    """run.json cannot name it."""
    run = trained(epochs=1)
    assert json.loads((run.folder / "run.json").read_text())["options"]["data"] == ""
    with pytest.raises(ResumeError, match="does not name the data"):
        api.resume(run.folder)
    assert api.resume(run.folder, data=few_faces).history == run.history


def test_what_belongs_to_a_path_is_refused_with_a_table(trained: Callable[..., TrainResult]) -> None:
    for option in ({"votes": "fer2013new.csv"}, {"label_map": "raf-db"}):
        with pytest.raises(UsageError, match="belong to a path"):
            trained(**option)


def test_a_change_that_no_recipe_has_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"unknown recipe key 'epohcs'\. Did you mean 'epochs'\?"):
        mien.train("quick", data=tmp_path / "absent.csv", epohcs=1)
