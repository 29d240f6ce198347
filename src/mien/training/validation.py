"""Loss and accuracy on the validation faces, between epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mien.evaluation.metrics.classification import macro_f1
from mien.training.data.loader import ValidationFaces
from mien.training.data.targets import cross_entropy
from mien.training.network.model import ExpressionNet, as_input


@dataclass(frozen=True)
class ValidationScores:
    """Mean cross-entropy, accuracy and macro F1 of the labels, and mean cross-entropy of any votes."""

    loss: float
    accuracy: float
    votes_loss: float | None
    macro_f1: float | None = None


@torch.no_grad()
def totals_of(
    network: ExpressionNet, validation: ValidationFaces, dtype: torch.dtype, batch: int = 256
) -> Tensor:
    """Sums for `scores_of`: label loss, correct predictions, faces, votes loss, faces with votes.

    Behind these five stands the confusion matrix, C x C numbers, row the true class: (5 + C * C,).

    The network is in evaluation mode meanwhile, and in its former mode afterwards.
    """
    training = network.training
    head = next(name for name in validation.targets if name != "votes")
    network.eval()
    classes = validation.targets[head].shape[1]
    totals = torch.zeros(5 + classes * classes, dtype=dtype, device=validation.pixels.device)
    for start in range(0, len(validation.pixels), batch):
        part = slice(start, start + batch)
        logits = network(as_input(validation.pixels[part]))
        labels = validation.targets[head][part]
        totals[0] += cross_entropy(logits[head], labels)
        true, predicted = labels.argmax(1), logits[head].argmax(1)
        totals[1] += (predicted == true).sum()
        totals[5:] += torch.bincount(true * classes + predicted, minlength=classes * classes)
        totals[2] += len(labels)
        if "votes" in validation.targets:
            votes = validation.targets["votes"][part]
            totals[3] += cross_entropy(logits["votes"], votes)
            totals[4] += (votes.sum(1) > 0).sum()
    network.train(training)
    return totals


def scores_of(totals: Tensor) -> ValidationScores:
    """The means of `totals_of`, summed over all processes."""
    loss, correct, faces, votes_loss, voted, *cells = totals.tolist()
    classes = math.isqrt(len(cells))
    f1 = float(macro_f1(np.array(cells).reshape(classes, classes)))
    return ValidationScores(loss / faces, correct / faces, votes_loss / voted if voted else None, f1)
