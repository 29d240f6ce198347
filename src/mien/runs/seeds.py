"""Runs of one recipe with several seeds: their scores, and mean, spread and interval over the seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mien.runs.curves import read_curves

# What is summarised over the seeds, and what it is called.
MEASURES = {
    "best_accuracy": "accuracy, best epoch",
    "best_macro_f1": "macro F1, best epoch",
    "best_loss": "loss, best epoch",
    "last_accuracy": "accuracy, last epoch",
    "last_macro_f1": "macro F1, last epoch",
    "last_loss": "loss, last epoch",
}


@dataclass(frozen=True)
class SeedScore:
    """One run: its validation scores at the epoch that it kept, and after the last one."""

    seed: int
    folder: str
    epochs: int
    best_epoch: int
    best_accuracy: float
    best_macro_f1: float
    best_loss: float
    last_accuracy: float
    last_macro_f1: float
    last_loss: float


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over n seeds, and the 95 % interval of the mean.

    The interval is Student's t: it says how far the mean of other seeds may lie, on these same faces.
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class SeedRuns:
    """Runs that differ in the seed alone.

    Attributes:
        name: the recipe's.
        validation: the name of the faces that all are measured on.
        faces: how many these are.
        seeds: one row per run.
        folder: which has the runs.
    """

    name: str
    validation: str
    faces: int
    seeds: tuple[SeedScore, ...]
    folder: Path

    @cached_property
    def spreads(self) -> dict[str, Spread]:
        """By measure, as `MEASURES` names them."""
        return {name: spread([getattr(each, name) for each in self.seeds]) for name in MEASURES}

    @property
    def summary(self) -> str:
        """One line."""
        found = self.spreads["best_accuracy"]
        seeds = ", ".join(str(each.seed) for each in self.seeds)
        return (
            f"{self.name}: {found.mean:.2%} ± {100 * found.sd:.2f} on {self.validation} (n = {self.faces:,}; "
            f"mean and standard deviation over the seeds {seeds}; 95 % interval of the mean "
            f"{found.low:.2%} to {found.high:.2%}); {self.folder}"
        )


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and interval of two values or more."""
    from scipy.stats import t

    mean, sd, n = statistics.fmean(values), statistics.stdev(values), len(values)
    reach = float(t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    return Spread(mean, sd, mean - reach, mean + reach, n)


def read_seed(run: Path, seed: int) -> SeedScore:
    """The scores of one run, from its metrics.csv."""
    curves = read_curves(run)
    rows, best = curves.epochs, curves.best or 0
    scores = {
        f"{when}_{short}": rows[f"validation_{short}"][i]
        for when, i in (("best", best), ("last", -1))
        for short in ("accuracy", "macro_f1", "loss")
    }
    return SeedScore(seed, run.name, len(rows["epoch"]), int(rows["epoch"][best]), **scores)
