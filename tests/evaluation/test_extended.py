"""What stands beside the scores in the JSON, and asking a model no face twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.data.table import FaceTable
from mien.data.votes import vote_shares
from mien.emotions import VOTES, binary_task
from mien.errors import ModelError, UsageError
from mien.evaluation.extended import score_extended
from mien.evaluation.metrics.calibration import reliability
from mien.evaluation.metrics.votes import voters_calibration_error, voters_reliability
from mien.evaluation.predictions import predict_split, predict_votes, vote_predictions
from mien.models.classifier import classify_heads
from mien.testing.fakes import FakeClassifier, FakeModel, numbered_faces


@pytest.fixture
def table() -> FaceTable:
    """40 faces; on the last ten people disagree, and nobody voted on the very last."""
    generator = np.random.default_rng(1)
    votes = np.zeros((40, 10), np.uint8)
    votes[np.arange(30), generator.integers(0, 7, 30)] = 10
    votes[30:39, [3, 5]] = 5
    return FaceTable(
        numbered_faces(list(range(40))),
        generator.integers(0, 7, 40),
        np.full(40, "PublicTest"),
        np.arange(40),
        votes=votes,
    )


def answers(columns: int) -> np.ndarray:
    return np.random.default_rng(2).dirichlet(np.ones(columns), 40).astype(np.float32)


def test_faces_without_a_majority_are_among_the_voted_and_those_without_votes_are_not(table):
    voter = FakeClassifier.from_table(answers(10), labels=VOTES)
    found = predict_votes(voter, table, "PublicTest")
    assert len(found.votes) == 39
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    against_majority = predict_split(voter, table, "PublicTest", head="votes", labels="ferplus")
    assert len(vote_predictions(against_majority).votes) == 30


def test_a_split_without_votes_is_refused(table):
    bare = FaceTable(table.pixels, table.labels, table.splits, table.rows)
    with pytest.raises(UsageError, match="--votes"):
        predict_votes(FakeClassifier.predicting("happy"), bare, "PublicTest")
    judged = predict_split(FakeClassifier.predicting("happy"), bare, "PublicTest", head="")
    with pytest.raises(UsageError, match="--votes"):
        vote_predictions(judged)


def test_the_keys_of_the_depth_stay_and_are_documented(table):
    judged = predict_split(FakeClassifier.from_table(answers(7)), table, "PublicTest", head="fer2013")
    voted = predict_votes(FakeClassifier.from_table(answers(10), labels=VOTES), table, "PublicTest")
    generator = np.random.default_rng(0)
    found = score_extended(judged, generator, voted=voted, binary=[binary_task("happy")], resamples=10)
    plain = found.to_dict()
    assert list(plain) == [
        "ranking",
        "vote_ranking",
        "multilabel",
        "binary",
        "groups",
        "fairness",
        "robustness",
    ]
    assert (plain["groups"], plain["robustness"]) == (None, None)
    assert list(plain["binary"]) == ["happy"]
    assert plain["multilabel"]["n"] == 39
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    keys = {
        *plain,
        *plain["ranking"],
        *plain["vote_ranking"],
        *plain["multilabel"],
        "roc_auc",
        "average_precision",
        "baseline",
        "gap",
        "gap_ci95",
        "p_value",
        "minimum_n",
        "ungrouped",
        "difference",
        "relative",
        "clean",
    }
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


def test_without_votes_their_blocks_are_null(table):
    judged = predict_split(FakeClassifier.from_table(answers(7)), table, "PublicTest", head="fer2013")
    plain = score_extended(judged, np.random.default_rng(0), resamples=10).to_dict()
    assert (plain["vote_ranking"], plain["multilabel"], plain["binary"]) == (None, None, {})
    assert "unmeasured" in plain["fairness"]


def test_no_face_is_predicted_twice_and_both_heads_come_from_one_pass():
    seen: list[int] = []

    def rule(crops: np.ndarray) -> np.ndarray:
        seen.extend(crops[:, 0, 1].tolist())
        return np.eye(7, dtype=np.float32)[crops[:, 0, 1] % 7]

    model = FakeModel({"fer2013": FakeClassifier(rule), "votes": FakeClassifier.predicting("sad")})
    moved: list[int] = []
    given = classify_heads(model, numbered_faces([1, 2, 1, 3, 2]), batch_size=2, progress=moved.append)
    assert given["fer2013"].argmax(axis=1).tolist() == [1, 2, 1, 3, 2]
    assert given["votes"].argmax(axis=1).tolist() == [4] * 5
    assert seen == [1, 2, 3]
    assert sum(moved) == 5
    assert classify_heads(model, numbered_faces([]))["fer2013"].shape == (0, 7)


def test_wrong_columns_are_named_for_a_whole_model_too():
    wrong = FakeModel({"fer2013": FakeClassifier(lambda crops: np.ones((len(crops), 3), np.float32))})
    with pytest.raises(ModelError, match="7 labels"):
        classify_heads(wrong, numbered_faces([1, 2]))


def test_bins_against_the_voters_hold_their_shares(table):
    given = answers(10)[:30, :8]
    given = given / given.sum(axis=1, keepdims=True)
    people = vote_shares(table.votes[:30])
    assert voters_reliability(given, people).error == pytest.approx(voters_calibration_error(given, people))
    # Where all ten agree, their share is right or wrong, and both kinds of bins are the same.
    agreed = reliability(given, people.argmax(axis=1))
    np.testing.assert_allclose(voters_reliability(given, people).accuracy, agreed.accuracy)
