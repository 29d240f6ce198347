"""Sections beyond one label per face: several labels, binary tasks, groups, corrupted images, leaderboard."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from mien.emotions import FERPLUS, BinaryTask, binary_task
from mien.errors import UsageError
from mien.evaluation.binary import BinaryScores, score_binary
from mien.evaluation.extended import ExtendedScores
from mien.evaluation.fairness import UNMEASURED, GroupScores
from mien.evaluation.predictions import Predictions
from mien.evaluation.robustness import Robustness
from mien.models.card import Card
from mien.reports.document import Section
from mien.reports.figures import leaderboard, tasks
from mien.reports.figures.leaderboard import LeaderboardEntry


def multilabel_sections(deeper: ExtendedScores) -> Iterator[Section]:
    found = deeper.multilabel
    if found is None:
        return
    shown = sum(1 for each in found.per_emotion.values() if each.support)
    plain = dataclasses.asdict(found)
    yield Section(
        "multilabel",
        "Several labels per face",
        f"A face has every emotion that {found.vote_threshold:.0%} of its voters chose (FER+'s rule; "
        f"{found.n:,} faces, {found.mean_labels:.2f} labels each; {found.left_out:,} without clear labels "
        f"are left out). The model's most probable emotion is one of them for {found.top1_in_set:.1%} of "
        f"the faces. With the same threshold, its set equals theirs for {found.exact_match:.1%}.",
        (8.5, 1.5 + 0.42 * shown),
        lambda axes: tasks.draw_labels(axes, found),
        {key: value for key, value in plain.items() if key != "sweep"},
        report_place="section 5.2",
    )
    yield Section(
        "multilabel_threshold",
        "Exact match by threshold",
        "A lower threshold gives more emotions per face; the most probable one is always included. The "
        "threshold used is that of the votes. The best one was selected on these faces, so its value is "
        "optimistic.",
        (7.5, 4),
        lambda axes: tasks.draw_sweep(axes, found),
        {f"{level:.2f}": share for level, share in found.sweep.items()},
        report_place="section 5.2",
    )


def all_binary_tasks(
    p: Predictions, deeper: ExtendedScores, generator: np.random.Generator, resamples: int
) -> list[BinaryScores]:
    """The scores of all binary tasks that these faces allow; those already scored are taken as they are."""
    scored = {each.name: each for each in deeper.binary}
    found = []
    for task in binary_tasks_of(p):
        if task.name in scored:
            found.append(scored[task.name])
            continue
        try:
            found.append(score_binary(p, task, generator, resamples=resamples))
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
        "Binary tasks",
        "The report proposed to treat the problem as a binary one. The probability of a side is the sum "
        "over its emotions. Negative is angry, disgust, fear, sad and contempt; positive is happy; "
        "surprise and neutral are left out. If one side is rare, compare the accuracy with the baseline of "
        "always predicting the larger side.",
        (10, 1.6 + 0.5 * len(found)),
        lambda axes: tasks.draw_binary(axes, found),
        [
            {
                "task": f"{each.classes[1]} against {each.classes[0]}",
                "faces": each.scores.n,
                "accuracy": each.scores.accuracy,
                "balanced_accuracy": each.scores.balanced_accuracy,
                "precision": each.scores.per_class[each.classes[1]].precision,
                "recall": each.scores.per_class[each.classes[1]].recall,
                "f1": each.scores.per_class[each.classes[1]].f1,
                "roc_auc": each.roc_auc,
                "average_precision": each.average_precision,
                "baseline": each.baseline,
            }
            for each in found
        ],
        report_place="section 5.2",
    )


def group_sections(groups: Sequence[GroupScores]) -> Iterator[Section]:
    if not groups:
        yield Section.without_figure("fairness", "Groups of people", UNMEASURED)
    for i, each in enumerate(groups):
        yield _group_section(each, "groups" if not i else f"groups_{i + 1}")


def _group_section(found: GroupScores, name: str) -> Section:
    text = (
        f"The groups come from the column {found.column} of the file; none is inferred from a face. Groups "
        f"with fewer than {found.minimum_n} faces are not scored."
    )
    if found.gap is not None and found.gap_ci95 is not None:
        low, high = found.gap_ci95
        text += (
            f" The gap between best and worst is {100 * found.gap:.1f} points ({100 * low:.1f} to "
            f"{100 * high:.1f}). Random groups with the same number of faces per label "
            f"have a gap at least as large in {found.p_value:.1%} of {found.permutations:,} draws."
        )
    return Section(
        name,
        f"Groups of people: {found.column}",
        text,
        (8.5, 1.3 + 0.55 * len(found.groups)),
        lambda axes: tasks.draw_groups(axes, found),
        dataclasses.asdict(found),
    )


def robustness_section(found: Robustness) -> Section:
    return Section(
        "robustness",
        "Corrupted images",
        f"Accuracy on {found.n:,} faces under each corruption, in five strengths. The number at the right "
        "of a row, and in the title, is the mean accuracy as a share of the accuracy on clean images. The "
        "faces are 48 pixels wide.",
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


def leaderboard_section(cards: Sequence[Card] | None, here: LeaderboardEntry | None = None) -> Section:
    entries = leaderboard.leaderboard_entries(cards, here)
    return Section(
        "leaderboard",
        "Comparison with published results",
        "Published results on FER2013, those of the models of mien, read from their cards, and that of the "
        "model of this page. Compare only results with the same protocol: one network scores 1.6 to 1.8 "
        "points higher on PrivateTest than on PublicTest, and an epoch selected on the reported split makes "
        "a result too good.",
        (14.5, 1.4 + 0.36 * len(entries)),
        lambda axes: leaderboard.draw(axes, entries),
        [dataclasses.asdict(entry) for entry in entries],
    )
