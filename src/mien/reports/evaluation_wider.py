"""Parts of a page beyond one label a face: several labels, questions, groups, damaged pictures, the field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.emotions import FERPLUS, BinaryTask, binary_task
from mien.errors import UsageError
from mien.evaluation.binary import BinaryScores, score_binary
from mien.evaluation.extended import ExtendedScores
from mien.evaluation.fairness import UNMEASURED, GroupScores
from mien.evaluation.predictions import Predictions
from mien.evaluation.robustness import Robustness
from mien.models.card import Card
from mien.plotting import QUIET
from mien.reports.document import Section
from mien.reports.figures import leaderboard, tasks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def multilabel_sections(deeper: ExtendedScores) -> Iterator[Section]:
    found = deeper.multilabel
    if found is None:
        return
    shown = sum(1 for each in found.per_emotion.values() if each.support)
    plain = dataclasses.asdict(found)
    yield Section(
        "multilabel",
        "Several labels a face",
        f"A face has every emotion that {found.vote_threshold:.0%} of its voters saw (FER+'s rule; "
        f"{found.n:,} faces, {found.mean_labels:.2f} labels each; {found.left_out:,} without clear labels "
        f"are left out). The model's likeliest emotion is one of them on {found.top1_in_set:.1%}; named "
        f"from the same probability, its set is exactly theirs on {found.exact_match:.1%}.",
        (8.5, 1.5 + 0.42 * shown),
        lambda axes: tasks.draw_labels(axes, found),
        {key: value for key, value in plain.items() if key != "sweep"},
        report="section 5.2",
    )
    yield Section(
        "multilabel_threshold",
        "Exact match by threshold",
        "The lower the threshold, the more emotions the model names. The likeliest is always named. The "
        "threshold used is that of the votes; the best one is chosen on these very faces, so it flatters.",
        (7.5, 4),
        lambda axes: tasks.draw_sweep(axes, found),
        {f"{level:.2f}": share for level, share in found.sweep.items()},
        report="section 5.2",
    )


def all_binary_tasks(
    p: Predictions, deeper: ExtendedScores, generator: np.random.Generator, resamples: int
) -> list[BinaryScores]:
    """All questions that these classes and faces can answer; those already asked are taken as they are."""
    asked = {each.name: each for each in deeper.binary}
    found = []
    for framing in binary_tasks_of(p):
        if framing.name in asked:
            found.append(asked[framing.name])
            continue
        try:
            found.append(score_binary(p, framing, generator, resamples=resamples))
        except UsageError:  # one side has no faces in this data
            continue
    return found


def binary_tasks_of(p: Predictions) -> list[BinaryTask]:
    """Negative against positive, and each emotion of the predictions against the rest."""
    names = [name for i, name in enumerate(p.classes) if name in FERPLUS and (p.truth == i).any()]
    return [binary_task(name) for name in ("negative", *names)]


def binary_section(found: list[BinaryScores]) -> Section:
    return Section(
        "binary",
        "Yes-or-no questions",
        "The report wished to frame the problem as a binary one. A side's probability is the sum of its "
        "emotions'. Negative is angry, disgust, fear, sad and contempt; positive is happy; surprise and "
        "neutral are neither, and left out. Where one side is rare, accuracy says little: compare it with "
        "always giving the same answer.",
        (10, 1.6 + 0.5 * len(found)),
        lambda axes: tasks.draw_binary(axes, found),
        [
            {
                "question": f"{each.classes[1]} against {each.classes[0]}",
                "faces": each.scores.n,
                "accuracy": each.scores.accuracy,
                "balanced_accuracy": each.scores.balanced_accuracy,
                "precision": each.scores.per_class[each.classes[1]].precision,
                "recall": each.scores.per_class[each.classes[1]].recall,
                "f1": each.scores.per_class[each.classes[1]].f1,
                "roc_auc": each.roc_auc,
                "average_precision": each.average_precision,
                "always_the_same_answer": each.baseline,
            }
            for each in found
        ],
        report="section 5.2",
    )


def group_sections(groups: Sequence[GroupScores]) -> Iterator[Section]:
    if not groups:
        yield Section(
            "fairness",
            "Groups of people",
            UNMEASURED,
            (8, 0.9),
            _draw_unmeasured,
            {"fairness": UNMEASURED},
        )
    for i, each in enumerate(groups):
        yield _one_grouping(each, "groups" if not i else f"groups_{i + 1}")


def _one_grouping(found: GroupScores, name: str) -> Section:
    text = (
        f"Groups as the file names them in {found.column}; none is guessed from a face. Groups of fewer than "
        f"{found.minimum_n} faces are not scored."
    )
    if found.gap is not None and found.gap_ci95 is not None:
        low, high = found.gap_ci95
        text += (
            f" The gap between best and worst is {100 * found.gap:.1f} points ({100 * low:.1f} to "
            f"{100 * high:.1f}). Chance alone makes a gap: groups drawn at random, with as many faces of "
            f"each label, have one at least as large in {found.p_value:.1%} of {found.permutations:,} draws."
        )
    return Section(
        name,
        f"Groups of people: {found.column}",
        text,
        (8.5, 1.3 + 0.55 * len(found.groups)),
        lambda axes: tasks.draw_groups(axes, found),
        dataclasses.asdict(found),
    )


def _draw_unmeasured(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        "Fairness across groups of people: unmeasured",
        ha="center",
        va="center",
        color=QUIET,
        size=14,
    )


def robustness_section(found: Robustness) -> Section:
    return Section(
        "robustness",
        "Damaged pictures",
        f"Accuracy on {found.n:,} faces, each kind of damage in five strengths; the number of a row, and in "
        "the title, is the mean accuracy over the clean one. The faces are 48 pixels wide or were made so; "
        "at the strongest, people would hardly see more.",
        (9, 1.5 + 0.62 * len(found.corruptions)),
        lambda axes: tasks.draw_robustness(axes, found),
        {
            "clean": found.clean,
            "relative": found.relative,
            "n": found.n,
            "seed": found.seed,
            "corruptions": [
                {
                    "name": each.name,
                    "level": level,
                    "unit": each.what,
                    "accuracy": accuracy,
                    "relative": each.relative,
                }
                for each in found.corruptions
                for level, accuracy in zip(each.levels, each.accuracy, strict=True)
            ],
        },
    )


def leaderboard_section(cards: Sequence[Card] | None) -> Section:
    entries = leaderboard.leaderboard_entries(cards)
    return Section(
        "leaderboard",
        "Where this stands",
        "Public figures on FER2013 beside ours, which are read from the model's card. A figure means what "
        "its protocol makes it: one net scores 1.6 to 1.8 points higher on PrivateTest than on PublicTest, "
        "and the best epoch on the split that is reported is no blind result.",
        (14.5, 1.4 + 0.36 * len(entries)),
        lambda axes: leaderboard.draw(axes, entries),
        leaderboard.numbers(entries),
    )
