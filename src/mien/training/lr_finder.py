"""A range test of the learning rate: a few hundred steps, each at a higher rate than the one before."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from mien.data.table import Arrays, FaceTable
from mien.errors import UsageError
from mien.runs.lr_range import LrRange, smoothed
from mien.runs.recipe import Recipe
from mien.training.api import choose_device, read_options, resolve
from mien.training.data.loader import BatchLoader
from mien.training.data.splits import with_splits_of
from mien.training.distributed import World
from mien.training.learner import Learner
from mien.training.process import settings_restored
from mien.training.reporter import LogReporter, Progress, Reporter

# The test ends where the smoothed loss is so many times its lowest, as in fastai.
_DIVERGED = 4.0
_SETTLED = 5  # steps before the smoothed loss is trusted
_FEWEST_STEPS = 20


@settings_restored()
def find_lr(
    recipe: Recipe | str | Path = "quick",
    *,
    data: FaceTable | Arrays | str | Path,
    votes: str | Path | None = None,
    label_map: str | Path | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 200,
    device: str = "auto",
    threads: int | None = None,
    reporter: Reporter | None = None,
    **changes: Any,
) -> LrRange:
    """The loss at rising learning rates, and a rate to train with; nothing is written, and nothing kept.

        >>> mien.find_lr("quick", data="fer2013.csv").suggestion

    The network of the recipe begins with its initial weights. It is trained on the recipe's batches with its
    optimizer, while the rate rises by the same factor at each step.

    Args:
        recipe, data, votes, label_map, device, threads, reporter, changes: as of `mien.train`.
        lowest, highest: the first and the last rate. The test ends sooner where the loss has become four
            times its lowest.
        steps: how many; epochs are repeated if one has fewer.

    Raises:
        UsageError: `lowest` and `highest` are no range, or there are too few steps.
        TrainError: the loss diverged before there was a rate to suggest.
        RecipeError, DataError: as for `mien.train`.

    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.
    """
    if not 0 < lowest < highest:
        raise UsageError(f"learning rates must rise from above 0, not from {lowest:g} to {highest:g}.")
    if steps < _FEWEST_STEPS:
        raise UsageError(f"a range test needs {_FEWEST_STEPS} steps at least, not {steps}.")
    plan = resolve(recipe, changes)
    table = FaceTable.from_arrays(*data) if isinstance(data, tuple) else data
    options, faces = read_options(table, votes, label_map, device, threads)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    torch.set_flush_denormal(True)
    found = options.faces(plan.data.face_size) if faces is None else faces
    plan = with_splits_of(found, plan)
    report = reporter or LogReporter()
    place = torch.device(choose_device(options.device))
    loader = BatchLoader(plan, found, device=place, world=World(), note=report.note)
    learner = _learner(plan, loader, place, lowest, report.note)
    factor = (highest / lowest) ** (1 / (steps - 1))
    learner.scheduler = LambdaLR(learner.optimizer, lambda step: factor**step)
    return _rise(learner, loader, steps, report)


def _learner(
    plan: Recipe, loader: BatchLoader, device: torch.device, lr: float, note: Callable[[str], None]
) -> Learner:
    """The network of a recipe with its initial weights, at the side of its first epoch and at a rate."""
    first = {
        "optimizer.lr": lr,
        "optimizer.ema": 0.0,
        "schedule.name": "cosine",
        "schedule.warmup_epochs": 0.0,
    }
    learner = Learner.of(
        plan.changed(first), loader, device=device, world=World(), pretrained=True, note=note
    )
    learner.network.set_size(
        next((side for start, side in plan.schedule.sizes if not start), plan.network.size)
    )
    learner.network.train()
    return learner


def _rise(learner: Learner, loader: BatchLoader, steps: int, reporter: Reporter) -> LrRange:
    """Train for this many steps, or until the loss has diverged."""
    lrs: list[float] = []
    losses: list[float] = []
    best, began = math.inf, time.monotonic()
    for step in range(steps):
        epoch, within = divmod(step, loader.steps)
        if not within:
            order = loader.order(epoch)
        lrs.append(learner.lr)
        sums, _ = learner.update(loader.batch_at(order, epoch, within))
        objective, correct, faces, _ = sums.tolist()
        losses.append(objective / faces)
        recent = smoothed(losses)[-1] if math.isfinite(losses[-1]) else math.inf
        if recent > _DIVERGED * best:
            break
        best = min(best, recent) if step >= _SETTLED else best
        seconds = time.monotonic() - began
        reporter.step(
            Progress(
                epoch=1,
                epochs=1,
                step=step + 1,
                steps=steps,
                loss=recent,
                accuracy=correct / faces,
                images_per_s=(step + 1) * loader.batch / seconds,
                seconds_left=seconds / (step + 1) * (steps - step - 1),
            )
        )
    return LrRange.of(lrs, losses)
