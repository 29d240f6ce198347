"""Optimizer, learning rate, clipping, SAM and averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mien.errors import TrainError
from mien.runs.recipe_sections import OptimizerRecipe, ScheduleRecipe

T = TypeVar("T")


def build_optimizer(spec: OptimizerRecipe, network: nn.Module) -> Optimizer:
    """The optimiser of a recipe.

    AdamW and SGD leave biases and normalisation undecayed; Adam, which is the report's, does not.
    """
    # On a GPU one kernel for all weights in place of dozens; on a CPU nothing is won.
    fused = True if next(network.parameters()).is_cuda else None
    if spec.name == "adam":
        return Adam(network.parameters(), spec.lr, weight_decay=spec.weight_decay)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    if spec.name == "adamw":
        return AdamW(groups, spec.lr, weight_decay=spec.weight_decay, fused=fused)
    return SGD(
        groups,
        spec.lr,
        momentum=spec.momentum,
        weight_decay=spec.weight_decay,
        nesterov=spec.momentum > 0,
        fused=fused,
    )


def build_scheduler(
    spec: ScheduleRecipe, optimizer: Optimizer, lr: float, steps_per_epoch: int
) -> LRScheduler:
    """The learning rate along the run: torch's OneCycle, or a linear warm-up and a cosine down to zero."""
    total = spec.epochs * steps_per_epoch
    if spec.name == "onecycle":
        return OneCycleLR(optimizer, lr, total_steps=total)
    warmup = round(spec.warmup_epochs * steps_per_epoch)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))

    return LambdaLR(optimizer, factor)


def clip(spec: OptimizerRecipe, parameters: list[nn.Parameter]) -> Tensor:
    """Clip the gradients in place; returns their total norm before, a scalar."""
    if spec.clip_norm:
        return clip_grad_norm_(parameters, spec.clip_norm)
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    if spec.clip_value:
        clip_grad_value_(parameters, spec.clip_value)
    return norm


@contextmanager
def sharpness(rho: float, network: nn.Module) -> Iterator[None]:
    """Inside, the weights are moved to where the loss is highest within `rho`, by their present gradients.

    Afterwards they are restored. The passes inside do not change running statistics.

    Source: Foret et al. 2021, "Sharpness-Aware Minimization", equation 2.
    """
    moved = [p for p in network.parameters() if p.grad is not None]
    gradients = [p.grad for p in moved if p.grad is not None]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [module.momentum for module in norms]
    before = [p.detach().clone() for p in moved]
    with torch.no_grad():
        scale = rho / (get_total_norm(gradients) + 1e-12)
        for p, gradient in zip(moved, gradients, strict=True):
            p.add_(gradient * scale)
    for module in norms:
        module.momentum = 0.0
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(moved, before, strict=True):
                p.copy_(value)
        for module, momentum in zip(norms, momenta, strict=True):
            module.momentum = momentum


class Ema:
    """A moving average of a network's weights and statistics, fast at first and slow later."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's present values. `step` counts from 0."""
        # With the ramp, a short run does not depend on its initial weights.
        # Source: TensorFlow's ExponentialMovingAverage.
        decay = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = []
        values: list[Tensor] = []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averages.append(self.average[name])
                values.append(value)
            else:
                self.average[name].copy_(value)
        get_ema_multi_avg_fn(decay)(averages, values, 0)  # type: ignore[no-untyped-call]

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Inside, the network has the averaged values."""
        present = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.average)
        try:
            yield
        finally:
            network.load_state_dict(present)


# Messages of torch, by device, where it raises no error of its own kind for lack of memory.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)


def with_smaller_batches(work: Callable[[int], T], micro: int, note: Callable[[str], None]) -> tuple[T, int]:
    """The result of `work(micro)`, and the micro that fits into memory: halved until it does.

    Raises:
        TrainError: not even two faces fit.
    """
    while True:
        try:
            return work(micro), micro
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if micro <= 2:
                raise TrainError(
                    "out of memory with two faces at once. Lower network.size, or take a smaller backbone."
                ) from error
        # Not in the handler, where the error's frames still hold the tensors.
        micro = (micro + 1) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        note(f"Out of memory: continuing with {micro} faces at once, with accumulated gradients.")


def parts(n: int, micro: int) -> list[slice]:
    """A batch of n in even parts of at most `micro`, none of a single face: one has no statistics.

    Only an odd `n` with `micro` 2 gets a part of three.
    """
    count = max(min(math.ceil(n / micro), n // 2), 1)
    edges = [n * i // count for i in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]
