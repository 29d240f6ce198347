"""`mien export` from a run's folder and a CSV to ONNX files and complete cards."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from mien.cli.app import app
from mien.data import load
from mien.data.synthetic.faces import faces
from mien.emotions import FERPLUS_COLUMNS, VOTES
from mien.errors import MissingExtra, ModelError, UsageError
from mien.evaluation.calibration.conformal import prediction_set
from mien.evaluation.calibration.temperature import match_confidence, split_half
from mien.evaluation.metrics.classification import accuracy, confusion
from mien.files import sha256_file
from mien.models.card import read_card
from mien.models.onnx import OnnxClassifier
from mien.models.tta import TtaClassifier
from mien.runs.environment import describe
from mien.runs.history import Epoch
from mien.runs.recipe import from_dict, to_toml
from mien.training.checkpoint import Checkpoint, write_checkpoint
from mien.training.network.model import build_network


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "120")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fer2013.csv and votes.csv of 150 drawn faces, and the folder of a run on them."""
    folder = tmp_path_factory.mktemp("export")
    table = faces(150, seed=2)
    splits = ["Training"] * 40 + ["PublicTest"] * 110
    with (folder / "fer2013.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for label, face, split in zip(table.labels, table.pixels, splits, strict=True):
            writer.writerow([label, " ".join(map(str, face.ravel())), split])
    with (folder / "votes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *FERPLUS_COLUMNS])
        for i, (votes, split) in enumerate(zip(table.votes, splits, strict=True)):
            counts = [votes[VOTES.index(name)] for name in FERPLUS_COLUMNS.values()]
            writer.writerow([split, f"fer{i:07}.png", *counts])
    _write_run(folder)
    return folder


def _write_run(folder: Path) -> None:
    """A network as it is initialised, saved as a run saves its best."""
    recipe = from_dict({"name": "small", "network": {"backbone": "test_efficientnet", "init": "random"}})
    heads = ("fer2013", "votes")
    run = folder / "run"
    run.mkdir()
    table = load(folder / "fer2013.csv", votes=folder / "votes.csv")
    asked = {"data": str(folder / "fer2013.csv"), "votes": str(folder / "votes.csv")}
    facts = {
        **describe(recipe, table, device="cpu", threads=1, processes=1, torch_version="2.0"),
        "options": asked,
    }
    (run / "run.json").write_text(json.dumps(facts))
    (run / "recipe.toml").write_text(to_toml(recipe))
    epoch = asdict(Epoch(1, 48, 1e-3, 2.0, 0.2, 2.0, 0.2, None, 0.0, 1.0, 10.0, 5.0, True))
    network = build_network(recipe.network, heads, seed=1)
    # As it is initialised it says the same of every face.
    with torch.no_grad():
        for head in network.heads.values():
            head.weight.mul_(40)
    facts = {"epoch": epoch, "size": 48, "heads": heads, "ema": False}
    write_checkpoint(run / "best.safetensors", Checkpoint(network.state_dict(), facts))


def _export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def done(place: Path) -> Result:
    """What the command said; it used the data that the run was trained on."""
    result = _export(place / "run", "--int8")
    assert result.exception is None, result.output
    return result


def test_both_models_and_their_cards_are_in_the_run(place: Path, done: Result) -> None:
    for name in ("mien-small", "mien-small-int8"):
        card = read_card(place / "run" / f"{name}.json")
        assert card.name == name
        assert card.sha256 == sha256_file(place / "run" / f"{name}.onnx")
    assert not [entry.name for entry in (place / "run").iterdir() if entry.name.startswith(".")]


def test_the_screen_says_what_was_proved_and_measured(done: Result) -> None:
    text = " ".join(done.output.split())
    assert "agree on PublicTest, head votes: 110 faces" in text
    assert "eight bits against float32 on PublicTest, head fer2013" in text
    assert text.count("ECE before") == 2


def test_the_card_frames_faces_as_fer2013_does(place: Path, done: Result) -> None:
    framing = read_card(place / "run" / "mien-small.json").framing
    assert framing is not None
    assert 0.5 < framing.width <= 1.2


@pytest.mark.parametrize("name", ["mien-small", "mien-small-int8"])
def test_the_temperature_makes_one_half_of_the_split_as_sure_as_it_is_right(
    place: Path, done: Result, name: str
) -> None:
    """Fitted anew here, on the float32 logits of the file itself."""
    path = place / "run" / f"{name}.onnx"
    head = read_card(path.with_suffix(".json")).head("fer2013")
    faces = load(place / "fer2013.csv").split("PublicTest")
    logits = OnnxClassifier(path, head="fer2013").logits(faces.pixels).astype(np.float64)
    fitted = split_half(faces.pixel_keys)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    assert head.temperature == pytest.approx(
        match_confidence(probabilities[fitted], faces.labels[fitted]), rel=1e-3
    )
    assert head.temperature != 1


def test_the_figures_are_what_the_calibrated_model_does(place: Path, done: Result) -> None:
    card = read_card(place / "run" / "mien-small.json")
    figures = card.figures["PublicTest"]
    faces = load(place / "fer2013.csv").split("PublicTest")
    answers = OnnxClassifier(place / "run" / "mien-small.onnx", head="fer2013").predict(faces.pixels)
    assert figures["fer2013"]["accuracy"] == pytest.approx(float(accuracy(confusion(answers, faces.labels))))
    own = answers[np.arange(len(faces)), faces.labels]
    assert figures["fer2013"]["nll"] == pytest.approx(-np.log(own).mean(), rel=1e-4)
    assert figures["votes"]["labels"] == "ferplus"
    assert figures["votes"]["votes"]["kl"] > 0
    assert set(figures["calibration"]) == {"fer2013", "votes", "combined"}


def test_the_card_holds_the_curve_of_accuracy_against_coverage(place: Path, done: Result) -> None:
    """Anew from the file's logits: the surest faces first, those of Training left out (there are none)."""
    card = read_card(place / "run" / "mien-small.json")
    curve = card.figures["PublicTest"]["coverage"]["fer2013"]
    faces = load(place / "fer2013.csv").split("PublicTest")
    logits = OnnxClassifier(place / "run" / "mien-small.onnx", head="fer2013").logits(faces.pixels)
    scaled = logits.astype(np.float64) / card.head("fer2013").temperature
    confidence = 1 / np.exp(scaled - scaled.max(1, keepdims=True)).sum(1)
    right = (logits.argmax(1) == faces.labels)[np.argsort(-confidence)]
    for point in (29, 49, 79, 99):
        answered = int(np.ceil(110 * (point + 1) / 100))
        assert curve["coverage"][point] == pytest.approx(answered / 110, abs=1e-4)
        assert curve["accuracy"][point] == pytest.approx(right[:answered].mean(), abs=0.04)
    assert (curve["n"], len(curve["coverage"])) == (110, 100)
    assert curve["accuracy"][-1] == pytest.approx(card.figures["PublicTest"]["fer2013"]["accuracy"], abs=1e-4)


def test_the_card_holds_figures_with_ten_views_of_each_face(place: Path, done: Result) -> None:
    card = read_card(place / "run" / "mien-small.json")
    found = card.figures["PublicTest"]["tta"]["fer2013"]
    faces = load(place / "fer2013.csv").split("PublicTest")
    answers = TtaClassifier(OnnxClassifier(place / "run" / "mien-small.onnx", head="fer2013")).predict(
        faces.pixels
    )
    assert (found["crops"], found["n"]) == (10, 110)
    assert found["accuracy"] == pytest.approx((answers.argmax(1) == faces.labels).mean(), abs=1e-6)


def test_the_card_says_how_long_a_face_takes_and_on_what(place: Path, done: Result) -> None:
    latency = read_card(place / "run" / "mien-small.json").latency
    assert 0 < latency["least_ms"] <= latency["median_ms"]
    assert latency["cpu_ms"] > 0
    assert latency["threads"] == 1
    assert latency["processor"]


def test_votes_are_calibrated_on_faces_without_a_majority_too(place: Path, done: Result) -> None:
    figures = read_card(place / "run" / "mien-small.json").figures["PublicTest"]
    faces = load(place / "fer2013.csv", votes=place / "votes.csv").split("PublicTest")
    emotions = int((faces.votes[:, :8].sum(1) > 0).sum())
    found = figures["calibration"]["votes"]
    assert found["n_fitted"] + found["n_measured"] == figures["cross_validated"]["votes"]["n"] == emotions
    assert found["n_sets"] <= found["n_measured"]


def test_conformal_sets_of_the_card_hold_the_truth_as_often_as_was_measured(
    place: Path, done: Result
) -> None:
    card = read_card(place / "run" / "mien-small.json")
    faces = load(place / "fer2013.csv").split("PublicTest")
    unseen = ~split_half(faces.pixel_keys)
    answers = OnnxClassifier(place / "run" / "mien-small.onnx", head="fer2013").predict(faces.pixels[unseen])
    assert set(card.head("fer2013").conformal) == {"0.80", "0.90", "0.95"}
    for fit in card.figures["PublicTest"]["calibration"]["fer2013"]["conformal"]:
        members = prediction_set(answers, card.head("fer2013").conformal[f"{fit['coverage']:.2f}"] + 1e-6)
        held = members[np.arange(len(answers)), faces.labels[unseen]].mean()
        assert held == pytest.approx(fit["measured_coverage"], abs=0.02)


def test_without_calibration_the_card_has_no_figures(place: Path, tmp_path: Path) -> None:
    result = _export(
        place / "run", "--out", tmp_path / "plain.onnx", "--name", "bare", "--no-calibrate", "--data",
        place / "fer2013.csv",
    )  # fmt: skip
    assert result.exception is None, result.output
    card = read_card(tmp_path / "plain.json")
    assert (card.name, card.figures) == ("bare", {})
    assert all(head.temperature == 1 for head in card.heads)


def test_a_run_that_does_not_say_where_its_faces_were_asks_for_them(place: Path, tmp_path: Path) -> None:
    for name in ("recipe.toml", "best.safetensors"):
        (tmp_path / name).write_bytes((place / "run" / name).read_bytes())
    result = _export(tmp_path)
    assert isinstance(result.exception, UsageError)
    assert "--data" in str(result.exception)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    result = _export(tmp_path, "--data", "synthetic")
    assert isinstance(result.exception, ModelError)
    assert "is no training run" in str(result.exception)


def test_a_file_of_another_kind_is_refused_before_any_work(place: Path, tmp_path: Path) -> None:
    result = _export(place / "run", "--out", tmp_path / "model.pt")
    assert isinstance(result.exception, UsageError)
    assert ".onnx" in str(result.exception)


def test_without_torch_it_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mien.exporting.onnx", None)
    result = _export(place / "run")
    assert isinstance(result.exception, MissingExtra)
    assert "mien[train]" in str(result.exception)
