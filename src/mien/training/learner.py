"""Network, optimizer, learning rate and averaged weights, and how one batch changes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mien.errors import Diverged
from mien.runs.recipe import Recipe
from mien.training.data.label_loss import LabelLoss
from mien.training.data.loader import Batch, BatchLoader
from mien.training.data.targets import cross_entropy, objective_of
from mien.training.distributed import World
from mien.training.network.bf16 import layers as kernels
from mien.training.network.model import build_network, compiled, has_bfloat16
from mien.training.network.onnx_weights import settle
from mien.training.network.pretrained import onnx_init
from mien.training.optim import (
    Ema,
    build_optimizer,
    build_scheduler,
    clip,
    parts,
    sharpness,
    with_smaller_batches,
)

# What `Learner.update` measures, in the order of its result. Losses are sums over the faces.
SUMS = ("objective", "correct", "faces", "label_loss")

# Faces on which the normalisation of an exported model is restored: 4,000 values per channel at 2x2 pixels.
_SETTLE_ON = 1024


class Learner:
    """The parts of a run that a step changes.

    Args:
        recipe: what to build, and how to step.
        heads: of the network, the labels' head first.
        steps: of an epoch, for the learning rate.
        batch: faces that this process has in a step, all put through at once while the memory allows.
        pretrained: whether to fill in the recipe's initial weights.
        note: is called with a text when memory runs out or bfloat16 cannot be used.
        sample: returns n augmented faces, float (n, 1, S, S). The normalisation of an exported model, which
            is folded into its convolutions, is restored on them.
        label_loss: of logits and targets (N, C) of the labels' head, the sum over the faces; the
            cross-entropy with the recipe's smoothing for None.
    """

    def __init__(
        self,
        recipe: Recipe,
        heads: tuple[str, ...],
        *,
        steps: int,
        batch: int,
        device: torch.device,
        world: World,
        pretrained: bool,
        note: Callable[[str], None],
        sample: Callable[[int], Tensor] | None = None,
        label_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.recipe, self.device, self.world, self.note = recipe, device, world, note
        self.network = build_network(
            recipe.network,
            heads,
            seed=recipe.loop.seed,
            pretrained=pretrained,
            own=recipe.data.classes,
        )
        self.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if sample and pretrained and onnx_init(recipe.network):
            settle(self.network, sample(_SETTLE_ON))
        self.optimizer = build_optimizer(recipe.optimizer, self.network)
        self.scheduler = build_scheduler(recipe.schedule, self.optimizer, recipe.optimizer.lr, steps)
        self.ema = Ema(self.network, recipe.optimizer.ema) if recipe.optimizer.ema else None
        self.micro = min(recipe.loop.micro_batch or batch, batch)
        self.label_head = heads[0]
        smoothing = recipe.loss.label_smoothing
        self._label_loss = label_loss or partial(cross_entropy, smoothing=smoothing)
        self.weights = {self.label_head: recipe.loss.label_weight, "votes": recipe.loss.votes_weight}
        self.bfloat16 = self._prepare_precision()
        self._forward = compiled(self.network) if recipe.loop.compile else self.network
        # Apple's GPUs have no float64.
        self.sums_type = torch.float32 if device.type == "mps" else torch.float64

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        loader: BatchLoader,
        *,
        device: torch.device,
        world: World,
        pretrained: bool,
        note: Callable[[str], None],
        label_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Learner:
        """The learner for the faces of a loader; its loss is the recipe's if none is given."""
        return cls(
            recipe,
            loader.heads,
            steps=loader.steps,
            batch=loader.batch,
            device=device,
            world=world,
            pretrained=pretrained,
            note=note,
            sample=loader.sample,
            label_loss=label_loss or LabelLoss(recipe.loss, loader.label_counts),
        )

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.scheduler.get_last_lr()[0])

    def autocast(self) -> torch.autocast:
        """Inside, the network computes in the recipe's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def weights_to_keep(self) -> dict[str, Tensor]:
        """The network's state, averaged where the recipe averages."""
        return self.ema.average if self.ema else self.network.state_dict()

    def update(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One step on this process's part of a batch: its `SUMS` (4,), and the norm of the whole gradient.

        Seeds the global generator, from which dropout and drop-path draw.

        Raises:
            TrainError: two faces are too many for the memory.
        """
        pixels = batch.pixels.to(memory_format=torch.channels_last)

        def gradient(micro: int) -> Tensor:
            torch.manual_seed(batch.seed)
            self.optimizer.zero_grad(set_to_none=True)
            return self._accumulate(pixels, batch, micro)

        sums, self.micro = with_smaller_batches(gradient, self.micro, self.note)
        if self.recipe.optimizer.sam_rho:
            self.world.average(self._gradients())
            with sharpness(self.recipe.optimizer.sam_rho, self.network):
                gradient(self.micro)
        self.world.average(self._gradients() + self._statistics())
        norm = clip(self.recipe.optimizer, list(self.network.parameters()))
        self.optimizer.step()
        done = self.scheduler.last_epoch
        self.scheduler.step()
        if self.ema:
            self.ema.update(self.network, done)
        return sums, norm

    def check_finite(self) -> None:
        """Check that all weights are finite.

        Raises:
            Diverged: one is not, though the last loss still was.
        """
        state = self.network.state_dict()
        # One answer for all: each would make a GPU wait.
        finite = torch.stack([torch.isfinite(value).all() for value in state.values()])
        if not finite.all():
            name = list(state)[int(finite.int().argmin())]
            raise Diverged(
                f"after {self.scheduler.last_epoch} steps {name} is no longer finite; it is not saved. "
                "Lower optimizer.lr, lengthen schedule.warmup_epochs, or set optimizer.clip_norm=1."
            )

    def _prepare_precision(self) -> bool:
        """Whether the network computes in bfloat16; on a CPU this installs the layers for it."""
        precision = self.recipe.loop.precision
        if precision == "auto":
            return has_bfloat16(self.device)
        if precision == "bfloat16" and self.device.type == "cpu":
            if reason := kernels.why_not():
                self.note(f"loop.precision='bfloat16': {reason}, so the network computes in float32.")
                return False
            kernels.install(self.network)
        return precision == "bfloat16"

    def _accumulate(self, pixels: Tensor, batch: Batch, micro: int) -> Tensor:
        """Gradients of the batch's mean loss, a part at a time; its `SUMS`, (4,)."""
        sums = torch.zeros(len(SUMS), dtype=self.sums_type, device=self.device)
        for part in parts(len(pixels), micro):
            targets = {name: target[part] for name, target in batch.targets.items()}
            with self.autocast():
                logits = self._forward(pixels[part])
            objective = objective_of(logits, targets, self.weights, self._label_loss)
            (objective / len(pixels)).backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                labels = batch.labels[part]
                sums[0] += objective
                predicted = logits[self.label_head]
                sums[1] += (predicted.argmax(1) == labels.argmax(1)).sum()
                sums[2] += len(labels)
                sums[3] += cross_entropy(predicted, labels)
        return sums

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.network.parameters() if p.grad is not None]

    def _statistics(self) -> list[Tensor]:
        """The running means and variances, which each process gathers from its own faces."""
        return [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]
