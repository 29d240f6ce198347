"""The page of an evaluation: scores, ranking, calibration and mistakes of a model on one split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.emotions import FER2013
from mien.evaluation.extended import ExtendedScores, score_extended
from mien.evaluation.fairness import GroupScores
from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.calibration import coverage_curve
from mien.evaluation.mistakes import confident_mistakes, confused_pairs
from mien.evaluation.predictions import Predictions, VotePredictions, vote_predictions
from mien.evaluation.result import Evaluation
from mien.evaluation.robustness import Robustness
from mien.models.card import Card
from mien.reports import tasks
from mien.reports.document import Chapter, Document, Section
from mien.reports.figures import calibration, examples, leaderboard, mistakes, scores
from mien.reports.figures.scores import thinned
from mien.reports.writer import write

NAME = "evaluate"
_TEXT = (
    "How often the prediction agrees with the label, how well its confidence is calibrated, and on which "
    "faces it is wrong. The intervals are bootstrap intervals over faces."
)
_SEED = 0


def sections(
    predictions: Predictions,
    *,
    voted: VotePredictions | Predictions | None = None,
    applied_temperature: float = 1.0,
    groups: Sequence[GroupScores] = (),
    robustness: Robustness | None = None,
    extended: ExtendedScores | None = None,
    cards: Sequence[Card] | None = None,
    selected_on: str = "",
    resamples: int = 2000,
) -> Iterator[Section]:
    """The figures that these predictions can give, in their order.

    Args:
        predictions: of a classifier for the faces of a split.
        voted: its predictions for the faces with FER+ votes, needed for several labels per face. Predictions
            against the majority lack the faces on which people disagreed.
        applied_temperature: the temperature that the probabilities contain; it is removed for the figures of
            the model without one.
        groups: scores of the groups in a user's file. Without any, the page states that fairness is
            unmeasured.
        robustness: accuracy on corrupted images, if it was measured.
        extended: the other scores, if they are known; else they are computed here.
        cards: those whose results are on the leaderboard; those of the shipped models for None.
        selected_on: the split that selected the model's epoch, if it is known, for the leaderboard.
        resamples: of the bootstrap.
    """
    p, generator = predictions, np.random.default_rng(_SEED)
    given = vote_predictions(voted) if isinstance(voted, Predictions) else voted
    extended = extended or score_extended(p, generator, voted=given, resamples=resamples)
    yield from score_sections(p, generator, resamples)
    yield from ranking_sections(p, extended)
    yield from calibration_sections(p, generator, applied_temperature)
    yield from mistake_sections(p)
    yield from tasks.multilabel_sections(extended)
    if binary := tasks.all_binary_tasks(p, extended, generator, resamples):
        yield tasks.binary_section(binary)
    yield from tasks.group_sections(groups or extended.groups)
    if (measured := robustness or extended.robustness) is not None:
        yield tasks.robustness_section(measured)
    if set(p.classes) == set(FER2013):
        here = leaderboard.result_of_predictions(p, _interval(p, resamples), selected_on=selected_on)
        yield tasks.leaderboard_section(cards, here)


def _interval(p: Predictions, resamples: int) -> tuple[float, float]:
    """The bootstrap interval of the accuracy, with the same generator as `mien evaluate`."""
    counts = metrics.confusion(p.probabilities, p.truth)
    by_subject = (
        None if p.subjects is None else metrics.confusion_by_subject(p.probabilities, p.truth, p.subjects)
    )
    return metrics.bootstrap_interval(
        counts,
        metrics.accuracy,
        generator=np.random.default_rng(_SEED),
        resamples=resamples,
        by_subject=by_subject,
    )


def chapter(predictions: Predictions, **options: Any) -> Chapter:
    """The evaluation as a chapter of a page; the options are those of `sections`."""
    return Chapter("evaluation", "Evaluation of the model", _TEXT, sections(predictions, **options))


def write_evaluation(
    evaluation: Evaluation,
    predictions: Predictions,
    folder: Path,
    *,
    on_section: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Path:
    """The path of evaluate.html; beside it are each figure as PNG, SVG and PDF, and evaluate.json.

    Args:
        evaluation: the scores of these predictions, for the page's head and the JSON's first keys.
        predictions: what is drawn.
        folder: created if it does not exist. Files of those names are replaced.
        on_section: called with the name of each section when its files are written.
        options: those of `sections`.

    Raises:
        DataError: the folder cannot be created.
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    e, extended = evaluation, options.get("extended")
    more = {} if extended is None else extended.to_dict()
    document = Document(
        name=NAME,
        title=f"Evaluation of {e.model} on {e.split}",
        lead=_lead(e),
        chapters=[chapter(predictions, **options)],
        about={"evaluation": {**e.to_dict(), **more}},
        facts=_facts(e, predictions),
    )
    return write(document, folder, on_section=on_section)


def _lead(e: Evaluation) -> str:
    low, high = e.scores.accuracy_ci95
    text = (
        f"Accuracy {e.scores.accuracy:.1%} on {e.scores.n:,} faces "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f}); macro F1 {e.scores.macro_f1:.1%}."
    )
    if e.deduplicated is not None:
        scores = e.deduplicated
        text += f" On the {scores.n:,} faces that are not also in Training: {scores.accuracy:.1%}."
    return text


def _facts(e: Evaluation, p: Predictions) -> dict[str, str]:
    truth = "labels of the data" if e.labels == "fer2013" else "majority of the FER+ votes"
    facts = {
        "model": f"{e.model}, head {e.head}",
        "data": f"{e.data.source}, {e.split}",
        "hash of the data": e.data.sha256[:16],
        "truth": truth,
        "classes": ", ".join(p.classes),
        "test-time augmentation": "none" if e.tta is None else f"mean of {len(e.tta)} crops per face",
        "macro F1": f"{e.scores.macro_f1:.1%}",
        "balanced accuracy": f"{e.scores.balanced_accuracy:.1%}",
        "top-2 accuracy": f"{e.scores.top2_accuracy:.1%}",
    }
    if e.left_out:
        facts["left out"] = ", ".join(f"{count:,} {reason}" for reason, count in e.left_out.items())
    return facts


def examples_section(predictions: Predictions) -> Section:
    """For each predicted class, the most confident face and the median one."""
    found = examples.select_examples(predictions)
    missing = ", ".join(f"{n:,} {reason}" for reason, n in predictions.left_out.items())
    left_out = f" Left out here and below, because they cannot be scored: {missing}." if missing else ""
    return Section(
        "examples",
        "Examples",
        f"Faces of {predictions.split} with the prediction, its confidence, and the label. They are "
        "selected by a rule: above, the most confident face of each predicted class; below, the face with "
        "the median confidence. The report showed images from its webcam; mien live does that for your own "
        f"face.{left_out}",
        (1.55 * len(found), 4.2),
        lambda axes: examples.draw(axes, predictions, found),
        [
            {"selected": which, **examples.facts(predictions, index)}
            for indices in found.values()
            for which, index in zip(("most confident", "median"), indices, strict=True)
        ],
        report_place="section 4.1",
        alt="Two rows of faces, one column per predicted class: " + ", ".join(found),
    )


def score_sections(p: Predictions, generator: np.random.Generator, resamples: int) -> Iterator[Section]:
    counts = metrics.confusion(p.probabilities, p.truth)
    plain = {"labels": list(p.classes), "counts": counts.tolist()}
    size = 2.4 + 0.78 * len(p.classes)
    yield Section(
        "confusion",
        "Confusion matrix",
        "One row per label, one column per prediction. The diagonal is correct. A dark cell beside it "
        "means that many faces of that label are predicted as another emotion.",
        (size, 0.72 * size),
        lambda axes: scores.draw_counts(axes, counts, p.classes),
        plain,
        report_place="section 4.1",
    )
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    yield Section(
        "confusion_normalized",
        "Confusion matrix, normalized",
        "The same in percent of each row, so that rare classes can be compared with frequent ones.",
        (size, 0.72 * size),
        lambda axes: scores.draw_shares(axes, counts, p.classes),
        {"labels": list(p.classes), "shares": np.round(shares, 5).tolist()},
        report_place="section 4.1",
    )
    estimates = scores.class_estimates(p, generator, resamples=resamples)
    yield Section(
        "per_class",
        "Scores per class",
        "Precision: the share of its predictions that are correct. Recall: the share of its faces that are "
        "predicted. F1: their harmonic mean. A rare class has wide intervals (percentile bootstrap over "
        "faces).",
        (9, 4.6),
        lambda axes: scores.draw_classes(axes, estimates),
        {name: _flat(each) for name, each in estimates.items()},
        report_place="section 4.1",
    )
    if curves := scores.class_curves(p):
        yield from _curves(curves)


def _curves(curves: dict[str, scores.ClassCurves]) -> Iterator[Section]:
    yield Section(
        "precision_recall",
        "Precision against recall",
        "The precision of each class at each recall. The average precision needs no threshold; at random "
        "it is the class's share of the faces.",
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
        "The area under the curve is the probability that a face of the class gets a higher score than a "
        "face of another class; 0.5 is random.",
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


def ranking_sections(p: Predictions, extended: ExtendedScores) -> Iterator[Section]:
    ranking = extended.ranking
    counts = metrics.confusion(p.probabilities, p.truth)
    recalls = dict(zip(p.classes, map(float, metrics.recall(counts)), strict=True))
    votes = extended.vote_ranking
    plain = {**dataclasses.asdict(ranking), "pairs": len(ranking.pairs)}
    yield Section(
        "top_k",
        "Top-k",
        "The report proposed two ordered predictions, because a face can show two emotions. If the first "
        f"prediction is wrong, the second is the label in {ranking.second_when_wrong:.1%} of the cases.",
        (7.5, 4),
        lambda axes: scores.draw_top_k(axes, ranking),
        {key: value for key, value in plain.items() if key not in ("pairs", "per_class_top2")},
        report_place="section 5.2",
    )
    yield Section(
        "top_2",
        "The second prediction, per class",
        "For each class, the share of faces with the label first, and among the first two.",
        (8, 1.6 + 0.42 * len(ranking.per_class_top2)),
        lambda axes: scores.draw_top_two(axes, ranking, recalls),
        {name: {"first": recalls[name], "first_two": two} for name, two in ranking.per_class_top2.items()},
        report_place="section 5.2",
    )
    text = (
        "If the second prediction is correct nearly as often as the first, the model cannot separate the two."
    )
    if votes is not None:
        text += (
            f" Compared with ten voters, on {votes.n_two:,} faces with a clear first and second choice: the "
            f"first prediction is one of the two for {votes.first_in_voters_two:.1%}, both are the same for "
            f"{votes.same_two:.1%}, and in the same order for {votes.same_order:.1%}."
        )
    yield Section(
        "top_2_pairs",
        "First and second prediction",
        text,
        (9, 1.4 + 0.36 * len(ranking.pairs)),
        lambda axes: scores.draw_pairs(axes, ranking),
        {
            "pairs": [dataclasses.asdict(pair) for pair in ranking.pairs],
            **({} if votes is None else {"against_the_votes": dataclasses.asdict(votes)}),
        },
        report_place="section 5.2",
    )


def _flat(each: scores.ClassEstimates) -> dict[str, float | int]:
    found: dict[str, float | int] = {"faces": each.faces}
    for name in ("precision", "recall", "f1"):
        estimate = getattr(each, name)
        found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return found


def calibration_sections(
    p: Predictions, generator: np.random.Generator, applied_temperature: float
) -> Iterator[Section]:
    curve = coverage_curve(p.probabilities, p.truth)
    found = calibration.measure_calibration(p, generator, applied_temperature=applied_temperature)
    if found is not None:
        yield from _calibration(found)
    yield Section(
        "coverage",
        "Accuracy against coverage",
        "A model can abstain. If it predicts only the faces with the highest confidence, its accuracy is "
        "higher.",
        (7.5, 4.4),
        lambda axes: calibration.draw_coverage(axes, curve),
        {
            "accuracy_at": {
                f"{share:.0%}": curve.accuracy_at(share) for share in calibration.NAMED_COVERAGES
            },
            "coverage": thinned(curve.coverage),
            "accuracy": thinned(curve.accuracy),
            "confidence": thinned(curve.confidence),
        },
    )
    if found is not None:
        yield from _conformal(found)


def _calibration(found: calibration.CalibrationReport) -> Iterator[Section]:
    c = found.calibration
    where = "that are not in Training" if found.not_in_training else "of the split"
    against = (
        " Confidence is compared with the share of the ten voters who chose the predicted emotion, on "
        "faces with a majority."
        if found.voters
        else ""
    )
    removed = (
        f" The predictions contain a temperature of {found.applied_temperature:.2f}, which was removed first."
        if found.applied_temperature != 1
        else ""
    )
    yield Section(
        "reliability",
        "Reliability",
        f"On the dotted line, confidence equals accuracy. The temperature was fitted on {c.n_fitted:,} faces "
        f"{where} and measured on the other {c.n_measured:,}. Larger marks are more faces.{against}{removed} "
        "An ECE at or below that of a perfectly calibrated model cannot be distinguished from perfect.",
        (6.6, 6),
        lambda axes: calibration.draw_reliability(axes, found),
        {
            **{
                name: getattr(c, name)
                for name in ("temperature", "ece_before", "ece_after", "ece_noise", "nll_before", "nll_after")
            },
            "applied_temperature": found.applied_temperature,
            "n_fitted": c.n_fitted,
            "n_measured": c.n_measured,
            "bins": [
                {"before_or_after": name, "faces": int(n), "confidence": float(x), "accuracy": float(y)}
                for name, bins in (("before", found.before), ("after", found.after))
                for n, x, y in zip(bins.count, bins.confidence, bins.accuracy, strict=True)
                if n
            ],
        },
    )


def _conformal(found: calibration.CalibrationReport) -> Iterator[Section]:
    fits = found.calibration.conformal
    yield Section(
        "conformal",
        "Conformal sets",
        "A conformal set contains the label with the requested probability: the most probable emotions, few "
        "for a confident prediction, many for a flat one. A good model needs small sets. The sets are fitted "
        "on one half of the faces and measured on the other.",
        (9.5, 1.3 + 0.75 * len(fits)),
        lambda axes: calibration.draw_sets(axes, found),
        [
            {
                **dataclasses.asdict(fit),
                **{f"size_{i}": float(share) for i, share in enumerate(sizes, 1)},
            }
            for fit, sizes in zip(fits, found.set_sizes, strict=True)
        ],
    )
    yield Section(
        "conformal_by_class",
        "Conformal sets, per class",
        "All classes share one threshold, so rare and hard classes are covered less often than requested, "
        "and easy classes more often.",
        (9, 4.4),
        lambda axes: calibration.draw_set_coverage(axes, found),
        {f"{fit.coverage:.0%}": each for fit, each in zip(fits, found.class_coverage, strict=True)},
    )


def mistake_sections(p: Predictions) -> Iterator[Section]:
    confident = confident_mistakes(p)
    if not confident:
        return
    rows = -(-len(confident) // mistakes.COLUMNS)
    votes = (
        ""
        if p.faces.votes is None
        else " If most people chose the predicted emotion, the label may be wrong."
    )
    yield Section(
        "mistakes",
        "The most confident mistakes",
        f"The wrong predictions with the highest probability; identical faces are shown once.{votes}",
        (12, 0.5 + 2.1 * rows),
        lambda axes: mistakes.draw_mistakes(axes, p, confident),
        [{k: v for k, v in dataclasses.asdict(each).items() if k != "index"} for each in confident],
    )
    pairs = confused_pairs(p)
    yield Section(
        "confused_pairs",
        "The most confused pairs",
        "The pairs of label and wrong prediction with most faces, and the most confident examples of each "
        "with the probability of the prediction.",
        (12, 0.5 + 1.38 * len(pairs)),
        lambda axes: mistakes.draw_pairs(axes, p, pairs),
        [
            {
                "label": pair.truth,
                "predicted": pair.predicted,
                "faces": pair.faces,
                "share": pair.share,
                "rows": ", ".join(str(each.row) for each in pair.examples),
            }
            for pair in pairs
        ],
    )
