"""`mien compare` as it is typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from mien.cli.app import app
from mien.errors import UsageError
from mien.testing.fakes import write_band_model


def compare(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "200"})


def write_answers(path: Path, right: float, *, faces: int = 400) -> Path:
    """The CSV of a classifier that is right on the first so many faces."""
    names = ["happy", "sad"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "name", "split", "truth", "predicted", "confidence", "in_training", *names])
        for row in range(faces):
            answer = row % 2 if row < right * faces else 1 - row % 2
            writer.writerow([row, "", "PublicTest", names[row % 2], names[answer], 0.9, "", 0.9, 0.1])
    return path


def test_two_files_of_predictions_need_no_data(tmp_path: Path) -> None:
    first, second = write_answers(tmp_path / "first.csv", 0.6), write_answers(tmp_path / "second.csv", 0.7)
    result = compare(first, second)
    assert result.exit_code == 0, result.exception
    assert "The difference is real: second is ahead of first by 10.0 points" in result.stdout
    assert "0 faces only first predicted correctly, 40 only second" in result.stdout


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    paths = [write_answers(tmp_path / name / "seed-0.csv", 0.6) for name in "ab"]
    result = compare(*paths)
    assert result.exit_code == 0, result.exception
    assert f"No difference: {paths[0]} and {paths[1]} are right equally often" in result.stdout


def test_models_are_asked_about_the_same_faces_and_the_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    models = [write_band_model(tmp_path, name=name) for name in ("one", "two")]
    out = tmp_path / "out"
    result = compare(*models, "--data", "synthetic", "--bootstrap", "50", "--out", out)
    assert result.exit_code == 0, result.exception
    assert "No difference: one and two are right equally often" in result.stdout
    numbers = json.loads((out / "compare.json").read_text())
    assert numbers["comparison"]["n"] == 350
    assert (out / "differences.svg").exists()
    assert "one, two compared" in (out / "compare.html").read_text()


def test_without_data_a_model_cannot_be_asked(tmp_path: Path) -> None:
    models = [write_band_model(tmp_path, name=name) for name in ("one", "two")]
    result = compare(*models)
    assert isinstance(result.exception, UsageError)
    assert "--data PATH" in str(result.exception)


def test_runs_are_asked_about_what_chose_their_epochs(tmp_path: Path) -> None:
    """Which data that is stands in run.json; two runs that differ in it must be told."""
    from mien.loading import trained_on

    for name, data in (("a", "synthetic"), ("b", "elsewhere.csv")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text('[data]\nvalidation = "test"\n')
        (tmp_path / name / "run.json").write_text(json.dumps({"options": {"data": data, "votes": None}}))
    known = trained_on(tmp_path / "a")
    assert known is not None
    assert (known.data, known.votes, known.validation) == ("synthetic", None, "test")
    result = compare(tmp_path / "a", tmp_path / "b")
    assert isinstance(result.exception, UsageError)
    assert "Give --data" in str(result.exception)
    assert np.all([word in str(result.exception) for word in ("synthetic", "elsewhere.csv")])


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    result = compare(tmp_path, tmp_path)
    assert isinstance(result.exception, UsageError)
    assert "without a recipe.toml" in str(result.exception)
