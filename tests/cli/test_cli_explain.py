"""`mien explain` as it is typed, on a run and on the model that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from mien.cli.app import app
from mien.data.synthetic.faces import faces
from mien.detection.blazeface import BlazeFace
from mien.errors import UsageError
from mien.images.crop import FER2013_FRAMING, crop_face
from mien.images.decode import read_image
from mien.models.onnx import OnnxClassifier
from mien.models.registry import find_model
from mien.training.explainer import Explainer

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


def explain(*arguments: str | Path) -> Result:
    torch.set_num_threads(1)
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_a_photo_is_explained_by_the_model_that_ships(tmp_path: Path) -> None:
    result = explain("mien-lite0", PHOTO, "--out", tmp_path)
    assert result.exit_code == 0, result.exception
    assert result.stdout.strip() == str(tmp_path / "explain.html")
    numbers = json.loads((tmp_path / "explain.json").read_text())
    (face,) = numbers["sections"]["photo_1"]
    assert face["happy"] == max(value for name, value in face.items() if name != "box")
    assert {"photo_1.png", "photo_1.svg", "photo_1_faces.png"} <= {path.name for path in tmp_path.iterdir()}


def test_what_speaks_for_happy_on_a_smile_is_the_mouth() -> None:
    picture = read_image(PHOTO)
    (face,) = BlazeFace(threads=1).detect(picture.pixels)
    crop = crop_face(picture.pixels, face, find_model("mien-lite0").card.framing or FER2013_FRAMING)
    reasons = Explainer("mien-lite0", threads=1).explain(crop[None])
    assert reasons.classes[reasons.ranked[0, 0]] == "happy"
    heat = reasons.maps[0, 0]
    assert heat[24:].sum() > 0.5 * heat.sum()


def test_the_network_that_is_explained_answers_as_the_file_that_ships() -> None:
    crops = faces(12, seed=4).pixels
    explainer, onnx = Explainer("mien-lite0"), OnnxClassifier("mien-lite0", head="fer2013")
    assert explainer.classes == onnx.labels
    np.testing.assert_allclose(explainer.predict(crops), onnx.predict(crops), atol=1e-4)
    reasons = explainer.explain(crops, most=2)
    assert reasons.maps.shape == (12, 2, 48, 48)
    np.testing.assert_array_equal(reasons.ranked[:, 0], onnx.predict(crops).argmax(axis=1))


def test_a_run_is_explained_on_a_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.training import api

    monkeypatch.setattr(api, "draw_run", lambda folder: [])
    run = tmp_path / "run"
    options = ["--set", "backbone=tinynet_e", "--init", "random", "--set", "size=32", "--set", "epochs=1"]
    # The 350 of PublicTest are enough to learn from; their duplicates would be all of them.
    few = ["--set", "train=PublicTest", "--set", "without_duplicates_of=[]", "--threads", "1"]
    trained = CliRunner().invoke(app, ["train", "--data", "synthetic", *options, *few, "--out", str(run)])
    assert trained.exit_code == 0, trained.exception
    result = explain(run, "--data", "synthetic", "--faces", "20", "--out", tmp_path / "why")
    assert result.exit_code == 0, result.exception
    numbers = json.loads((tmp_path / "why" / "explain.json").read_text())
    assert numbers["model"] == "run"
    tried = numbers["sections"]["deletion_test"]
    assert tried["faces"] == 20
    assert 0 < tried["whole"] <= 1


def test_nothing_to_explain_and_no_run_are_refused(tmp_path: Path) -> None:
    for arguments, said in ((("mien-lite0",), "photos, or --data"), ((tmp_path, PHOTO), "no training run")):
        result = explain(*arguments)
        assert isinstance(result.exception, UsageError)
        assert said in str(result.exception)
