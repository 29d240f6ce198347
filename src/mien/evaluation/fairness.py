"""Groups that the data's owner names: scores of each, the gaps between them, and chance's share in those.

mien never guesses a group from a face. The groups come from a file, joined to the faces by row or file name.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import FormatError, SourceNotFound, UsageError
from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.classification import Integers
from mien.evaluation.predictions import Predictions

# The note of an evaluation without such a file.
UNMEASURED = (
    "Fairness is unmeasured: the data names no groups of people, and mien does not guess them from faces. "
    "Give groups that people named themselves with --groups FILE.csv."
)

# Below this an accuracy of 0.7 is known to no better than +- 0.13 (two standard errors), and says little.
MINIMUM_N = 50

_KEYS = ("row", "name")


@dataclass(frozen=True, eq=False)
class Grouping:
    """One way to part the faces into groups.

    Attributes:
        name: of the column.
        groups: names of the groups, in order of the alphabet.
        member: (N,) index into `groups`; -1 for a face without one.
    """

    name: str
    groups: tuple[str, ...]
    member: NDArray[np.int64]


@dataclass(frozen=True)
class GroupScore:
    """The scores of one group. All but `n` are None where it has fewer faces than the minimum.

    Attributes:
        n: its faces.
        accuracy, accuracy_ci95: share of right answers, and its bootstrap interval.
        macro_f1, macro_f1_ci95: mean F1 of the classes that it has, and its interval.
        difference, difference_ci95: its accuracy less that of all other grouped faces, and its interval.
    """

    n: int
    accuracy: float | None = None
    accuracy_ci95: tuple[float, float] | None = None
    macro_f1: float | None = None
    macro_f1_ci95: tuple[float, float] | None = None
    difference: float | None = None
    difference_ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class GroupScores:
    """A model's scores over the groups of one column.

    Attributes:
        column: the column's name.
        groups: name to its scores.
        gap, gap_ci95: largest accuracy of a group less the smallest, and its bootstrap interval. Chance alone
            makes it positive, so the interval does not reach 0; whether it is real says the p-value.
        macro_f1_gap: the same of macro F1.
        p_value: how often groups drawn at random, with as many faces of each true class in each, have an
            accuracy gap at least as large.
        permutations: how many were drawn.
        minimum_n: groups with fewer faces are not scored.
        n: faces in scored groups.
        ungrouped: faces for which the file names no group.
    """

    column: str
    groups: dict[str, GroupScore]
    gap: float | None
    gap_ci95: tuple[float, float] | None
    macro_f1_gap: float | None
    p_value: float | None
    permutations: int
    minimum_n: int
    n: int
    ungrouped: int


def read_groups(path: Path, predictions: Predictions) -> tuple[Grouping, ...]:
    """The groupings in a CSV, one per column beside `row` (the source's row) or `name` (the face's file).

    A name may be the whole path below the data's root or, where no two files share it, the file's name alone.
    Lines of other faces are passed over; an empty cell is no group.

    Raises:
        SourceNotFound: there is no such file.
        FormatError: not a CSV with such columns, or a face stands in it twice.
        UsageError: names are given and the faces have none, or the file names none of the faces.
    """
    rows, key, columns = _read(path)
    indices = _indices(predictions, key, path)
    cells: dict[str, list[str]] = {column: [""] * len(predictions.truth) for column in columns}
    seen: dict[int, str] = {}
    for number, row in enumerate(rows, start=2):
        index = indices.get((row[key] or "").strip())
        if index is None:
            continue
        if index in seen:
            raise FormatError(
                f"{path}, line {number}: {key} {row[key]} stands there already. Remove one line."
            )
        seen[index] = row[key]
        for column in columns:
            cells[column][index] = (row[column] or "").strip()
    if not seen:
        raise UsageError(
            f"{path} names none of the {len(predictions.truth):,} faces by {key}. "
            "The rows are those of the source, counted from 0, as `mien evaluate --predictions` writes them."
        )
    return tuple(_grouping(column, values) for column, values in cells.items())


def score_groups(
    predictions: Predictions,
    grouping: Grouping,
    generator: np.random.Generator,
    *,
    minimum_n: int = MINIMUM_N,
    resamples: int = 2000,
    permutations: int = 2000,
) -> GroupScores:
    """The scores of each group with at least `minimum_n` faces, and the gaps between them.

    The permutation test shuffles the groups among faces of the same true class, so that a group with more
    faces of an easy emotion is not called better served for that alone.

    Source: Good 2005, "Permutation, Parametric and Bootstrap Tests of Hypotheses", chapter 3; the p-value
    counts the observed groups among the permutations (Phipson & Smyth 2010).

    Raises:
        UsageError: a minimum below 1.
    """
    if minimum_n < 1:
        raise UsageError(f"the minimum of faces a group must be 1 or more, not {minimum_n}.")
    p, sizes = predictions, np.bincount(grouping.member[grouping.member >= 0], minlength=len(grouping.groups))
    scored = np.flatnonzero(sizes >= minimum_n)
    kept = np.isin(grouping.member, scored)
    member = np.searchsorted(scored, grouping.member[kept]) if len(scored) else np.empty(0, np.int64)
    truth, predicted = p.truth[kept], p.probabilities[kept].argmax(axis=1)
    counts = _counts(member, truth, predicted, len(scored), len(p.classes))
    drawn = [_resampled(each, generator, resamples) for each in counts]
    scores = {name: GroupScore(int(size)) for name, size in zip(grouping.groups, sizes, strict=True)}
    for index, which in enumerate(scored):
        scores[grouping.groups[which]] = _score(index, counts, drawn)
    gap = gap_ci95 = macro_f1_gap = p_value = None
    if len(scored) > 1:
        gap = _range(metrics.accuracy(counts))
        gap_ci95 = _interval(_ranges([metrics.accuracy(each) for each in drawn]))
        macro_f1_gap = _range(metrics.macro_f1(counts))
        p_value = _p_value(gap, member, truth, truth == predicted, len(scored), generator, permutations)
    return GroupScores(
        column=grouping.name,
        groups=scores,
        gap=gap,
        gap_ci95=gap_ci95,
        macro_f1_gap=macro_f1_gap,
        p_value=p_value,
        permutations=permutations,
        minimum_n=minimum_n,
        n=int(kept.sum()),
        ungrouped=int((grouping.member < 0).sum()),
    )


def _read(path: Path) -> tuple[list[dict[str, str]], str, list[str]]:
    """The lines of the file, the column that names the face, and the columns of groups."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name for name in reader.fieldnames or () if name]
            rows = list(reader)
    except FileNotFoundError:
        raise SourceNotFound(f"{path} does not exist. It must be a CSV with a column row or name.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} is no CSV of groups: {error}.") from error
    keys = [key for key in _KEYS if key in columns]
    others = [name for name in columns if name not in _KEYS]
    if not keys or not others:
        raise FormatError(
            f"{path} needs a column row or name and at least one column of groups; "
            f"it has: {', '.join(columns) or 'no header'}."
        )
    return rows, keys[0], others


def _indices(predictions: Predictions, key: str, path: Path) -> Mapping[str, int]:
    """Names of each face in the file, to its index among the predictions."""
    if key == "row":
        return {str(row): index for index, row in enumerate(predictions.faces.rows)}
    names = predictions.faces.names
    if names is None:
        raise UsageError(f"{path} names files, and the faces of this data have none. Use a column row.")
    whole = {str(name): index for index, name in enumerate(names)}
    last = [Path(str(name)).name for name in names]
    often = Counter(last)
    return {**{name: index for index, name in enumerate(last) if often[name] == 1}, **whole}


def _grouping(column: str, values: list[str]) -> Grouping:
    groups = tuple(sorted({value for value in values if value}))
    index = {name: i for i, name in enumerate(groups)}
    return Grouping(column, groups, np.array([index.get(value, -1) for value in values], np.int64))


def _counts(
    member: Integers, truth: Integers, predicted: Integers, groups: int, classes: int
) -> NDArray[np.int64]:
    """The confusion matrix of each group, (G, C, C)."""
    cells = (member * classes + truth) * classes + predicted
    return (
        np.bincount(cells, minlength=groups * classes**2).reshape(groups, classes, classes).astype(np.int64)
    )


def _resampled(
    counts: NDArray[np.int64], generator: np.random.Generator, resamples: int
) -> NDArray[np.int64]:
    n = int(counts.sum())
    return generator.multinomial(n, counts.ravel() / n, size=resamples).reshape(-1, *counts.shape)


def _score(index: int, counts: NDArray[np.int64], drawn: list[NDArray[np.int64]]) -> GroupScore:
    own = counts[index]
    others = [each for i, each in enumerate(drawn) if i != index]
    difference = interval = None
    if others:
        rest = counts.sum(axis=0) - own
        difference = float(metrics.accuracy(own) - metrics.accuracy(rest))
        interval = _interval(metrics.accuracy(drawn[index]) - metrics.accuracy(np.sum(others, axis=0)))
    return GroupScore(
        n=int(own.sum()),
        accuracy=float(metrics.accuracy(own)),
        accuracy_ci95=_interval(metrics.accuracy(drawn[index])),
        macro_f1=float(metrics.macro_f1(own)),
        macro_f1_ci95=_interval(metrics.macro_f1(drawn[index])),
        difference=difference,
        difference_ci95=interval,
    )


def _p_value(
    gap: float,
    member: Integers,
    truth: Integers,
    right: NDArray[np.bool_],
    groups: int,
    generator: np.random.Generator,
    permutations: int,
) -> float:
    sizes = np.bincount(member, minlength=groups)
    order = np.argsort(truth, kind="stable")
    member, right = member[order], right[order]
    starts = np.flatnonzero(np.diff(truth[order], prepend=-1))
    strata = np.split(member, starts[1:])
    as_large = 0
    for _ in range(permutations):
        shuffled = np.concatenate([generator.permutation(stratum) for stratum in strata])
        shares = np.bincount(shuffled[right], minlength=groups) / sizes
        as_large += shares.max() - shares.min() >= gap - 1e-12
    return (1 + as_large) / (1 + permutations)


def _range(values: NDArray[np.float64]) -> float:
    return float(values.max() - values.min())


def _ranges(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    stacked = np.stack(values)
    spread: NDArray[np.float64] = stacked.max(axis=0) - stacked.min(axis=0)
    return spread


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
