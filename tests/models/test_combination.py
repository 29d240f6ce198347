"""The head that is computed from two others: in a model, in a face, and its biases."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, special

from mien.emotions import FER2013, VOTES
from mien.errors import CardError, UsageError
from mien.evaluation.calibration.combination import cross_validate_combination, fit_combination
from mien.inference.face import read_face
from mien.models.card import COMBINED, Head, read_card
from mien.models.combination import Combination
from mien.models.onnx import OnnxClassifier, OnnxModel
from mien.testing.fakes import write_band_model

ABSTAIN = ("unknown", "not a face")
NAMES = ("votes", "fer2013")
BIAS = dict(zip(FER2013, (-0.3, 1.6, 0.5, -0.8, -0.4, 0.2, -0.7), strict=True))
PLAIN = Combination("votes", "fer2013", 0.75, BIAS)


def heads(combination: Combination = PLAIN) -> tuple[Head, ...]:
    votes = Head("votes", VOTES, ABSTAIN, temperature=0.8)
    labels = Head("fer2013", FER2013, temperature=0.9)
    combined = Head(COMBINED, VOTES, ABSTAIN, 1.1, certain_margin=0.1, combination=combination)
    return votes, labels, combined


def rows(n: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(columns), n).astype(np.float32)


def test_it_is_the_mean_of_logarithms_and_the_bias() -> None:
    votes, labels = rows(20, 10, 0), rows(20, 7, 1)
    combined = PLAIN.apply(votes, labels, VOTES)
    for vote, label, found in zip(votes, labels, combined, strict=True):
        powers = {
            name: vote[VOTES.index(name)] ** 0.25 * label[FER2013.index(name)] ** 0.75 * np.exp(BIAS[name])
            for name in FER2013
        }
        mass = sum(vote[VOTES.index(name)] for name in FER2013)
        for name in VOTES:
            wanted = mass * powers[name] / sum(powers.values()) if name in powers else vote[VOTES.index(name)]
            assert found[VOTES.index(name)] == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_allclose(combined.sum(axis=1), 1, atol=1e-5)


def test_a_probability_of_0_stays_a_number() -> None:
    votes, labels = np.zeros((1, 10), np.float32), np.zeros((1, 7), np.float32)
    votes[0, 0] = labels[0, 1] = 1
    combined = PLAIN.apply(votes, labels, VOTES)
    assert np.isfinite(combined).all()
    assert combined.sum() == pytest.approx(1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path, heads=heads())


def test_a_model_predicts_it_and_a_face_is_read_from_its_rows(model: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (9, 48, 48), dtype=np.uint8)
    opened = OnnxModel(model)
    given = opened.predict(crops)
    assert list(given) == ["votes", "fer2013", COMBINED]
    classifier = OnnxClassifier(opened, head=COMBINED)
    wide = classifier.rows(crops)
    assert wide.shape == (9, 17)
    for row, combined, votes in zip(wide, given[COMBINED], given["votes"], strict=True):
        face = read_face(row, classifier.head, box=(0, 0, 48, 48))
        whole = dict(zip(VOTES, combined, strict=True))
        emotions = {name: whole[name] for name in VOTES if name not in ABSTAIN}
        for name, share in face.emotions.items():
            assert share == pytest.approx(emotions[name] / sum(emotions.values()), rel=1e-4)
        assert face.votes is not None
        assert sum(face.votes.values()) == pytest.approx(1)
        voted = votes[:8] / votes[:8].sum()
        top = VOTES.index(face.top[0])
        lead = face.top[1] - face.second[1]
        assert face.margin == pytest.approx(min(lead, voted[top] - np.delete(voted, top).max()), abs=1e-5)
        assert face.uncertain == (face.abstains or face.margin < 0.1)


def test_the_card_keeps_it_and_checks_it(model: Path) -> None:
    card = read_card(model.with_suffix(".json"))
    assert card.heads == heads()
    assert [head.name for head in card.network_heads] == ["votes", "fer2013"]
    other = dataclasses.replace(PLAIN, bias={"happy": 0.0})
    broken = dataclasses.replace(card, heads=heads(other))
    model.with_suffix(".json").write_text(broken.to_json(), encoding="utf-8")
    with pytest.raises(CardError, match="one bias for each label of 'fer2013'"):
        OnnxModel(model)


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two heads' probabilities (n, 7) and labels, of which some are rare."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(7, n, p=(0.14, 0.02, 0.14, 0.25, 0.17, 0.12, 0.16))
    prior = np.log([0.14, 0.02, 0.14, 0.25, 0.17, 0.12, 0.16])
    parts = []
    for strength in (1.2, 1.6):
        logits = generator.normal(size=(n, 7)) + strength * np.eye(7)[truth] + prior
        parts.append(special.softmax(logits, axis=1))
    return parts[0], parts[1], truth


def test_the_biases_are_those_of_the_largest_balanced_likelihood() -> None:
    first, second, truth = draw(3000)
    found = np.array(list(fit_combination(first, second, truth, FER2013, NAMES).bias.values()))
    mean = 0.25 * np.log(first) + 0.75 * np.log(second)
    weights = (1 / np.bincount(truth))[truth]

    def loss(bias: np.ndarray) -> float:
        logarithms = special.log_softmax(mean + np.append(bias, 0), axis=1)
        return float(-(weights * logarithms[np.arange(len(truth)), truth]).sum())

    best = np.append(optimize.minimize(loss, np.zeros(6), tol=1e-10).x, 0)
    np.testing.assert_allclose(found, best - best.mean(), atol=5e-3)


def test_rare_classes_are_found_more_often_than_without() -> None:
    first, second, truth = draw(6000)
    keys = np.array([f"{i:032x}" for i in range(len(truth))], "S32")
    fit = cross_validate_combination(first, second, truth, keys, FER2013, NAMES, np.random.default_rng(0))
    assert fit.n == 6000
    plain = Combination("votes", "fer2013", 0.75, dict.fromkeys(FER2013, 0.0))
    top = plain.apply(first, second, FER2013).argmax(axis=1)
    rare = FER2013.index("disgust")
    assert fit.recall["disgust"] > (top[truth == rare] == rare).mean() + 0.1
    recall = [(top[truth == c] == c).mean() for c in range(7)]
    assert fit.balanced_accuracy > np.mean(recall)


def test_a_class_without_faces_has_no_bias() -> None:
    first, second, truth = draw(100)
    with pytest.raises(UsageError, match="there are none of disgust"):
        fit_combination(first, second, np.where(truth == 1, 0, truth), FER2013, NAMES)
