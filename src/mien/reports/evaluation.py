"""Judging a model: every figure about its answers on one split, as parts of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.emotions import FER2013
from mien.evaluation.extended import ExtendedScores, score_extended
from mien.evaluation.fairness import GroupScores
from mien.evaluation.predictions import Predictions, VotePredictions, vote_predictions
from mien.evaluation.result import Evaluation
from mien.evaluation.robustness import Robustness
from mien.models.card import Card
from mien.reports.document import Chapter, Document, Section
from mien.reports.evaluation_believed import calibration_sections
from mien.reports.evaluation_right import ranking_sections, score_sections
from mien.reports.evaluation_wider import (
    all_binary_tasks,
    binary_section,
    group_sections,
    leaderboard_section,
    multilabel_sections,
    robustness_section,
)
from mien.reports.figures.mistakes import mistake_sections
from mien.reports.writer import write

NAME = "evaluate"
_TEXT = (
    "How often the answer agrees with what people said of the same faces, how far its confidence can be "
    "believed, and on which faces it is wrong. An interval holds what other faces of the same kind would "
    "give."
)
_SEED = 0


def sections(
    predictions: Predictions,
    *,
    voted: VotePredictions | Predictions | None = None,
    applied_temperature: float = 1.0,
    groups: Sequence[GroupScores] = (),
    robustness: Robustness | None = None,
    depth: ExtendedScores | None = None,
    cards: Sequence[Card] | None = None,
    resamples: int = 2000,
) -> Iterator[Section]:
    """The figures that these predictions can give, in their order.

    Args:
        predictions: what a classifier said of the faces of a split, and what is true of them.
        voted: its answers for the faces with FER+ votes, needed for several labels a face; from predictions
            against the majority they lack the faces on which people disagreed.
        applied_temperature: the temperature that the probabilities already hold; it is taken out where
            the figure is of the model without one.
        groups: scores of groups that a user's file names. Without any the page says that fairness is
            unmeasured.
        robustness: accuracy on damaged pictures, where it was measured.
        depth: where it is known already; else it is measured here.
        cards: those whose figures stand on the leaderboard; of the models that ship, for None.
        resamples: of the bootstrap.
    """
    p, generator = predictions, np.random.default_rng(_SEED)
    answers = vote_predictions(voted) if isinstance(voted, Predictions) else voted
    deeper = depth or score_extended(p, generator, voted=answers, resamples=resamples)
    yield from score_sections(p, generator, resamples)
    yield from ranking_sections(p, deeper)
    yield from calibration_sections(p, generator, applied_temperature)
    yield from mistake_sections(p)
    yield from multilabel_sections(deeper)
    if questions := all_binary_tasks(p, deeper, generator, resamples):
        yield binary_section(questions)
    yield from group_sections(groups or deeper.groups)
    if (damage := robustness or deeper.robustness) is not None:
        yield robustness_section(damage)
    if set(p.classes) == set(FER2013):
        yield leaderboard_section(cards)


def chapter(predictions: Predictions, **options: Any) -> Chapter:
    """Judging the model, as a chapter of a page; the options are those of `parts`."""
    return Chapter("judging", "Judging the model", _TEXT, sections(predictions, **options))


def write_evaluation(
    evaluation: Evaluation,
    predictions: Predictions,
    folder: Path,
    *,
    done: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Path:
    """The page evaluate.html, beside each figure as PNG and SVG and evaluate.json.

    Args:
        evaluation: the scores of these predictions, for the page's head and the JSON's first keys.
        predictions: what is drawn.
        folder: written to; made if it is not there. Files of those names are replaced.
        done: told the name of each part when its files are written.
        options: those of `parts`.

    Raises:
        DataError: the folder cannot be made.
        MissingExtra: matplotlib is not installed.
    """
    e, depth = evaluation, options.get("depth")
    more = {} if depth is None else depth.to_dict()
    document = Document(
        name=NAME,
        title=f"How well {e.model} reads {e.split}",
        lead=_lead(e),
        chapters=[chapter(predictions, **options)],
        about={"evaluation": {**e.to_dict(), **more}},
        facts=_facts(e, predictions),
    )
    return write(document, folder, done=done)


def _lead(e: Evaluation) -> str:
    low, high = e.scores.accuracy_ci95
    text = (
        f"Of {e.scores.n:,} faces it answers {e.scores.accuracy:.1%} as labelled "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f}); macro F1 {e.scores.macro_f1:.1%}."
    )
    if e.deduplicated is not None:
        text += (
            f" On the {e.deduplicated.n:,} that do not also stand in Training: {e.deduplicated.accuracy:.1%}."
        )
    return text


def _facts(e: Evaluation, p: Predictions) -> dict[str, str]:
    truth = "labels of the data" if e.labels == "fer2013" else "majority of the FER+ votes"
    facts = {
        "model": f"{e.model}, head {e.head}",
        "data": f"{e.data.source}, {e.split}",
        "hash of the data": e.data.sha256[:16],
        "held against": truth,
        "classes": ", ".join(p.classes),
        "asked": "one look at each face" if e.tta is None else f"mean of {len(e.tta)} views of each face",
        "macro F1": f"{e.scores.macro_f1:.1%}",
        "balanced accuracy": f"{e.scores.balanced_accuracy:.1%}",
        "top-2 accuracy": f"{e.scores.top2_accuracy:.1%}",
    }
    if e.left_out:
        facts["left out"] = ", ".join(f"{count:,} {reason}" for reason, count in e.left_out.items())
    return facts
