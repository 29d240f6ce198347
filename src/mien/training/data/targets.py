"""The targets of each head, labels and votes as distributions, and the loss against them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mien.data.table import FaceTable
from mien.emotions import FER2013, binary_task
from mien.errors import DataError
from mien.models.card import OWN_HEAD
from mien.runs.recipe_sections import DataRecipe


def heads_of(faces: FaceTable, spec: DataRecipe) -> tuple[str, ...]:
    """The heads that can be trained on a table, the labels' head first; the head of votes needs votes.

    A binary task has one head, named after it; classes that are not FER2013's have one named ``"own"``.
    """
    if spec.binary:
        return (binary_task(spec.binary).name,)
    if spec.classes:
        return (OWN_HEAD,)
    return ("fer2013", "votes") if spec.votes and faces.votes is not None else ("fer2013",)


def targets_of(
    faces: FaceTable, heads: tuple[str, ...], device: torch.device, own: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """By head, float32 (N, C): each row a distribution, or zeros where the face has no label or votes.

    In the head of a binary task, a face of neither class has zeros too. `own` are the recipe's classes, where
    they are not FER2013's.

    Raises:
        DataError: the table has other classes.
    """
    classes = own or FER2013
    if extra := [name for name in faces.classes if name not in classes]:
        raise DataError(
            f"{faces.source} has the classes {', '.join(extra)}, which the recipe does not have. Its classes "
            f"are {', '.join(classes)}. Leave these faces out, or set data.classes."
        )
    column = np.array([classes.index(name) for name in faces.classes])
    known = faces.labels >= 0
    labels = np.zeros((len(faces), len(classes)), np.float32)
    labels[np.flatnonzero(known), column[faces.labels[known]]] = 1
    if heads[0] == OWN_HEAD:
        return {OWN_HEAD: torch.from_numpy(labels).to(device)}
    if "fer2013" not in heads:
        sides = np.array(binary_task(heads[0]).sides(FER2013))
        two = np.stack([labels[:, sides == side].sum(axis=1) for side in (0, 1)], axis=1)
        return {heads[0]: torch.from_numpy(two).to(device)}
    targets = {"fer2013": torch.from_numpy(labels).to(device)}
    if "votes" in heads and faces.votes is not None:
        votes = faces.votes.astype(np.float32)
        shares = votes / np.maximum(votes.sum(1, keepdims=True), 1)
        targets["votes"] = torch.from_numpy(shares).to(device)
    return targets


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """The sum over the faces of -sum p log q, a scalar; rows of zeros add nothing.

    Args:
        logits, target: (N, C); the target's rows are distributions, or zeros.
        smoothing: the share of each row that is spread over all classes.
    """
    target = smoothed(target, smoothing)
    exact = torch.promote_types(logits.dtype, torch.float32)  # bfloat16 is too coarse for a logarithm
    return -(target * functional.log_softmax(logits, 1, dtype=exact)).sum()


def smoothed(target: Tensor, smoothing: float) -> Tensor:
    """Targets (N, C) with that share of each row spread over all classes."""
    if not smoothing:
        return target
    mass = target.sum(1, keepdim=True)
    return target * (1 - smoothing) + mass * smoothing / target.shape[1]


def objective_of(
    logits: dict[str, Tensor],
    targets: dict[str, Tensor],
    weights: dict[str, float],
    label_loss: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """What is minimised: the sum of the heads' weighted losses over the faces, a scalar.

    The labels have a loss of the recipe's or of the caller's; votes, a distribution already, have their
    cross-entropy.
    """
    parts = [
        weights[name] * (cross_entropy if name == "votes" else label_loss)(logits[name], target)
        for name, target in targets.items()
    ]
    return torch.stack(parts).sum()
