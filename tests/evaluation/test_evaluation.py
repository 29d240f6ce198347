"""The report: its schema, its duplicates, its files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

import mien
from mien.data.table import FaceTable
from mien.emotions import FER2013, FERPLUS, VOTES
from mien.errors import UsageError
from mien.evaluation.predictions import Predictions, predict_split
from mien.evaluation.result import DataSource, Evaluation, score_predictions, write_json, write_predictions
from mien.testing.fakes import FakeClassifier, numbered_faces

# Those who read the JSON count on these; docs/evaluation.md explains them.
SCORES = [
    "accuracy",
    "accuracy_ci95",
    "macro_f1",
    "macro_f1_ci95",
    "macro_precision",
    "macro_recall",
    "balanced_accuracy",
    "top2_accuracy",
    "ece",
    "ece_noise",
    "adaptive_ece",
    "nll",
    "brier",
    "n",
    "per_class",
    "confusion",
    "subjects",
]
REPORT = [
    *SCORES,
    "deduplicated",
    "votes",
    "model",
    "head",
    "labels",
    "split",
    "data",
    "left_out",
    "tta",
    "mien",
]
VOTE_SCORES = [
    "accuracy",
    "accuracy_ci95",
    "macro_f1",
    "ece",
    "ece_voters",
    "kl",
    "kl_baseline",
    "kl_reduction",
    "baseline_smoothing",
    "n",
    "head",
]


@pytest.fixture
def table() -> FaceTable:
    """300 Training and 200 PublicTest faces with votes; PublicTest's first 60 stand in Training too."""
    rng = np.random.default_rng(1)
    votes = np.zeros((500, 10), np.uint8)
    votes[:, :8] = rng.multinomial(10, rng.dirichlet(np.full(8, 0.2), size=500))
    return FaceTable(
        numbered_faces([*range(300), *range(60), *range(300, 440)]),
        rng.integers(0, 7, 500),
        np.array(["Training"] * 300 + ["PublicTest"] * 200),
        np.arange(500),
        votes=votes,
        source="fer2013.csv",
    )


def judge(table: FaceTable, *, votes: bool = False) -> Predictions:
    labels = VOTES if votes else FER2013
    answers = np.random.default_rng(2).dirichlet(np.ones(len(labels)), size=440).astype(np.float32)
    return predict_split(
        FakeClassifier.from_table(answers, labels=labels),
        table,
        "PublicTest",
        head="votes" if votes else "fer2013",
        labels="ferplus" if votes else "fer2013",
    )


def report(table: FaceTable, *, voted: bool = True) -> Evaluation:
    return score_predictions(
        judge(table),
        np.random.default_rng(0),
        data=DataSource(table.source, table.sha256),
        voted=judge(table, votes=True) if voted else None,
    )


def test_the_keys_of_the_json_stay(table, tmp_path):
    write_json(report(table), tmp_path / "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert list(found) == REPORT
    assert list(found["deduplicated"]) == SCORES
    assert list(found["votes"]) == VOTE_SCORES
    assert list(found["data"]) == ["source", "sha256"]
    assert list(found["per_class"]) == list(FER2013) == found["confusion"]["labels"]
    assert list(found["per_class"]["angry"]) == ["precision", "recall", "f1", "support"]
    assert np.shape(found["confusion"]["counts"]) == (7, 7)
    assert [len(found[key]) for key in ("accuracy_ci95", "macro_f1_ci95")] == [2, 2]
    assert (found["model"], found["head"], found["labels"], found["split"], found["mien"]) == (
        "fake",
        "fer2013",
        "fer2013",
        "PublicTest",
        mien.__version__,
    )
    assert found["data"] == {"source": "fer2013.csv", "sha256": table.sha256}


def test_every_key_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    missing = [
        key for key in {*REPORT, *VOTE_SCORES, "support", "counts", "sha256"} if f"`{key}`" not in page
    ]
    assert not missing


def test_the_scores_are_scikit_learns(table):
    judged, found = judge(table), report(table).to_dict()
    answers = judged.probabilities.argmax(axis=1)
    expected = sk.classification_report(
        judged.truth, answers, labels=range(7), target_names=FER2013, output_dict=True, zero_division=0
    )
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(judged.truth, answers))
    assert found["macro_f1"] == pytest.approx(expected["macro avg"]["f1-score"])
    assert found["macro_precision"] == pytest.approx(expected["macro avg"]["precision"])
    assert found["macro_recall"] == found["balanced_accuracy"]
    assert found["macro_recall"] == pytest.approx(expected["macro avg"]["recall"])
    for name in FER2013:
        assert found["per_class"][name]["f1"] == pytest.approx(expected[name]["f1-score"])
        assert found["per_class"][name]["support"] == expected[name]["support"]
    assert sum(map(sum, found["confusion"]["counts"])) == found["n"] == 200


def test_duplicates_of_training_are_left_out_of_deduplicated(table):
    judged, found = judge(table), report(table)
    assert found.deduplicated is not None
    assert found.deduplicated.n == 140
    rest = slice(60, None)
    answers = judged.probabilities[rest].argmax(axis=1)
    assert found.deduplicated.accuracy == pytest.approx(sk.accuracy_score(judged.truth[rest], answers))
    np.testing.assert_array_equal(
        found.deduplicated.confusion, sk.confusion_matrix(judged.truth[rest], answers, labels=range(7))
    )


def test_deduplicated_is_null_where_there_is_no_training_to_compare_with(table):
    found = report(table.take(table.splits == "PublicTest"))
    assert found.to_dict()["deduplicated"] is None


def test_deduplicated_is_null_where_every_face_is_a_duplicate(table):
    seen = np.arange(500) < 360
    assert report(table.take(seen)).to_dict()["deduplicated"] is None


def test_votes_are_scored_with_the_head_that_was_asked(table):
    found = report(table).votes
    assert found is not None
    assert found.head == "votes"
    assert 0 < found.n <= 200


def test_without_votes_the_report_says_null(table):
    assert report(table, voted=False).to_dict()["votes"] is None


def test_a_report_against_the_majority_holds_the_votes_too(table):
    found = score_predictions(judge(table, votes=True), np.random.default_rng(0), data=DataSource("x", "y"))
    assert found.votes is not None
    assert found.votes.accuracy == found.scores.accuracy
    assert found.votes.n + found.left_out.get("no majority", 0) == 200
    assert list(found.scores.per_class) == list(FERPLUS)


def test_the_same_seed_gives_the_same_report(table):
    assert report(table).to_dict() == report(table).to_dict()


def test_the_predictions_come_back_from_their_csv(table, tmp_path):
    judged = judge(table)
    write_predictions(judged, tmp_path / "faces.csv")
    rows = list(csv.DictReader((tmp_path / "faces.csv").read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == [
        *("row", "name", "split", "truth", "predicted", "confidence", "in_training", "subject"),
        *FER2013,
    ]
    back = np.array([[row[name] for name in FER2013] for row in rows], np.float32)
    np.testing.assert_array_equal(back, judged.probabilities)
    assert [int(row["row"]) for row in rows] == judged.faces.rows.tolist()
    assert [row["in_training"] for row in rows] == ["1"] * 60 + ["0"] * 140
    assert {row["subject"] for row in rows} == {""}
    assert [row["truth"] for row in rows] == [FER2013[i] for i in judged.truth]
    assert [row["predicted"] for row in rows] == [FER2013[i] for i in back.argmax(axis=1)]


def test_a_report_replaces_an_older_one_and_leaves_nothing_beside_it(table, tmp_path):
    place = tmp_path / "scores.json"
    place.write_text("old")
    write_json(report(table), place)
    assert json.loads(place.read_text())["n"] == 200
    assert list(tmp_path.iterdir()) == [place]


def test_a_place_that_cannot_be_written_is_named(table, tmp_path):
    with pytest.raises(UsageError, match="scores"):
        write_json(report(table), tmp_path / "absent" / "scores.json")
    taken = tmp_path / "folder"
    taken.mkdir()
    with pytest.raises(UsageError, match="folder cannot be written"):
        write_json(report(table), taken)
    assert list(tmp_path.iterdir()) == [taken]


def test_the_intervals_are_over_people_where_the_data_names_them(table):
    """Ten copies of a person's face are one observation, not ten."""
    few = table.split("PublicTest").take(np.arange(20))
    often = few.take(np.repeat(np.arange(20), 10))
    named = replace(often, subjects=np.repeat(np.arange(20), 10).astype(str))
    by_people, by_faces = report(named).scores, report(often).scores
    assert (by_people.subjects, by_faces.subjects) == (20, None)
    assert by_people.accuracy == by_faces.accuracy
    widths = [np.diff(each.accuracy_ci95)[0] for each in (by_people, by_faces)]
    assert widths[0] > 2 * widths[1]


def test_a_synonym_of_the_split_is_scored_under_its_name(table):
    judged = predict_split(
        FakeClassifier.from_table(np.full((440, 7), 1 / 7, np.float32), labels=FER2013),
        table,
        "train",
        head="fer2013",
    )
    assert judged.split == "Training"
    assert judged.not_in_training is None  # Training is not compared with itself
