"""How good the network is on the validation split, between epochs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mien.training.data.targets import cross_entropy
from mien.training.network.model import ExpressionNet


@dataclass(frozen=True, eq=False)
class Validation:
    """A process's part of the validation split: pixels uint8 (N, S, S), and targets by head (N, C)."""

    pixels: Tensor
    targets: dict[str, Tensor]


@dataclass(frozen=True)
class Scores:
    """Mean cross-entropy and accuracy of the labels, and mean cross-entropy of the votes if there are any."""

    loss: float
    accuracy: float
    votes_loss: float | None


@torch.no_grad()
def totals_of(network: ExpressionNet, validation: Validation, dtype: torch.dtype, batch: int = 256) -> Tensor:
    """What `scores_of` divides, (5,): label loss, right answers, faces, votes loss, faces with votes.

    The network is in evaluation mode inside and in its former mode behind.
    """
    training = network.training
    head = next(name for name in validation.targets if name != "votes")
    network.eval()
    totals = torch.zeros(5, dtype=dtype, device=validation.pixels.device)
    for start in range(0, len(validation.pixels), batch):
        part = slice(start, start + batch)
        logits = network(as_input(validation.pixels[part]))
        labels = validation.targets[head][part]
        totals[0] += cross_entropy(logits[head], labels)
        totals[1] += (logits[head].argmax(1) == labels.argmax(1)).sum()
        totals[2] += len(labels)
        if "votes" in validation.targets:
            votes = validation.targets["votes"][part]
            totals[3] += cross_entropy(logits["votes"], votes)
            totals[4] += (votes.sum(1) > 0).sum()
    network.train(training)
    return totals


def scores_of(totals: Tensor) -> Scores:
    """The means of `totals_of`, summed over all processes."""
    loss, right, faces, votes_loss, voted = totals.tolist()
    return Scores(loss / faces, right / faces, votes_loss / voted if voted else None)


def as_input(pixels: Tensor) -> Tensor:
    """Gray faces, uint8 (N, S, S), as the network takes them: float (N, 1, S, S) in 0..1, channels last."""
    return pixels[:, None].float().div(255).to(memory_format=torch.channels_last)
