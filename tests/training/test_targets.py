"""What the heads are asked to say, and the loss against it, held against torch's own."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from mien.data.table import FaceTable
from mien.emotions import FER2013
from mien.errors import DataError
from mien.runs.recipe_sections import DataRecipe
from mien.training.data.targets import cross_entropy, heads_of, objective_of, targets_of

CPU = torch.device("cpu")


def table(
    labels: list[int], classes: tuple[str, ...] = FER2013, votes: list[list[int]] | None = None
) -> FaceTable:
    n = len(labels)
    return FaceTable(
        np.zeros((n, 8, 8), np.uint8),
        np.array(labels),
        np.full(n, "Training"),
        np.arange(n),
        classes=classes,
        votes=None if votes is None else np.array(votes, np.uint8),
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothed_labels_cost_what_torchs_cross_entropy_says(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(32, 7) * 3, torch.randint(0, 7, (32,))
    expected = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
    ours = cross_entropy(logits, functional.one_hot(labels, 7).float(), smoothing)
    torch.testing.assert_close(ours, expected)


def test_distributions_cost_what_torchs_cross_entropy_says() -> None:
    torch.manual_seed(0)
    logits, shares = torch.randn(32, 10), torch.rand(32, 10).softmax(1)
    torch.testing.assert_close(
        cross_entropy(logits, shares), functional.cross_entropy(logits, shares, reduction="sum")
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_face_without_a_target_costs_nothing_and_moves_nothing(smoothing: float) -> None:
    logits = torch.randn(4, 7, requires_grad=True)
    cross_entropy(logits, torch.zeros(4, 7), smoothing).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(4, 7))


def test_a_half_precision_network_is_judged_in_full_precision() -> None:
    logits = torch.tensor([[0.0, 8.0]], dtype=torch.bfloat16)
    loss = cross_entropy(logits, torch.tensor([[0.0, 1.0]]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(np.log1p(np.exp(-8.0)), rel=1e-3)


def test_the_objective_is_the_weighted_sum_of_the_heads_the_labels_alone_smoothed() -> None:
    torch.manual_seed(0)
    logits = {"fer2013": torch.randn(5, 7), "votes": torch.randn(5, 10)}
    targets = {"fer2013": torch.eye(7)[:5], "votes": torch.rand(5, 10).softmax(1)}
    ours = objective_of(
        logits, targets, {"fer2013": 0.7, "votes": 2.0}, partial(cross_entropy, smoothing=0.1)
    )
    labels = functional.cross_entropy(
        logits["fer2013"], torch.arange(5), label_smoothing=0.1, reduction="sum"
    )
    votes = functional.cross_entropy(logits["votes"], targets["votes"], reduction="sum")
    torch.testing.assert_close(ours, 0.7 * labels + 2.0 * votes)


def test_labels_become_rows_in_fer2013s_order_whatever_the_tables() -> None:
    faces = table([0, 1, -1], classes=("happy", "angry"))
    rows = targets_of(faces, ("fer2013",), CPU)["fer2013"]
    assert rows.argmax(1).tolist()[:2] == [FER2013.index("happy"), FER2013.index("angry")]
    assert rows.sum(1).tolist() == [1, 1, 0]


def test_votes_become_shares_and_no_votes_zeros() -> None:
    faces = table([3, 4], votes=[[0, 0, 0, 8, 0, 0, 1, 0, 1, 0], [0] * 10])
    shares = targets_of(faces, ("fer2013", "votes"), CPU)["votes"]
    torch.testing.assert_close(shares[0, [3, 6, 8]], torch.tensor([0.8, 0.1, 0.1]))
    assert shares[1].sum() == 0


def test_the_votes_head_is_trained_where_there_are_votes_and_they_are_wanted() -> None:
    voted, plain = table([0], votes=[[1] * 10]), table([0])
    assert heads_of(voted, DataRecipe()) == ("fer2013", "votes")
    assert heads_of(voted, DataRecipe(votes=False)) == ("fer2013",)
    assert heads_of(plain, DataRecipe()) == ("fer2013",)


def test_an_eighth_class_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="has the classes contempt, which the recipe does not have"):
        targets_of(table([0], classes=(*FER2013, "contempt")), ("fer2013",), CPU)
