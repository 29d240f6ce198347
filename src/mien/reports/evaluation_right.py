"""Parts of a page about how often a model is right: confusion, each class, curves, the first two answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from mien.evaluation.extended import ExtendedScores
from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.classification import confusion
from mien.evaluation.predictions import Predictions
from mien.reports.document import Section
from mien.reports.figures import scores
from mien.reports.figures.scores import thinned


def score_sections(p: Predictions, generator: np.random.Generator, resamples: int) -> Iterator[Section]:
    counts = confusion(p.probabilities, p.truth)
    plain = {"labels": list(p.classes), "counts": counts.tolist()}
    size = 2.4 + 0.78 * len(p.classes)
    yield Section(
        "confusion",
        "Confusion matrix",
        "A row a label, a column an answer. The diagonal is right; the darker a cell beside it, the more "
        "of that label's faces are taken for another emotion.",
        (size, 0.72 * size),
        lambda axes: scores.draw_counts(axes, counts, p.classes),
        plain,
        report="section 4.1",
    )
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    yield Section(
        "confusion_normalised",
        "Confusion matrix, normalised",
        "The same in percent of each row: how rare a class is no longer matters.",
        (size, 0.72 * size),
        lambda axes: scores.draw_shares(axes, counts, p.classes),
        {"labels": list(p.classes), "shares": np.round(shares, 5).tolist()},
        report="section 4.1",
    )
    estimates = scores.class_estimates(p, generator, resamples=resamples)
    yield Section(
        "per_class",
        "Each class",
        "Precision: how many of its answers are right. Recall: how many of its faces are found. F1: their "
        "harmonic mean. The rarer a class, the wider its intervals (percentile bootstrap over faces).",
        (9, 4.6),
        lambda axes: scores.draw_classes(axes, estimates),
        {name: _flat(each) for name, each in estimates.items()},
        report="section 4.1",
    )
    if curves := scores.class_curves(p):
        yield from _curves(curves)


def _curves(curves: dict[str, scores.ClassCurves]) -> Iterator[Section]:
    yield Section(
        "precision_recall",
        "Precision against recall",
        "What each class's precision is when more of its faces are to be found. No threshold is in the "
        "average precision; by guessing it is the class's share of the faces.",
        (9, 5.2),
        lambda axes: scores.draw_precision_recall(axes, curves),
        {
            name: {
                "average_precision": each.precision_recall.average_precision,
                "faces": each.faces,
                "recall": thinned(each.precision_recall.recall),
                "precision": thinned(each.precision_recall.precision),
            }
            for name, each in curves.items()
        },
    )
    yield Section(
        "roc",
        "ROC",
        "How often a face of the class gets a higher probability than one of another: the area; 0.5 is "
        "guessing.",
        (9, 5.2),
        lambda axes: scores.draw_roc(axes, curves),
        {
            name: {
                "auc": each.roc.auc,
                "faces": each.faces,
                "false_positive_rate": thinned(each.roc.false_positive_rate),
                "true_positive_rate": thinned(each.roc.true_positive_rate),
            }
            for name, each in curves.items()
        },
    )


def ranking_sections(p: Predictions, deeper: ExtendedScores) -> Iterator[Section]:
    ranking = deeper.ranking
    counts = confusion(p.probabilities, p.truth)
    recalls = dict(zip(p.classes, map(float, metrics.recall(counts)), strict=True))
    votes = deeper.vote_ranking
    plain = {**dataclasses.asdict(ranking), "pairs": len(ranking.pairs)}
    yield Section(
        "top_k",
        "Top-k",
        "The report wished for two answers in their order, since a face can show two emotions at once. Of "
        f"the wrong answers, {ranking.second_when_wrong:.1%} have the label in the second place.",
        (7.5, 4),
        lambda axes: scores.draw_top_k(axes, ranking),
        {key: value for key, value in plain.items() if key not in ("pairs", "per_class_top2")},
        report="section 5.2",
    )
    yield Section(
        "top_2",
        "The second answer, class by class",
        "From the share of a class's faces that the first answer finds to the share that the first two find.",
        (8, 1.6 + 0.42 * len(ranking.per_class_top2)),
        lambda axes: scores.draw_top_two(axes, ranking, recalls),
        {name: {"first": recalls[name], "first_two": two} for name, two in ranking.per_class_top2.items()},
        report="section 5.2",
    )
    text = "Where the second answer is right nearly as often as the first, the model knows no more than both."
    if votes is not None:
        text += (
            f" Against ten people: on {votes.n_two:,} faces whose voters have a clear first and second "
            f"answer, the model's first is one of the two on {votes.first_in_voters_two:.1%}, its two are "
            f"theirs on {votes.same_two:.1%}, in their order on {votes.same_order:.1%}."
        )
    yield Section(
        "top_2_pairs",
        "First and second answer",
        text,
        (9, 1.4 + 0.36 * len(ranking.pairs)),
        lambda axes: scores.draw_pairs(axes, ranking),
        {
            "pairs": [dataclasses.asdict(pair) for pair in ranking.pairs],
            **({} if votes is None else {"against_the_votes": dataclasses.asdict(votes)}),
        },
        report="section 5.2",
    )


def _flat(each: scores.ClassEstimates) -> dict[str, float | int]:
    found: dict[str, float | int] = {"faces": each.faces}
    for name in ("precision", "recall", "f1"):
        estimate = getattr(each, name)
        found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return found
