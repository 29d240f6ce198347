"""Runs of one recipe, one per fold of the data: their scores, and mean and spread over the folds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.runs.curves import read_curves

# The recipe, and what the folds gave, as JSON and as CSV.
PLAN, RESULT, SCORES = "folds.toml", "folds.json", "folds.csv"


@dataclass(frozen=True)
class FoldScore:
    """One fold: scores on the people that were held out, after the last epoch and at the best one.

    The best epoch was chosen on the fold itself, so its scores are too high; the last was not chosen.
    `subjects` is 0 where the number of people is not known.
    """

    fold: int
    subjects: int
    faces: int
    epochs: int
    last_accuracy: float
    last_loss: float
    best_epoch: int
    best_accuracy: float
    last_macro_f1: float
    best_macro_f1: float


@dataclass(frozen=True)
class CrossValidation:
    """All folds of a recipe.

    Attributes:
        folds: one row per fold.
        subjects, faces: how many people and faces the folds have together.
        mean, sd: accuracy over the folds after the last epoch, and its sample standard deviation.
        pooled: that accuracy over all faces.
        best_mean, best_sd: as `mean` and `sd`, at each fold's best epoch.
        summary: all of it in one line.
    """

    folds: tuple[FoldScore, ...]
    subjects: int
    faces: int
    mean: float
    sd: float
    pooled: float
    best_mean: float
    best_sd: float
    summary: str = ""


def read_fold(run: Path, fold: int, subjects: int = 0) -> FoldScore:
    """The scores of the run of one fold, from its folder.

    Raises:
        DataError: it has no finished epoch.
    """
    curves = read_curves(run)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    rows, best = curves.epochs, curves.best or 0
    return FoldScore(
        fold=fold,
        subjects=subjects,
        faces=int(facts["validation_faces"]),
        epochs=len(rows["epoch"]),
        last_accuracy=rows["validation_accuracy"][-1],
        last_loss=rows["validation_loss"][-1],
        best_epoch=int(rows["epoch"][best]),
        best_accuracy=rows["validation_accuracy"][best],
        last_macro_f1=rows["validation_macro_f1"][-1],
        best_macro_f1=rows["validation_macro_f1"][best],
    )


def over_folds(scores: Sequence[FoldScore]) -> CrossValidation:
    """Two folds or more together."""
    last, best = [each.last_accuracy for each in scores], [each.best_accuracy for each in scores]
    faces = sum(each.faces for each in scores)
    return CrossValidation(
        folds=tuple(scores),
        subjects=sum(each.subjects for each in scores) if all(each.subjects for each in scores) else 0,
        faces=faces,
        mean=statistics.fmean(last),
        sd=statistics.stdev(last),
        pooled=sum(each.last_accuracy * each.faces for each in scores) / faces,
        best_mean=statistics.fmean(best),
        best_sd=statistics.stdev(best),
    )


def subjects_by_fold(folder: Path) -> dict[int, int]:
    """Fold to its number of people, as the folder of `mien train --folds` says; empty where it does not."""
    try:
        rows = json.loads((folder / RESULT).read_text(encoding="utf-8"))["folds"]
        return {int(row["fold"]): int(row["subjects"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
