"""What the network will be given: faces of the first batches, before and after augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.runs.sheet import SHEET, Sheet, write_sheet
from mien.training.data.loader import Feed
from mien.training.network.model import head_labels

_COLUMNS = 10
# A share below this is smoothing or a teacher's doubt, and would only fill the caption.
_NAMED = 0.1
# Lines that a caption has room for.
_LINES = 3


def preview(feed: Feed, *, epochs: int = 2, columns: int = _COLUMNS) -> Sheet:
    """The first faces of the first batch of so many epochs, exactly as the run will see them."""
    before, after, captions = [], [], []
    for epoch in range(min(epochs, feed.recipe.schedule.epochs)):
        order = feed.order(epoch)
        batch = feed.batch_at(order, epoch, 0)
        count = min(columns, len(batch.pixels))
        before.append(feed.faces_at(order[:count]).cpu().numpy())
        after.append(_as_grays(batch.pixels[:count]))
        captions += [_named(row, head_labels(feed.heads[0])) for row in batch.targets[feed.heads[0]][:count]]
    return Sheet(np.concatenate(before), np.concatenate(after), tuple(captions), len(before[0]))


def write_preview(feed: Feed, folder: Path) -> Path:
    """Write the preview into a run's folder; gives the path of the PNG."""
    path = folder / SHEET
    write_sheet(preview(feed), path)
    return path


def _as_grays(pixels: Tensor) -> NDArray[np.uint8]:
    """Pixels (N, 1, S, S) in 0..1 as uint8 (N, S, S)."""
    return (pixels[:, 0] * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def _named(target: Tensor, labels: tuple[str, ...]) -> str:
    """What a face is to be named: one name, or where faces were mixed, each with its share."""
    shares = sorted(((float(share), name) for share, name in zip(target, labels, strict=True)), reverse=True)
    named = [(share, name) for share, name in shares if share >= _NAMED][:_LINES]
    if len(named) == 1:
        return named[0][1]
    return ", ".join(f"{name} {share:.0%}" for share, name in named)
