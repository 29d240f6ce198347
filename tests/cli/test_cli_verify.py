"""`mien verify` on faces whose answers are known: a true card passes, a false one or other file does not."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mien.cli.app import app
from mien.emotions import FER2013, FERPLUS_COLUMNS, VOTES
from mien.errors import UsageError, VerifyError
from mien.models.card import Head
from mien.testing.fakes import banded_face, write_band_model

FACES = 60
HEADS = (Head("fer2013", FER2013), Head("votes", VOTES, abstain=VOTES[8:]))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")


def write_faces(path: Path, *splits: str, right: int = 45) -> Path:
    """FACES faces a split, of which the band model reads the first `right` as their labels say."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for place, split in enumerate(splits):
            for i in range(FACES):
                face = banded_face(i % 7, 7)
                face[-1, -1], face[-1, -2] = i, place
                label = i % 7 if i < right else (i + 1) % 7
                writer.writerow([label, " ".join(map(str, face.ravel())), split])
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A model, 45 of 60 faces that it reads right, and what mien evaluate measured of it in its card."""
    write_faces(tmp_path / "faces.csv", "Training", "PublicTest")
    model = write_band_model(tmp_path, heads=HEADS)
    scores = tmp_path / "scores.json"
    done = CliRunner().invoke(
        app,
        ["evaluate", "--data", str(tmp_path / "faces.csv"), "--model", str(model), "--json", str(scores)],
    )
    assert done.exception is None, done.output
    edit_card(
        tmp_path,
        lambda card: card.update(figures={"PublicTest": {"fer2013": json.loads(scores.read_text())}}),
    )
    return tmp_path


def edit_card(place: Path, change: Any) -> None:
    path = place / "bands.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def verify(place: Path, *options: str, data: str = "faces.csv") -> Result:
    return CliRunner().invoke(
        app, ["verify", "--data", str(place / data), "--model", str(place / "bands.onnx"), *options]
    )


def test_a_true_card_comes_true(place: Path) -> None:
    done = verify(place)
    assert done.exception is None, done.output
    assert "All figures on the model cards were reproduced" in done.output
    assert "75.00%" in done.output
    assert "the same faces as the card" in done.output


def test_a_card_that_promises_more_fails_and_says_which_figure(place: Path) -> None:
    edit_card(
        place,
        lambda card: card["figures"]["PublicTest"]["fer2013"].update(
            accuracy=0.95, accuracy_ci95=[0.92, 0.97]
        ),
    )
    error = verify(place).exception
    assert isinstance(error, VerifyError)
    assert error.exit_code == 10
    assert "PublicTest, head fer2013: accuracy is 75.00%, but 95.00% (92.00% to 97.00%) on its card" in str(
        error
    )


def test_a_card_that_promises_less_fails_too(place: Path) -> None:
    edit_card(
        place,
        lambda card: card["figures"]["PublicTest"]["fer2013"]["deduplicated"].update(
            macro_f1=0.3, macro_f1_ci95=[0.2, 0.4]
        ),
    )
    error = verify(place).exception
    assert isinstance(error, VerifyError)
    assert "deduplicated.macro_f1" in str(error)


def test_a_card_whose_value_lies_outside_of_its_own_interval_fails(place: Path) -> None:
    edit_card(place, lambda card: card["figures"]["PublicTest"]["fer2013"].update(accuracy=0.99))
    assert isinstance(verify(place).exception, VerifyError)


def test_a_file_of_other_bytes_fails(place: Path) -> None:
    model = place / "bands.onnx"
    model.write_bytes(model.read_bytes() + b"\x00")
    error = verify(place).exception
    assert isinstance(error, VerifyError)
    assert "SHA-256" in str(error)


def test_weights_that_say_something_else_fail_though_their_hash_is_in_the_card(place: Path) -> None:
    """As if another model had been put in place, its card's hash corrected and its figures forgotten."""
    figures = json.loads((place / "bands.json").read_text())["figures"]
    upside_down = tuple(Head(head.name, head.labels[::-1], head.abstain) for head in HEADS)
    write_band_model(place, heads=upside_down)
    edit_card(place, lambda card: card.update(figures=figures))
    error = verify(place).exception
    assert isinstance(error, VerifyError)
    assert "accuracy is" in str(error)


def test_a_card_without_figures_does_not_pass(place: Path) -> None:
    edit_card(place, lambda card: card.update(figures={}))
    error = verify(place).exception
    assert isinstance(error, VerifyError)
    assert "no figures" in str(error)


def test_a_split_that_the_card_does_not_speak_of_is_shown_and_does_not_fail(place: Path) -> None:
    write_faces(place / "both.csv", "Training", "PublicTest", "PrivateTest")
    done = verify(place, data="both.csv")
    assert done.exception is None, done.output
    assert "PrivateTest, head fer2013, 60 faces; the card has no figures for it" in done.output
    assert "other data than the card's" in done.output


def test_votes_are_verified_where_they_are_given(place: Path) -> None:
    """All ten vote for what the label says; the votes head reads ten narrower bands, so it is often wrong."""
    names = {name: column for column, name in FERPLUS_COLUMNS.items()}
    with (place / "votes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *FERPLUS_COLUMNS])
        for split in ("Training", "PublicTest"):
            for i in range(FACES):
                label = FER2013[i % 7 if i < 45 else (i + 1) % 7]
                votes = dict.fromkeys(FERPLUS_COLUMNS, 0) | {names[label]: 10}
                writer.writerow([split, f"fer{i:07}.png", *votes.values()])
    scores = place / "votes.json"
    done = CliRunner().invoke(
        app,
        [
            "evaluate", "--data", str(place / "faces.csv"), "--votes", str(place / "votes.csv"), "--labels",
            "ferplus", "--model", str(place / "bands.onnx"), "--json", str(scores),
        ],
    )  # fmt: skip
    assert done.exception is None, done.output
    found = json.loads(scores.read_text())
    edit_card(place, lambda card: card["figures"]["PublicTest"].update(votes=found))
    done = verify(place, "--votes", str(place / "votes.csv"))
    assert done.exception is None, done.output
    assert "votes.accuracy" in done.output
    higher = found["votes"]["accuracy"] + 0.4
    found["votes"].update(accuracy=higher, accuracy_ci95=[higher - 0.05, higher + 0.05])
    edit_card(place, lambda card: card["figures"]["PublicTest"].update(votes=found))
    error = verify(place, "--votes", str(place / "votes.csv")).exception
    assert isinstance(error, VerifyError)
    assert "head votes: votes.accuracy" in str(error)


def test_data_without_a_test_split_are_refused(place: Path) -> None:
    write_faces(place / "training.csv", "Training")
    error = verify(place, data="training.csv").exception
    assert isinstance(error, UsageError)
    assert "Training" in str(error)


def test_the_measured_share_is_the_share(place: Path) -> None:
    """Against plain counting."""
    from mien.data import load
    from mien.models.onnx import OnnxClassifier

    faces = load(place / "faces.csv").split("PublicTest")
    answers = OnnxClassifier(place / "bands.onnx", head="fer2013").predict(faces.pixels).argmax(axis=1)
    assert np.mean(answers == faces.labels) == 0.75
