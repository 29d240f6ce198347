"""The figures of each step, read from the device rarely, because each reading makes a GPU wait."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from mien.errors import Diverged


@dataclass(frozen=True)
class Step:
    """A row of steps.csv: `step` counts from 0 over the whole run; `loss` is the batch's mean objective."""

    step: int
    lr: float
    loss: float
    gradient_norm: float
    seconds: float


class StepLog:
    """Collects the figures of steps as rows.

    `seconds` of a step is the mean over the steps that were read together: on a CPU, where reading
    costs nothing, they are read one by one.

    Args:
        steps: of an epoch, for messages.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._unread: list[tuple[int, float, Tensor]] = []
        self._rows: list[Step] = []
        self._since = time.monotonic()

    def begin(self) -> None:
        """Start the clock: steps begin now."""
        self._since = time.monotonic()

    def add(self, step: int, lr: float, measured: Tensor) -> None:
        """Add a step that the device is computing. `measured` is its mean loss and gradient norm, (2,)."""
        self._unread.append((step, lr, measured))

    def read(self) -> None:
        """Wait for the pending steps, and read their figures.

        Raises:
            Diverged: the loss or the gradient of one is not a finite number.
        """
        if not self._unread:
            return
        measured = torch.stack([entry for _, _, entry in self._unread]).tolist()
        now = time.monotonic()
        seconds = (now - self._since) / len(measured)
        self._since = now
        for (step, lr, _), (loss, norm) in zip(self._unread, measured, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise Diverged(
                    f"epoch {step // self._steps + 1}, step {step % self._steps + 1}: the loss is {loss} and "
                    f"the gradient's norm {norm}. Lower optimizer.lr (here {lr:.3g}), lengthen "
                    "schedule.warmup_epochs, or set optimizer.clip_norm=1."
                )
            self._rows.append(Step(step, lr, loss, norm, seconds))
        self._unread.clear()

    def drain(self) -> list[Step]:
        """The rows that were read since the last call."""
        rows, self._rows = self._rows, []
        return rows
