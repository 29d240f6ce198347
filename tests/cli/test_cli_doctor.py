from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy
import pytest
from typer.testing import CliRunner

import mien
from mien.cli.app import app
from mien.cli.doctor.machine import WEIGHTS, inspect_machine
from mien.files import sha256_file
from mien.models.registry import DEFAULT, write_hashes
from mien.testing.fakes import write_band_model


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights in which everything is as it should be."""
    for name in ("blazeface-back", "face-check"):
        for kind in ("onnx", "json"):
            shutil.copy(WEIGHTS / f"{name}.{kind}", tmp_path)
    write_band_model(tmp_path, name=DEFAULT)
    monkeypatch.setattr("mien.models.registry.FOLDER", tmp_path)
    write_hashes()
    return tmp_path


def test_versions_are_those_of_the_packages() -> None:
    machine = inspect_machine()
    assert machine.mien == mien.__version__
    assert machine.packages["numpy"] == numpy.__version__
    assert "CPUExecutionProvider" in machine.providers


def test_a_whole_installation_has_no_problems(weights: Path) -> None:
    machine = inspect_machine(weights)
    assert machine.problems == ()
    names = (DEFAULT, "blazeface-back", "face-check")
    assert {model.name: model.intact for model in machine.models} == dict.fromkeys(names, True)
    assert machine.models[0].sha256 == sha256_file(weights / "blazeface-back.onnx")
    assert machine.detect_ms is not None
    assert machine.detect_ms > 0
    assert machine.classify_ms is not None
    assert machine.classify_ms > 0


@pytest.mark.parametrize("name", [DEFAULT, "blazeface-back", "face-check"])
def test_weights_that_were_changed_are_found_and_what_to_do_is_said(weights: Path, name: str) -> None:
    with (weights / f"{name}.onnx").open("ab") as file:
        file.write(b"\0")
    machine = inspect_machine(weights)
    assert {model.name for model in machine.models if not model.intact} == {name}
    assert any(f"{name}.onnx" in problem and "pip install" in problem for problem in machine.problems)


def test_a_card_that_was_changed_is_found(weights: Path) -> None:
    card = weights / f"{DEFAULT}.json"
    card.write_text(card.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert any(f"{DEFAULT}.json" in problem for problem in inspect_machine(weights).problems)


def test_a_missing_default_model_is_a_problem(weights: Path) -> None:
    (weights / f"{DEFAULT}.onnx").unlink()
    machine = inspect_machine(weights)
    assert any(DEFAULT in problem for problem in machine.problems)
    assert machine.classify_ms is None


@pytest.mark.parametrize("name", ["blazeface-back", "face-check"])
def test_a_missing_detector_or_face_check_is_a_problem(weights: Path, name: str) -> None:
    (weights / f"{name}.onnx").unlink()
    assert any(name in problem for problem in inspect_machine(weights).problems)


def test_kaggle_credentials_are_named_by_their_place_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "very-secret-token")
    assert inspect_machine().kaggle == "KAGGLE_API_TOKEN"
    for arguments in (["doctor"], ["doctor", "--json"]):
        result = CliRunner().invoke(app, arguments)
        assert "KAGGLE_API_TOKEN" in result.output
        assert "secret" not in result.output


def test_cameras_are_not_checked_where_they_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.cli.doctor.machine.sys.platform", "darwin")
    assert inspect_machine().cameras is None
    assert "not checked" in CliRunner().invoke(app, ["doctor"]).output


def test_the_json_holds_what_was_found_and_the_exit_code_says_whether_it_is_enough(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.cli.doctor.machine.WEIGHTS", weights)
    good = CliRunner().invoke(app, ["doctor", "--json"])
    assert good.exit_code == 0
    assert json.loads(good.output)["packages"]["numpy"] == numpy.__version__
    (weights / f"{DEFAULT}.onnx").unlink()
    bad = CliRunner().invoke(app, ["doctor", "--json"])
    assert bad.exit_code == 1
    assert json.loads(bad.output)["problems"]


def test_people_are_told_what_is_broken(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.cli.doctor.machine.WEIGHTS", weights)
    assert "Everything" in CliRunner().invoke(app, ["doctor"]).output
    (weights / f"{DEFAULT}.json").unlink()
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "problem:" in result.output
