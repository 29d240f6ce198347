"""`mien evaluate` from a CSV to its table, JSON and CSV, with a real ONNX model whose answers are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mien.cli.app import app
from mien.emotions import FER2013, FERPLUS, FERPLUS_COLUMNS, VOTES
from mien.errors import CardError, DataError, UnknownModel, UsageError
from mien.models.card import Head
from mien.testing.fakes import banded_face, write_band_model

# What each face shows. The label in the data is the same, but for PublicTest's last, which shows sad.
TRAINING = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
PUBLIC = ["happy", "happy", "fear", "sad"]
LABELS = [*TRAINING, "happy", "happy", "fear", "neutral"]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FER2013 CSV of 11 faces, votes for them, and a model with both heads."""
    place = tmp_path_factory.mktemp("evaluate")
    with (place / "fer2013.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for i, (shown, label) in enumerate(zip([*TRAINING, *PUBLIC], LABELS, strict=True)):
            face = banded_face(FER2013.index(shown), 7)
            # PublicTest's first face stands in Training too; the others differ by a grey level at the edge.
            face[-1, -1] = 0 if i in (3, 7) else i
            split = "Training" if i < len(TRAINING) else "PublicTest"
            writer.writerow([FER2013.index(label), " ".join(map(str, face.ravel())), split])
    names = {name: column for column, name in FERPLUS_COLUMNS.items()}
    with (place / "votes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *FERPLUS_COLUMNS])
        # All vote for what the label says, but three of PublicTest's last, who are as many as the rest.
        for i, label in enumerate(LABELS):
            split = "Training" if i < len(TRAINING) else "PublicTest"
            votes = dict.fromkeys(FERPLUS_COLUMNS, 0) | {names[label]: 10}
            if i == len(LABELS) - 1:
                votes = dict.fromkeys(FERPLUS_COLUMNS, 0) | {"neutral": 5, "sadness": 5}
            writer.writerow([split, f"fer{i:07}.png", *votes.values()])
    heads = (Head("fer2013", FER2013), Head("votes", VOTES, abstain=VOTES[8:]))
    write_band_model(place, heads=heads)
    write_band_model(place, name="seven")
    return place


def run(folder: Path, *options: str, model: str = "bands.onnx", data: str = "fer2013.csv") -> Result:
    return CliRunner().invoke(
        app, ["evaluate", "--model", str(folder / model), "--data", str(folder / data), *options]
    )


def ask(folder: Path, *options: str, model: str = "bands.onnx") -> dict[str, object]:
    place = folder / "scores.json"
    result = run(folder, *options, "--json", str(place), model=model)
    assert result.exception is None, result.output
    found: dict[str, object] = json.loads(place.read_text(encoding="utf-8"))
    return found


def test_the_scores_are_those_of_the_faces(folder):
    found = ask(folder)
    assert found["n"] == 4
    assert found["accuracy"] == 0.75
    assert found["deduplicated"]["n"] == 3
    assert found["deduplicated"]["accuracy"] == pytest.approx(2 / 3)
    counts = np.array(found["confusion"]["counts"])
    assert counts[FER2013.index("neutral"), FER2013.index("sad")] == 1
    assert counts.trace() == 3
    assert (found["model"], found["head"], found["split"], found["votes"]) == (
        "bands",
        "fer2013",
        "PublicTest",
        None,
    )


def test_the_table_says_what_the_json_says(folder):
    output = run(folder).output
    assert "bands, head fer2013" in output
    assert "75.0%" in output
    assert "66.7%" in output
    assert "no duplicates of Training" in output


def test_the_only_split_is_taken_and_named(folder, tmp_path):
    """A folder without splits used to fail for want of PublicTest."""
    for name in ("happy", "sad"):
        (tmp_path / "faces" / name).mkdir(parents=True)
        Image.fromarray(banded_face(FER2013.index(name), 7)).save(tmp_path / "faces" / name / "a.png")
    result = run(folder, "--data", str(tmp_path / "faces"))
    assert result.exception is None, result.output
    assert "The data has one split, all, which is scored." in result.output
    assert "one split" not in run(folder).output


def test_of_several_splits_without_publictest_one_must_be_named(folder, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "faces" / split / "happy").mkdir(parents=True)
        Image.fromarray(banded_face(3, 7)).save(tmp_path / "faces" / split / "happy" / "a.png")
    refused = run(folder, "--data", str(tmp_path / "faces")).exception
    assert isinstance(refused, UsageError)
    assert "--split" in str(refused)


def test_both_heads_are_scored_from_one_pass_over_each_face(folder, monkeypatch):
    from mien.models.onnx import OnnxModel

    seen: list[bytes] = []
    predict = OnnxModel.predict

    def counted(model: OnnxModel, crops: np.ndarray) -> dict[str, np.ndarray]:
        seen.extend(face.tobytes() for face in crops)
        return predict(model, crops)

    monkeypatch.setattr(OnnxModel, "predict", counted)
    found = ask(folder, "--votes", str(folder / "votes.csv"))
    assert (found["n"], found["votes"]["n"], found["multilabel"]["n"]) == (4, 3, 4)
    assert len(seen) == len(set(seen)) == 4


def test_another_split_can_be_asked_for(folder):
    found = ask(folder, "--split", "Training")
    assert (found["n"], found["accuracy"], found["deduplicated"]) == (7, 1.0, None)


def test_votes_add_a_block_that_the_votes_head_answers(folder):
    found = ask(folder, "--votes", str(folder / "votes.csv"))
    assert found["n"] == 4
    assert (found["votes"]["n"], found["votes"]["head"]) == (3, "votes")


def test_a_model_without_a_votes_head_is_still_scored_on_labels(folder):
    found = ask(folder, "--votes", str(folder / "votes.csv"), model="seven.onnx")
    assert (found["n"], found["votes"]) == (4, None)


def test_ferplus_labels_score_the_votes_head_on_the_majority(folder):
    found = ask(folder, "--votes", str(folder / "votes.csv"), "--labels", "ferplus")
    assert (found["head"], found["n"], found["left_out"]) == ("votes", 3, {"no majority": 1})
    assert found["confusion"]["labels"] == list(FERPLUS)


def test_another_head_can_be_asked_for(folder):
    found = ask(folder, "--votes", str(folder / "votes.csv"), "--labels", "ferplus", "--head", "fer2013")
    assert (found["head"], found["accuracy"], found["votes"]["head"]) == ("fer2013", 1.0, "fer2013")
    assert found["confusion"]["labels"] == list(FER2013)


def test_the_predictions_are_written(folder):
    place = folder / "faces.csv"
    assert run(folder, "--predictions", str(place)).exception is None
    rows = list(csv.DictReader(place.read_text(encoding="utf-8").splitlines()))
    assert [row["predicted"] for row in rows] == PUBLIC
    assert [row["in_training"] for row in rows] == ["1", "0", "0", "0"]
    assert [row["row"] for row in rows] == ["7", "8", "9", "10"]


def test_batches_change_nothing(folder):
    assert ask(folder, "--batch-size", "1") == ask(folder, "--batch-size", "256")


def test_views_of_each_face_are_averaged_and_reported_as_such(folder):
    assert ask(folder)["tta"] is None
    found = ask(folder, "--tta")
    assert found["tta"] == {"crops": 10, "positions": 5, "crop_share": 0.9167, "flip": True}
    assert found["n"] == 4
    assert found["nll"] != ask(folder)["nll"]
    assert "mean of the probabilities of 10 crops" in run(folder, "--tta").output


def test_intervals_repeat_and_follow_the_resamples(folder):
    assert ask(folder, "--bootstrap", "50") == ask(folder, "--bootstrap", "50")


def test_synthetic_faces_can_be_scored(folder):
    result = CliRunner().invoke(
        app, ["evaluate", "--model", str(folder / "bands.onnx"), "--data", "synthetic"]
    )
    assert result.exception is None, result.output
    assert "PublicTest" in result.output


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--split", "PrivateTest"], DataError, "PrivateTest"),
        (["--head", "ages"], CardError, "no head 'ages'"),
        (["--labels", "ferplus"], UsageError, "--votes"),
        (["--json", "absent/scores.json"], UsageError, "no folder absent"),
        (["--model", "absent.onnx"], UnknownModel, "absent"),
    ],
)
def test_what_cannot_be_done_is_said(folder, options, error, message):
    result = run(folder, *options)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)


def test_faces_of_contempt_are_never_left_out_unsaid(folder, tmp_path):
    for name, shown in (("happiness", "happy"), ("contempt", "sad")):
        (tmp_path / "faces" / "test" / name).mkdir(parents=True)
        face = Image.fromarray(banded_face(FER2013.index(shown), 7))
        face.save(tmp_path / "faces" / "test" / name / "1.png")
    place = tmp_path / "scores.json"
    options = ["--data", str(tmp_path / "faces"), "--split", "test", "--json", str(place)]
    refused = run(folder, *options, model="seven.onnx")
    assert isinstance(refused.exception, UsageError)
    assert "contempt (1)" in str(refused.exception)
    result = run(folder, *options, "--known-only", model="seven.onnx")
    assert result.exception is None, result.output
    assert "left out: 1 contempt" in result.output
    assert json.loads(place.read_text())["left_out"] == {"contempt": 1}


def test_a_training_run_is_scored_by_its_best_network(folder, tmp_path):
    from mien.runs.recipe import load_recipe, parse_changes, to_toml
    from mien.training.checkpoint import Checkpoint, write_checkpoint
    from mien.training.classifier import TorchClassifier
    from mien.training.network.model import build_network

    changes = ("network.backbone=tinynet_e", "network.init=random", "network.size=48")
    recipe = load_recipe("quick", parse_changes(changes))
    network = build_network(recipe.network, ("fer2013", "votes"), seed=3, pretrained=False)
    facts = {"size": 48, "heads": ["fer2013", "votes"], "epoch": {}, "ema": False}
    write_checkpoint(tmp_path / "best.safetensors", Checkpoint(network.state_dict(), facts))
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    place = tmp_path / "faces.csv"
    result = run(
        folder, "--model", str(tmp_path), "--votes", str(folder / "votes.csv"), "--predictions", str(place)
    )
    assert result.exception is None, result.output
    assert "head votes" in result.output
    rows = list(csv.DictReader(place.read_text(encoding="utf-8").splitlines()))
    shown = np.stack([banded_face(FER2013.index(name), 7) for name in PUBLIC])
    shown[:, -1, -1] = [0, 8, 9, 10]
    found = np.array([[row[name] for name in FER2013] for row in rows], np.float32)
    np.testing.assert_allclose(found, TorchClassifier(tmp_path).predict(shown), atol=1e-6)


def test_a_folder_that_is_no_run_is_named(folder):
    result = run(folder, model="")
    assert isinstance(result.exception, UsageError)
    assert "no training run" in str(result.exception)


def test_one_page_of_figures_and_all_numbers_are_written(folder, tmp_path):
    result = run(
        folder, "--votes", str(folder / "votes.csv"), "--bootstrap", "20", "--out", str(tmp_path / "o")
    )
    assert result.exception is None, result.output
    assert "evaluate.html" in result.output
    found = json.loads((tmp_path / "o" / "evaluate.json").read_text(encoding="utf-8"))
    assert found["evaluation"]["accuracy"] == 0.75
    assert found["sections"]["confusion"]["labels"] == list(FER2013)
    for name in set(found["sections"]) - {"fairness"}:
        assert (tmp_path / "o" / f"{name}.png").is_file()


def test_yes_or_no_questions_are_scored_from_the_same_probabilities(folder):
    found = ask(folder, "--binary", "happy", "--binary", "negative")
    assert list(found["binary"]) == ["happy", "negative"]
    assert found["binary"]["happy"]["accuracy"] == 1.0
    # Happy twice and fear once; neutral is on neither side.
    assert found["binary"]["negative"]["n"] == 3
    assert found["binary"]["negative"]["left_out"] == {"neutral": 1}
    assert "always the more frequent class" in run(folder, "--binary", "happy").output


def test_groups_come_from_the_file_and_without_it_fairness_is_unmeasured(folder, tmp_path):
    output = run(folder).output
    assert "Fairness is unmeasured" in output
    assert ask(folder)["groups"] is None
    path = tmp_path / "groups.csv"
    path.write_text("row,age\n7,old\n8,old\n9,young\n10,young\n")
    found = ask(folder, "--groups", str(path), "--minimum-n", "2")
    ages = found["groups"]["age"]
    assert (ages["groups"]["old"]["accuracy"], ages["groups"]["young"]["accuracy"]) == (1.0, 0.5)
    assert (ages["gap"], ages["minimum_n"]) == (0.5, 2)
    assert found["fairness"] == "measured by group"
    assert "unmeasured" not in run(folder, "--groups", str(path), "--minimum-n", "2").output


def test_robustness_is_measured_where_it_is_asked_for(folder):
    assert ask(folder)["robustness"] is None
    found = ask(folder, "--robustness")["robustness"]
    assert (found["clean"], found["n"], found["seed"]) == (0.75, 4, 0)
    assert [len(each["accuracy"]) for each in found["corruptions"]] == [5] * 9
    assert found == ask(folder, "--robustness")["robustness"]
    assert ask(folder, "--robustness-faces", "2")["robustness"]["n"] == 2


def test_several_labels_are_scored_on_faces_without_a_majority_too(folder):
    found = ask(folder, "--votes", str(folder / "votes.csv"))
    assert (found["votes"]["n"], found["multilabel"]["n"], found["vote_ranking"]["n"]) == (3, 4, 4)
    assert found["multilabel"]["mean_labels"] == 1.25
    higher = ask(folder, "--votes", str(folder / "votes.csv"), "--vote-threshold", "0.6")
    assert (higher["multilabel"]["n"], higher["multilabel"]["vote_threshold"]) == (3, 0.6)


def test_folders_of_another_data_set_are_read_by_a_label_map(folder, tmp_path):
    """RAF-DB's folders are numbers: 4 is happiness, 5 sadness."""
    for number, shown in (("4", "happy"), ("5", "sad")):
        (tmp_path / "DATASET" / "test" / number).mkdir(parents=True)
        face = Image.fromarray(banded_face(FER2013.index(shown), 7))
        face.save(tmp_path / "DATASET" / "test" / number / "test_0001_aligned.png")
    options = ["--data", str(tmp_path / "DATASET"), "--split", "test"]
    assert "label map" in str(run(folder, *options).exception)
    place = tmp_path / "scores.json"
    result = run(folder, *options, "--label-map", "raf-db", "--json", str(place))
    assert result.exception is None, result.output
    found = json.loads(place.read_text())
    assert (found["n"], found["accuracy"]) == (2, 1.0)
    mine = tmp_path / "map.csv"
    mine.write_text("folder,emotion\n4,sad\n5,happiness\n")
    result = run(folder, *options, "--label-map", str(mine), "--json", str(place))
    assert result.exception is None, result.output
    assert json.loads(place.read_text())["accuracy"] == 0.0


def test_a_run_that_was_trained_on_a_question_is_scored_on_it(folder, tmp_path):
    from mien.runs.recipe import load_recipe, parse_changes, to_toml
    from mien.training.checkpoint import Checkpoint, write_checkpoint
    from mien.training.network.model import build_network

    changes = (
        "network.backbone=tinynet_e",
        "network.init=random",
        "network.size=48",
        "data.binary=happy",
        "data.votes=false",
    )
    recipe = load_recipe("quick", parse_changes(changes))
    network = build_network(recipe.network, ("happy",), seed=3, pretrained=False)
    facts = {"size": 48, "heads": ["happy"], "epoch": {}, "ema": False}
    write_checkpoint(tmp_path / "best.safetensors", Checkpoint(network.state_dict(), facts))
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    place = tmp_path / "scores.json"
    result = run(folder, "--model", str(tmp_path), "--json", str(place))
    assert result.exception is None, result.output
    found = json.loads(place.read_text())
    assert (found["head"], found["n"]) == ("happy", 4)
    assert found["confusion"]["labels"] == ["not happy", "happy"]
