"""The margin below which predictions are uncertain, against a search over all margins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from mien.errors import UsageError
from mien.evaluation.calibration.uncertainty import fit_margin, margins, measure_margin
from mien.inference.face import read_face
from mien.models.registry import DEFAULT, find_model, shipped


def draw(n: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, 5), and truths drawn from them: the larger the scale, the easier the faces."""
    generator = np.random.default_rng(seed)
    shares = special.softmax(generator.normal(scale=scale, size=(n, 5)), axis=1)
    truth = (generator.random((n, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 4)
    return shares, truth


def test_a_margin_is_the_lead_of_the_first_over_the_second() -> None:
    rows = np.array([[0.29, 0.28, 0.43], [0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3], [0, 1, 0]])
    assert margins(rows) == pytest.approx([0.14, 0.25, 0, 1])


def test_a_margin_is_the_smaller_of_its_own_and_that_in_the_votes() -> None:
    rows = np.array([[0.5, 0.3, 0.2], [0.7, 0.2, 0.1], [0.35, 0.33, 0.32]])
    votes = np.array([[0.2, 0.7, 0.1], [0.6, 0.1, 0.3], [0.9, 0.1, 0.0]])
    assert margins(rows, votes) == pytest.approx([-0.5, 0.3, 0.02])


@pytest.mark.parametrize("scale", [12.0, 20.0])
def test_the_margin_is_the_smallest_that_leaves_95_percent_right(scale: float) -> None:
    probabilities, truth = draw(400, scale)
    lead, right = margins(probabilities), probabilities.argmax(axis=1) == truth
    accurate = [m for m in np.sort(lead) if right[lead >= m].mean() >= 0.95 and m >= 0.05]
    assert (lead < accurate[0]).mean() <= 0.26
    assert fit_margin(probabilities, truth) == accurate[0]


def test_at_most_26_percent_are_uncertain_where_too_many_are_wrong() -> None:
    probabilities, truth = draw(400, 1.0)
    margin = fit_margin(probabilities, truth)
    assert (margins(probabilities) < margin).mean() == pytest.approx(0.26)
    assert measure_margin(margin, probabilities, truth).accuracy < 0.95


def test_what_a_margin_does_is_counted_by_hand() -> None:
    rows = np.array([[0.6, 0.4, 0], [0.9, 0.1, 0], [0.5, 0.5, 0], [0.1, 0.9, 0], [0.8, 0.2, 0]])
    fit = measure_margin(0.3, rows, np.array([1, 0, 0, 0, 0]), divided=margins(rows[:2]))
    assert (fit.n, fit.uncertain) == (5, pytest.approx(2 / 5))
    assert fit.accuracy == pytest.approx(2 / 3)
    assert fit.errors_caught == pytest.approx(1 / 2)
    assert fit.uncertain_by_class == (pytest.approx(2 / 4), 0, None)
    assert fit.uncertain_without_majority == pytest.approx(1 / 2)


def test_shares_of_nothing_are_none() -> None:
    rows = np.array([[0.6, 0.4], [0.6, 0.4]])
    fit = measure_margin(0.5, rows, np.array([0, 0]))
    assert (fit.accuracy, fit.errors_caught, fit.uncertain_without_majority) == (None, None, None)


def test_no_faces_are_refused() -> None:
    with pytest.raises(UsageError):
        fit_margin(np.zeros((0, 3)), np.zeros(0, np.int64))


@pytest.mark.parametrize("name", shipped())
def test_the_shipped_models_say_when_they_do_not_know(name: str) -> None:
    """`uncertain` was set for 0.6 % of faces: a set of 90 % coverage could never have three members."""
    card = find_model(name).card
    for head in card.heads:
        fit = card.figures["PublicTest"]["calibration"][head.name]["uncertainty"]
        assert fit["margin"] == head.certain_margin
        assert 0.1 < fit["uncertain"] <= (0.3 if name == DEFAULT else 0.31)
        parts = [head] if head.combination is None else [card.head("votes"), card.head("fer2013")]
        rows = np.concatenate([_three_rows(len(part.labels)) for part in parts], axis=1)
        faces = [read_face(row, head, box=(0, 0, 1, 1)) for row in rows]
        assert [face.uncertain for face in faces] == [True, True, False]
    default = card.figures["PublicTest"]["calibration"][card.default_head]["uncertainty"]
    assert default["accuracy"] >= (0.92 if name == DEFAULT else 0.91)
    assert default["errors_caught"] >= 0.6


def _three_rows(columns: int) -> np.ndarray:
    """A flat row, one whose first two columns are nearly equal, and one that is certain; each sums to 1."""
    rows = np.full((3, columns), 1e-3, np.float32)
    rows[0] = 1 / columns
    rows[1, :2] = 0.29, 0.28
    rows[2, 0] = 1
    return rows / rows.sum(axis=1, keepdims=True)
