"""The loss of the labels' head: cross-entropy, and what a recipe changes in it for rare classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mien.runs.recipe_sections import LossRecipe
from mien.training.data.targets import cross_entropy, smoothed

# Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", section 4: the beta for
# data sets of this size.
_BETA = 0.9999


class LabelLoss:
    """The sum over the faces of their losses, by a recipe.

    Args:
        spec: the recipe's loss.
        counts: training faces of each class, (C,), on the device of the logits.
    """

    def __init__(self, spec: LossRecipe, counts: Tensor) -> None:
        self._smoothing, self._gamma = spec.label_smoothing, spec.focal_gamma
        self._weights = None if spec.class_weights == "none" else class_weights(spec.class_weights, counts)
        self._shift = spec.logit_adjustment * log_priors(counts) if spec.logit_adjustment else None

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (N, C) against targets (N, C), distributions or rows of zeros; a scalar."""
        if self._shift is not None:
            logits = logits + self._shift
        if self._weights is None and not self._gamma:
            return cross_entropy(logits, target, self._smoothing)
        exact = torch.promote_types(logits.dtype, torch.float32)
        log_p = functional.log_softmax(logits, 1, dtype=exact)
        terms = smoothed(target, self._smoothing) * log_p
        if self._weights is not None:
            terms = terms * self._weights
        if self._gamma:
            # Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, per class.
            terms = terms * (1 - log_p.exp()) ** self._gamma
        return -terms.sum()


def class_weights(kind: str, counts: Tensor) -> Tensor:
    """A weight for each class, (C,), so that their mean over the training faces is 1; 0 where there is none.

    ``"balanced"``: in inverse proportion to the faces (King & Zeng 2001, "Logistic Regression in Rare Events
    Data"; scikit-learn's ``class_weight="balanced"``). ``"effective"``: to their effective number (Cui et al.
    2019), which is gentler where classes are large.
    """
    counts = counts.float()
    effective = counts if kind == "balanced" else (1 - _BETA**counts) / (1 - _BETA)
    weights = torch.where(counts > 0, 1 / effective.clamp_min(1e-12), 0.0)
    return weights * counts.sum() / (weights * counts).sum()


def log_priors(counts: Tensor) -> Tensor:
    """The logarithm of each class's share of the training faces, (C,); a class without faces counts as one.

    Added to the logits while training, times tau, it makes the network learn what remains beside the priors,
    so that without it a rare class is not disfavoured. Source: Menon et al. 2021, "Long-Tail Learning via
    Logit Adjustment", equation 10.
    """
    counts = counts.float().clamp_min(1)
    return (counts / counts.sum()).log()
