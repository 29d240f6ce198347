"""Faces of the first batches, before and after augmentation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.runs.preview import Preview
from mien.training.data.loader import BatchLoader
from mien.training.network.model import head_labels

_COLUMNS = 10
# A smaller share is label smoothing or a teacher's doubt, and only makes the caption longer.
_NAMED = 0.1
# The most lines of a caption.
_LINES = 3


def preview_of(loader: BatchLoader, *, epochs: int = 2, columns: int = _COLUMNS) -> Preview:
    """The first faces of the first batch of some epochs, exactly as in the run."""
    before, after, captions = [], [], []
    for epoch in range(min(epochs, loader.recipe.schedule.epochs)):
        order = loader.order(epoch)
        batch = loader.batch_at(order, epoch, 0)
        count = min(columns, len(batch.pixels))
        before.append(loader.faces_at(order[:count]).cpu().numpy())
        after.append(_as_grays(batch.pixels[:count]))
        captions += [
            _named(row, head_labels(loader.heads[0], loader.recipe.data.classes))
            for row in batch.targets[loader.heads[0]][:count]
        ]
    return Preview(np.concatenate(before), np.concatenate(after), tuple(captions), len(before[0]))


def _as_grays(pixels: Tensor) -> NDArray[np.uint8]:
    """Pixels (N, 1, S, S) in 0..1 as uint8 (N, S, S)."""
    return (pixels[:, 0] * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def _named(target: Tensor, labels: tuple[str, ...]) -> str:
    """The target of a face: one name, or for mixed faces each name with its share."""
    shares = sorted(((float(share), name) for share, name in zip(target, labels, strict=True)), reverse=True)
    named = [(share, name) for share, name in shares if share >= _NAMED][:_LINES]
    if len(named) == 1:
        return named[0][1]
    return ", ".join(f"{name} {share:.0%}" for share, name in named)
