"""Where the true class stands, against scikit-learn and plain counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.emotions import FER2013
from mien.errors import UsageError
from mien.evaluation.metrics.ranking import rank, rank_votes, ranks, top_two


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(4)
    return generator.dirichlet(np.full(7, 0.6), 400).astype(np.float32), generator.integers(0, 7, 400)


def test_top_k_is_scikit_learns_for_every_k(scored):
    probabilities, truth = scored
    expected = [sk.top_k_accuracy_score(truth, probabilities, k=k, labels=range(7)) for k in range(1, 7)]
    found = rank(probabilities, truth, FER2013)
    assert found.top_k_accuracy[:6] == pytest.approx(expected)
    assert found.top_k_accuracy[6] == 1


def test_the_reciprocal_rank_is_scikit_learns(scored):
    """With one true label, label-ranking average precision is the mean reciprocal rank."""
    probabilities, truth = scored
    expected = sk.label_ranking_average_precision_score(np.eye(7)[truth], probabilities)
    found = rank(probabilities, truth, FER2013)
    assert found.mean_reciprocal_rank == pytest.approx(expected)
    assert found.mean_rank == pytest.approx(ranks(probabilities, truth).mean())


def test_second_answers_are_counted_among_wrong_ones_alone():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    found = rank(probabilities, np.array([0, 1, 2, 1]), ("a", "b", "c"))
    assert found.second_when_wrong == 0.5
    assert found.per_class_top2 == {"a": 1, "b": 1, "c": 0}
    first = found.pairs[0]
    assert (first.first, first.second, first.faces) == ("a", "b", 3)
    assert (first.first_right, first.second_right) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert sum(pair.faces for pair in found.pairs) == found.n


def test_of_equal_probabilities_the_first_column_comes_first():
    even = np.full((3, 3), 1 / 3)
    assert ranks(even, np.arange(3)).tolist() == [1, 2, 3]
    assert top_two(even).tolist() == [[0, 1]] * 3


def test_the_gain_of_the_order_is_scikit_learns():
    generator = np.random.default_rng(8)
    probabilities, voters = generator.dirichlet(np.ones(8), 200), generator.dirichlet(np.full(8, 0.3), 200)
    assert rank_votes(probabilities, voters).ndcg == pytest.approx(sk.ndcg_score(voters, probabilities))


def test_the_voters_own_order_is_best():
    voters = np.random.default_rng(8).dirichlet(np.ones(8), 50)
    found = rank_votes(voters, voters)
    assert (found.ndcg, found.first_in_voters_two, found.same_two, found.same_order) == (1, 1, 1, 1)


def test_faces_whose_voters_have_no_clear_two_are_left_out_of_the_shares():
    voters = np.array([[0.6, 0.4, 0], [1, 0, 0], [0.4, 0.3, 0.3], [0.5, 0.5, 0], [0, 0, 0]])
    model = np.array([[0.4, 0.6, 0], [0.9, 0.1, 0], [0.9, 0.1, 0], [0.2, 0.3, 0.5], [1, 0, 0]])
    found = rank_votes(model, voters)
    assert (found.n, found.n_two) == (4, 2)
    assert (found.first_in_voters_two, found.same_two) == (0.5, 0.5)
    assert found.same_order == 0  # of the first face alone: the fourth has a tie for the first place


def test_one_class_has_no_second():
    with pytest.raises(UsageError, match="two classes"):
        rank(np.ones((2, 1)), np.zeros(2, int), ("happy",))
