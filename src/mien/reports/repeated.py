"""The sections about several runs of one recipe: its seeds, or its folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mien.data.table import FaceTable
from mien.evaluation.predictions import Predictions
from mien.evaluation.result import DataSource, Evaluation, score_predictions
from mien.evaluation.run import SEED
from mien.reports.document import Section
from mien.reports.figures import repeated as drawing
from mien.reports.tabular import Tabular, of_folds, of_seeds
from mien.runs.folds import CrossValidation
from mien.runs.seeds import SeedRuns

ABOUT_SEEDS = (
    "Runs of one recipe that differ in the seed alone: initial heads, order and augmentation of the faces. "
    "The spread over them is that of training; the intervals of one run are those of drawing other faces."
)
ABOUT_FOLDS = (
    "Runs of one recipe that differ in the fold alone. Each run was trained on the other folds and scored on "
    "its own fold; no person is in two folds. An interval of the mean is not given, because the runs share "
    "training faces, so their scores are not independent."
)


def sections_of_seeds(found: SeedRuns, evaluations: Sequence[Evaluation]) -> Iterator[Section]:
    """The scores of the seeds, and where the runs were evaluated, F1 per class and the mean confusion."""
    (table,) = of_seeds(found)
    yield _table("seeds", "Scores of the seeds", table, "The interval of the mean is Student's t.")
    if evaluations:
        yield _per_class("seeds", "seed", evaluations)
        shares = drawing.mean_confusion(evaluations)
        names = list(evaluations[0].scores.per_class)
        side = 2.4 + 0.78 * len(names)
        yield Section(
            "seeds_confusion",
            "Confusion matrix, mean of the seeds",
            "One row per label, one column per prediction; each share is the mean of those of the seeds.",
            (side, 0.72 * side),
            lambda axes: drawing.draw_mean_confusion(axes, shares, names),
            {"labels": names, "shares": np.round(shares, 5).tolist()},
        )


def sections_of_folds(
    name: str, found: CrossValidation, evaluations: Sequence[Evaluation]
) -> Iterator[Section]:
    """The scores of the folds, and where the runs were evaluated, F1 per class and fold."""
    (table,) = of_folds(name, found)
    text = (
        "The last epoch was not chosen by a score. The best one was chosen on the fold itself, so its "
        "scores are too good."
    )
    yield _table("folds", "Scores of the folds", table, text)
    yield Section(
        "folds_accuracy",
        "Accuracy of each fold",
        "After the last epoch, and at the best one (rings). The lines are the means.",
        (8.4, 4.2),
        lambda axes: drawing.draw_folds(axes, found),
        {
            "fold": [each.fold for each in found.folds],
            "last epoch": [each.last_accuracy for each in found.folds],
            "best epoch": [each.best_accuracy for each in found.folds],
        },
    )
    if evaluations:
        yield _per_class("folds", "fold", evaluations)


def out_of_fold(
    name: str, folds: int, faces: FaceTable, evaluations: Sequence[Evaluation]
) -> Evaluation | None:
    """The scores of all faces together, each predicted by the run whose fold it is in; None without any."""
    if not evaluations:
        return None
    parts = [each.predictions for each in evaluations]
    seen = [part.not_in_training for part in parts]
    left_out: dict[str, int] = {}
    for part in parts:
        for reason, count in part.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    pooled: Predictions = replace(
        parts[0],
        model=name,
        split=f"{folds} folds",
        faces=_together([part.faces for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        truth=np.concatenate([part.truth for part in parts]),
        not_in_training=None
        if any(each is None for each in seen)
        else np.concatenate([each for each in seen if each is not None]),
        left_out=left_out,
    )
    source = DataSource(faces.source, faces.sha256)
    return score_predictions(pooled, np.random.default_rng(SEED), data=source)


def _together(tables: Sequence[FaceTable]) -> FaceTable:
    """The rows of several tables with the same columns."""
    first = tables[0]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("pixels", "labels", "splits", "rows", "votes", "names", "subjects")
        if getattr(first, name) is not None
    }
    return replace(first, **columns)


def _table(name: str, title: str, table: Tabular, text: str) -> Section:
    rows = [dict(zip(table.headings, row, strict=True)) for row in table.rows]
    return Section.without_figure(name, title, f"{table.title}. {text}", rows)


def _per_class(name: str, of: str, evaluations: Sequence[Evaluation]) -> Section:
    scores = drawing.per_class(evaluations)
    return Section(
        f"{name}_per_class",
        f"F1 per class and {of}",
        f"One mark per {of}, the bar is the mean.",
        (9, 4.2),
        lambda axes: drawing.draw_per_class(axes, scores, of),
        {
            label: {"mean": float(np.nanmean(values)), "sd": float(np.nanstd(values, ddof=1)), name: values}
            for label, values in scores.items()
        },
    )
