"""`mien explain` as it is typed, on a run and on the model that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

import mien
from mien.cli.app import app
from mien.data.synthetic.faces import faces
from mien.detection.blazeface import BlazeFace
from mien.errors import UsageError
from mien.images.crop import FER2013_FRAMING, crop_face
from mien.images.decode import read_image
from mien.models.onnx import OnnxClassifier
from mien.models.registry import DEFAULT, find_model
from mien.training.explainer import Explainer

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


def explain(*arguments: str | Path) -> Result:
    torch.set_num_threads(1)
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_a_photo_is_explained_by_the_model_that_ships(tmp_path: Path) -> None:
    result = explain(PHOTO, "--model", "mien-lite0", "--out", tmp_path)
    assert result.exit_code == 0, result.exception
    assert result.stdout.strip() == str(tmp_path / "explain.html")
    numbers = json.loads((tmp_path / "explain.json").read_text())
    (face,) = numbers["sections"]["image_1"]
    assert face["happy"] == max(value for name, value in face.items() if name != "square")
    assert {"image_1.png", "image_1.svg", "image_1_faces.png"} <= {path.name for path in tmp_path.iterdir()}


def test_a_photo_alone_is_explained_by_the_default_model_and_a_crop_is_taken_whole(tmp_path: Path) -> None:
    result = explain(PHOTO, "--crops", "--out", tmp_path)
    assert result.exit_code == 0, result.exception
    numbers = json.loads((tmp_path / "explain.json").read_text())
    assert numbers["model"] == DEFAULT
    (face,) = numbers["sections"]["image_1"]
    picture = read_image(PHOTO)
    side = min(picture.width, picture.height)
    assert face["square"] == [(picture.width - side) // 2, (picture.height - side) // 2, side]


def test_a_photo_without_a_face_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (120, 90), "gray").save(tmp_path / "wall.png")
    explained = mien.explain("mien-tiny", tmp_path / "wall.png", threads=1)
    assert [len(each) for each in explained.images] == [0]
    assert (
        repr(explained)
        == f"<ModelExplanation of mien-tiny ({explained.layer}): {tmp_path}/wall.png: no face>"
    )


def test_an_open_model_and_its_name_explain_alike() -> None:
    by_name = mien.explain("mien-lite0", PHOTO, threads=1)
    opened = mien.explain(mien.load_model("mien-lite0"), [PHOTO.read_bytes()], threads=1)
    assert "happy" in repr(by_name)
    np.testing.assert_array_equal(by_name.images[0].explanation.maps, opened.images[0].explanation.maps)


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
    result = explain("--model", run, "--data", "synthetic", "--faces", "20", "--out", tmp_path / "why")
    assert result.exit_code == 0, result.exception
    numbers = json.loads((tmp_path / "why" / "explain.json").read_text())
    assert numbers["model"] == "run"
    tried = numbers["sections"]["deletion_test"]
    assert tried["faces"] == 20
    assert 0 < tried["whole"] <= 1


def test_nothing_to_explain_and_no_run_are_refused(tmp_path: Path) -> None:
    for arguments, said in (
        ((), "give images to explain"),
        ((PHOTO, "--model", tmp_path), "no training run"),
    ):
        result = explain(*arguments)
        assert isinstance(result.exception, UsageError)
        assert said in str(result.exception)
