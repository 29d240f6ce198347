"""Mixup and cutmix: the targets are mixed as the pixels are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mien.runs.recipe_sections import AugmentRecipe
from mien.training.data.mixup import mixup

N, S = 12, 16


@pytest.fixture
def faces() -> Tensor:
    """Face i is all of the gray i / N, so that a pixel tells whose it is."""
    return (torch.arange(N) / N)[:, None, None, None].expand(N, 1, S, S).clone()


@pytest.fixture
def targets() -> dict[str, Tensor]:
    """Face i is of class i; a second head has three classes and no target for the last face."""
    votes = torch.eye(3).repeat(4, 1)
    votes[-1] = 0
    return {"fer2013": torch.eye(N), "votes": votes}


@pytest.mark.parametrize("seed", range(20))
def test_cutmixs_targets_have_the_shares_of_the_area(
    faces: Tensor, targets: dict[str, Tensor], seed: int
) -> None:
    mixed, answers = mixup(faces, targets, AugmentRecipe(cutmix=1.0), np.random.default_rng(seed))
    for i in range(N):
        owner = (mixed[i] * N).round().long().flatten()
        area = torch.bincount(owner, minlength=N) / S**2
        torch.testing.assert_close(answers["fer2013"][i], area, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(20))
def test_mixups_targets_have_the_shares_of_the_pixels(
    faces: Tensor, targets: dict[str, Tensor], seed: int
) -> None:
    mixed, answers = mixup(faces, targets, AugmentRecipe(mixup=0.4), np.random.default_rng(seed))
    expected = answers["fer2013"] @ faces[:, 0, 0, 0]  # the shares' own blend of the grays
    torch.testing.assert_close(mixed[:, 0, 0, 0], expected)
    assert torch.equal(mixed.amin((1, 2, 3)), mixed.amax((1, 2, 3)))
    torch.testing.assert_close(answers["fer2013"].sum(1), torch.ones(N))


def test_all_heads_are_mixed_in_the_same_shares(faces: Tensor, targets: dict[str, Tensor]) -> None:
    _, answers = mixup(faces, targets, AugmentRecipe(mixup=1.0), np.random.default_rng(3))
    # Row i of the labels says how much of each face is in face i.
    torch.testing.assert_close(answers["votes"], answers["fer2013"] @ targets["votes"])


def test_nothing_is_mixed_where_both_are_off(faces: Tensor, targets: dict[str, Tensor]) -> None:
    mixed, answers = mixup(faces, targets, AugmentRecipe(), np.random.default_rng(0))
    assert mixed is faces
    assert answers is targets


def test_with_both_on_each_gets_about_half_of_the_batches(faces: Tensor, targets: dict[str, Tensor]) -> None:
    generator = np.random.default_rng(0)
    spec = AugmentRecipe(mixup=1.0, cutmix=1.0)
    flat = 0
    for _ in range(400):
        mixed, _ = mixup(faces, targets, spec, generator)
        flat += int(torch.equal(mixed.amin((1, 2, 3)), mixed.amax((1, 2, 3))))
    # A cutmix whose box is empty is flat too, so a little over a half.
    assert 160 < flat < 260


def test_the_share_is_betas(faces: Tensor, targets: dict[str, Tensor]) -> None:
    """Mean a half, and the variance of Beta(a, a), 1 / (4 (2 a + 1))."""
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(1500):
        _, answers = mixup(faces, targets, AugmentRecipe(mixup=0.5), generator)
        own = answers["fer2013"].diagonal()
        shares.append(own[own < 1][0].item() if (own < 1).any() else 1.0)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / 8, abs=0.015)


def test_the_batch_given_stays_as_it_is(faces: Tensor, targets: dict[str, Tensor]) -> None:
    before = faces.clone()
    mixup(faces, targets, AugmentRecipe(cutmix=1.0), np.random.default_rng(0))
    assert torch.equal(faces, before)
    assert torch.equal(targets["fer2013"], torch.eye(N))
