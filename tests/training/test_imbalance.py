"""What a recipe can do for rare classes, each against a computation of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from mien.data.synthetic.faces import faces
from mien.runs.history import Epoch, is_better
from mien.runs.recipe import Recipe
from mien.runs.recipe_sections import LossRecipe
from mien.training.data.label_loss import LabelLoss, class_weights, log_priors
from mien.training.data.loader import BatchLoader
from mien.training.distributed import World
from mien.training.validation import scores_of

COUNTS = torch.tensor([40.0, 10.0, 2.0])
LABELS = torch.tensor([0, 2, 1, 0, 0])
TARGET = functional.one_hot(LABELS, 3).float()
LOGITS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def test_without_options_it_is_the_cross_entropy() -> None:
    expected = functional.cross_entropy(LOGITS, LABELS, reduction="sum")
    assert LabelLoss(LossRecipe(), COUNTS)(LOGITS, TARGET) == pytest.approx(expected.item(), rel=1e-6)


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.repeat(np.arange(3), COUNTS.int())
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = class_weights("balanced", COUNTS)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    loss = LabelLoss(LossRecipe(class_weights="balanced"), COUNTS)(LOGITS, TARGET)
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, LABELS, weights, reduction="sum"))


def test_effective_weights_are_gentler_and_an_absent_class_weighs_nothing() -> None:
    many = torch.tensor([20_000.0, 500.0, 0.0])
    effective, balanced = class_weights("effective", many), class_weights("balanced", many)
    # Cui et al.: (1 - beta) / (1 - beta ** n), up to a common factor.
    raw = [(1 - 0.9999) / (1 - 0.9999**n) for n in (20_000, 500)]
    assert float(effective[1] / effective[0]) == pytest.approx(raw[1] / raw[0], rel=1e-3)
    assert 1 < effective[1] / effective[0] < balanced[1] / balanced[0]
    assert effective[2] == balanced[2] == 0
    assert float((effective * many).sum() / many.sum()) == pytest.approx(1)


def test_the_focal_loss_is_torchvisions_for_one_class_alone() -> None:
    """(1 - p) ** gamma times the cross-entropy of the label."""
    p = LOGITS.softmax(1)[torch.arange(5), LABELS]
    expected = (-((1 - p) ** 2) * p.log()).sum()
    torch.testing.assert_close(LabelLoss(LossRecipe(focal_gamma=2.0), COUNTS)(LOGITS, TARGET), expected)


def test_logit_adjustment_adds_the_log_priors() -> None:
    expected = functional.cross_entropy(LOGITS + 1.5 * (COUNTS / 52).log(), LABELS, reduction="sum")
    torch.testing.assert_close(LabelLoss(LossRecipe(logit_adjustment=1.5), COUNTS)(LOGITS, TARGET), expected)
    assert torch.isfinite(log_priors(torch.tensor([3.0, 0.0]))).all()


def test_balanced_sampling_draws_each_class_as_often(tiny: Callable[..., Recipe]) -> None:
    table = faces(700, seed=4)
    rare = np.flatnonzero(table.labels == 1)[:5]
    table = table.take(np.concatenate([rare, np.flatnonzero(table.labels != 1)]))
    table = replace(table, splits=np.array(["Training"] * (len(table) - 8) + ["PublicTest"] * 8), votes=None)
    plan = tiny(loop={"sampling": "balanced"})
    loader = BatchLoader(plan, table, device=torch.device("cpu"), world=World(), note=lambda text: None)
    order = loader.order(0)
    labels = torch.from_numpy(table.split("Training").labels.copy())[order]
    shares = torch.bincount(labels, minlength=7) / len(order)
    assert len(order) == loader.training_faces
    assert (shares - 1 / 7).abs().max() < 0.06
    assert order.equal(loader.order(0))
    assert not order.equal(loader.order(1))


def test_macro_f1_of_an_epoch_is_scikit_learns_and_can_choose_the_best() -> None:
    truth, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 2])
    cells = np.bincount(truth * 3 + predicted, minlength=9)
    totals = torch.tensor([6.0, 4.0, 6.0, 0.0, 0.0, *cells.tolist()])
    found = scores_of(totals)
    assert found.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"))
    row = Epoch(1, 48, 1e-3, 1.0, 0.5, 1.0, 0.6, None, 0.0, 1.0, 1.0, 1.0, True, 1.0, 0.4)
    better = replace(row, validation_accuracy=0.5, validation_macro_f1=0.5)
    assert is_better(better, row, "macro_f1")
    assert not is_better(better, row, "accuracy")
