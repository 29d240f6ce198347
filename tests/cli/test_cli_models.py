"""`mien models`: the shipped models with their figures, and the backbones with their cost."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mien.cli.app import app
from mien.emotions import FER2013, VOTES
from mien.errors import MissingExtra
from mien.models import registry as weights
from mien.models.card import Head, read_card
from mien.runs.scaling import BACKBONES, Backbone
from mien.testing.fakes import write_band_model
from mien.training.network import cost
from mien.training.network.cost import Cost

REAL_MEASURE = cost.measure


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building twenty networks takes seconds, and is tested with scaling; here the smallest is enough."""
    costs = {backbone: Cost(1_000_000, 2_000_000, 3_000_000) for backbone in BACKBONES}

    def measure(backbone: Backbone) -> Cost:
        return REAL_MEASURE(backbone) if backbone.name == "tf_efficientnet_lite0" else costs[backbone]

    monkeypatch.setattr(cost, "measure", measure)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with one measured model and one that is not."""
    heads = (Head("fer2013", FER2013), Head("votes", VOTES, VOTES[8:]))
    path = write_band_model(tmp_path, heads=heads, name=weights.DEFAULT)
    card = read_card(path.with_suffix(".json"))
    figures: dict[str, Any] = {
        "PublicTest": {
            "fer2013": {"accuracy": 0.6543, "accuracy_ci95": [0.64, 0.67], "macro_f1": 0.601, "ece": 0.5},
            "votes": {"accuracy": 0.8321, "accuracy_ci95": [0.82, 0.845]},
            "calibration": {"fer2013": {"ece_after": 0.017}},
        }
    }
    path.with_suffix(".json").write_text(dataclasses.replace(card, figures=figures).to_json())
    write_band_model(tmp_path, name="mien-bare")
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    weights.write_hashes()
    return tmp_path


def _models(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exception is None, result.output
    return result


def test_json_lists_every_backbone_with_what_it_costs(shipped: Path) -> None:
    listed = {
        entry["name"]: entry for entry in json.loads(_models("--backbones", "--json").stdout)["backbones"]
    }
    assert list(listed) == [backbone.name for backbone in BACKBONES]
    lite0 = listed["tf_efficientnet_lite0"]
    assert (lite0["phi"], lite0["depth"], lite0["width"], lite0["resolution"]) == (0, 1, 1, 224)
    # 3.39 million: Lite0's 4.65 of the paper's code, less its classifier of 1,000 classes.
    assert lite0["parameters"] == pytest.approx(3.39e6, rel=0.01)
    assert lite0["macs"] > 15 * lite0["macs_at_48"] > 0
    assert listed["tf_efficientnetv2_s"]["phi"] is None


def test_json_holds_the_cards_of_the_shipped_models(shipped: Path) -> None:
    document = json.loads(_models("--json").stdout)
    assert [model["name"] for model in document["models"]] == [weights.DEFAULT, "mien-bare"]
    first = document["models"][0]
    assert first["figures"]["PublicTest"]["fer2013"]["accuracy"] == 0.6543
    assert first["bytes"] == (shipped / f"{weights.DEFAULT}.onnx").stat().st_size
    assert "backbones" not in document


def test_the_tables_fit_a_terminal_of_80_columns(shipped: Path) -> None:
    lines = _models("--backbones").stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert not any("…" in line for line in lines)
    for backbone in BACKBONES:
        assert any(line.split()[:1] == [backbone.name] for line in lines)


def test_figures_of_shipped_models_come_from_their_cards(shipped: Path) -> None:
    text = _models().stdout
    for figure in ("65.4%", "64.0 to 67.0", "60.1%", "0.017", "83.2%"):
        assert figure in text
    assert "not measured" in text  # of the model without figures
    assert "0.500" not in text  # the error on faces that the temperature was fitted on


def test_compound_scaling_is_explained_with_its_numbers(shipped: Path) -> None:
    text = " ".join(_models("--backbones").stdout.split())
    assert "1.2 × 1.1² × 1.15² = 1.92" in text


def test_the_shipped_models_are_listed_without_torch_and_the_backbones_need_it(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "measure", REAL_MEASURE.__wrapped__)
    monkeypatch.setitem(sys.modules, "torch", None)
    text = " ".join(_models().stdout.split())
    assert weights.DEFAULT in text
    assert "mien models --backbones" in text
    result = CliRunner().invoke(app, ["models", "--backbones"])
    assert isinstance(result.exception, MissingExtra)
    assert "pip install 'mien[train]'" in str(result.exception)
