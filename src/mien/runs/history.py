"""The epochs of a run: which is the best, whether to stop, and whether the run overfits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch, a row of metrics.csv. Accuracies are shares; losses are means over faces.

    `train_*` are of the augmented, and perhaps mixed, faces while the weights changed. `train_loss` and
    `validation_loss` are the cross-entropy of the labels; `objective` is what was minimised: all heads,
    smoothed. `gap` is validation loss minus train loss. `images_per_s` includes the validation; `seconds`
    is since the run began.
    """

    epoch: int
    size: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    votes_loss: float | None
    gap: float
    gradient_norm: float
    images_per_s: float
    seconds: float
    best: bool
    objective: float | None = None
    validation_macro_f1: float | None = None


def best_of(history: Sequence[Epoch]) -> Epoch | None:
    """The best epoch, whose weights are kept: the last that is marked as best."""
    return next((row for row in reversed(history) if row.best), None)


def is_better(row: Epoch, best: Epoch | None, select: str) -> bool:
    """Whether an epoch beats the best so far by accuracy, macro F1 or loss; an equal one does not."""
    if best is None:
        return True
    if select == "accuracy":
        return row.validation_accuracy > best.validation_accuracy
    if select == "macro_f1":
        return (row.validation_macro_f1 or 0.0) > (best.validation_macro_f1 or 0.0)
    return row.validation_loss < best.validation_loss


def ran_out_of_patience(history: list[Epoch], patience: int) -> bool:
    """Whether the last `patience` epochs brought no better one; never if it is 0."""
    best = best_of(history)
    return bool(patience and best and len(history) - best.epoch >= patience)


def overfitting(history: list[Epoch], window: int = 3) -> str | None:
    """A warning if validation loss rises over the last epochs and accuracy does not, else None.

    It is given once for each stretch of rising loss.

    Source: the report's own lesson (section 5.1): validation accuracy was increasing, "but failed to
    take notice that validation loss was also increasing at the same time".
    """
    if not _overfits(history, window) or _overfits(history[:-1], window):
        return None
    first, last = history[-window - 1].validation_loss, history[-1].validation_loss
    best = max(row.validation_accuracy for row in history)
    return (
        f"Overfitting: validation loss rose for {window} epochs ({first:.3f} to {last:.3f}) and accuracy has "
        f"not passed {best:.2%}. Stop here, or strengthen augmentation or weight decay."
    )


def _overfits(history: list[Epoch], window: int) -> bool:
    if len(history) <= window:
        return False
    recent = history[-window - 1 :]
    rising = all(after.validation_loss > before.validation_loss for before, after in pairwise(recent))
    best_before = max(row.validation_accuracy for row in history[:-window])
    return rising and max(row.validation_accuracy for row in recent[1:]) <= best_before
