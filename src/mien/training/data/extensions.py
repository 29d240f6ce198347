"""What a caller adds to a run in Python: a loss of their own, and an augmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Generator, Tensor

from mien.errors import UsageError

# Logits (N, C) and targets (N, C) of the labels' head to the loss of each face, (N,).
OwnLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
# A batch of faces, float (N, 1, S, S) in 0..1, and a generator on their device, to changed faces.
OwnAugmentation: TypeAlias = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True)
class Extensions:
    """Functions of the caller's that take part in each step; None where there is none."""

    loss: OwnLoss | None = None
    augment: OwnAugmentation | None = None

    @property
    def names(self) -> dict[str, str]:
        """The functions by what they are for, as run.json keeps them."""
        own = {"loss": self.loss, "augment": self.augment}
        return {name: _name_of(each) for name, each in own.items() if each is not None}

    def augmented(self, pixels: Tensor, generator: Generator) -> Tensor:
        """The faces after the caller's augmentation, where there is one.

        Raises:
            UsageError: it gave another shape.
        """
        if self.augment is None:
            return pixels
        changed = self.augment(pixels, generator)
        if not isinstance(changed, Tensor) or changed.shape != pixels.shape:
            got = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
            raise UsageError(
                f"augment={_name_of(self.augment)} must return a tensor of the shape it is given, "
                f"{tuple(pixels.shape)}, not {got}."
            )
        return changed

    def summed_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """The sum over the faces of the caller's loss, a scalar.

        Raises:
            UsageError: it did not give one number per face, or there is no such loss.
        """
        each = None if self.loss is None else self.loss(logits, target)
        if not isinstance(each, Tensor) or each.shape != logits.shape[:1]:
            got = tuple(each.shape) if isinstance(each, Tensor) else type(each).__name__
            raise UsageError(
                f"loss={_name_of(self.loss)} must return the loss of each face, ({len(logits)},), not {got}. "
                "Of torch's losses, reduction='none' gives that."
            )
        return each.sum()


def _name_of(function: object) -> str:
    """Module and name of a function or an object that is called."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
