"""Models compared on the same faces: scores, and the difference of each pair."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.comparison import CommonFaces
from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.seeds import (
    PairedSeeds,
    SeedScores,
    compare_seeds,
    mean_of_seeds,
    score_networks,
)
from mien.evaluation.metrics.significance import Paired, compare_paired, holm, verdict
from mien.plotting import COLOURS, QUIET, quiet
from mien.reports.document import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ModelScores:
    """One classifier on the common faces: scores, bootstrap intervals of 95 %, recall per class.

    Of several seeds of one recipe these are means, with intervals for other seeds and other faces, and the
    standard deviations over the `seeds`.
    """

    name: str
    accuracy: float
    accuracy_ci95: tuple[float, float]
    macro_f1: float
    macro_f1_ci95: tuple[float, float]
    recall: dict[str, float]
    seeds: tuple[int, ...] | None = None
    accuracy_sd: float | None = None
    macro_f1_sd: float | None = None


@dataclass(frozen=True)
class ComparedPair:
    """Two classifiers, their difference, and what it means.

    Attributes:
        first, second: their names.
        paired: the second's scores less the first's, and the test of their difference.
        p: its p-value (mid-p of McNemar's test; of seeds, that of their means), adjusted for the number of
            pairs (Holm).
        verdict: the result in words.
    """

    first: str
    second: str
    paired: Paired | PairedSeeds
    p: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """All scores of K classifiers on n faces; `deduplicated` are those on faces not in Training.

    `support` is the number of faces of each class.
    """

    n: int
    support: dict[str, int]
    models: tuple[ModelScores, ...]
    pairs: tuple[ComparedPair, ...]
    left_out: dict[str, int]
    deduplicated: Comparison | None = None

    def __repr__(self) -> str:
        scores = ", ".join(f"{model.name} {model.accuracy:.1%}" for model in self.models)
        return f"<Comparison on {self.n:,} faces: accuracy {scores}>"

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values for JSON."""
        return dataclasses.asdict(self)


def compare_models(
    common: CommonFaces, new_generator: Callable[[], np.random.Generator], *, resamples: int = 2000
) -> Comparison:
    """The comparison of classifiers on the same faces.

    Args:
        common: the faces that all classifiers predicted, and their predictions.
        new_generator: gives the generator of the resamples, begun anew for each set of faces, so that the
            same faces always get the same intervals.
        resamples: behind each interval.
    """
    whole = _of(common, np.ones(len(common.truth), bool), new_generator(), resamples)
    if common.not_in_training is None or common.not_in_training.all() or not common.not_in_training.any():
        return whole
    return dataclasses.replace(
        whole, deduplicated=_of(common, common.not_in_training, new_generator(), resamples)
    )


def sections(comparison: Comparison) -> Iterator[Section]:
    """The figures of a comparison, in their order."""
    pairs, models = comparison.pairs, comparison.models
    yield Section(
        "differences",
        "Differences in accuracy",
        " ".join(pair.verdict for pair in pairs) + " " + scope(comparison),
        (9.5, 1.3 + 0.55 * len(pairs) * (2 if comparison.deduplicated else 1)),
        lambda axes: draw_differences(axes, comparison),
        {
            f"{pair.second} less {pair.first}": {
                "difference": pair.paired.accuracy.value,
                "low": pair.paired.accuracy.low,
                "high": pair.paired.accuracy.high,
                "evidence": pair.paired.evidence(pair.first, pair.second),
                "p_adjusted": pair.p,
            }
            for pair in pairs
        },
    )
    yield Section(
        "recalls",
        "Recall per emotion",
        "The recall of each emotion. Two models with equal accuracy can be correct on different faces.",
        (9.5, 4.4),
        lambda axes: draw_recalls(axes, comparison),
        {each.name: each.recall for each in models},
    )


def scope(comparison: Comparison) -> str:
    """For which networks the result holds, in a sentence."""
    alone = [each.name for each in comparison.models if each.seeds is None]
    if len(alone) == len(comparison.models):
        return "This holds for these networks on faces like these; another seed gives other networks."
    if alone:
        return (
            f"This holds for other seeds too, but of {', '.join(alone)} for that one network alone, on faces "
            "like these."
        )
    return "This holds for networks of other seeds too, on faces like these."


def draw_differences(axes: Axes, comparison: Comparison) -> None:
    """Each pair's difference in accuracy with its interval; hollow on faces that are not in Training."""
    deduplicated = comparison.deduplicated
    rows: list[tuple[str, ComparedPair, bool]] = []
    for i, pair in enumerate(comparison.pairs):
        rows.append((f"{pair.second}\nless {pair.first}", pair, False))
        if deduplicated is not None:
            rows.append(("without Training's duplicates", deduplicated.pairs[i], True))
    for y, (_, pair, hollow) in enumerate(rows):
        found = pair.paired.accuracy
        colour = COLOURS[0] if found.low > 0 else COLOURS[1] if found.high < 0 else QUIET
        reach = [[100 * (found.value - found.low)], [100 * (found.high - found.value)]]
        axes.errorbar(
            100 * found.value, y, xerr=reach, fmt="o", color=colour, capsize=4, linewidth=1.8, markersize=8,
            markerfacecolor="white" if hollow else colour,
        )  # fmt: skip
        text = f"{100 * found.value:+.1f}  (p {'< 0.001' if pair.p < 0.001 else f'{pair.p:.3f}'})"
        axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [text for text, *_ in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    reach_x = max(abs(x) for x in axes.get_xlim())
    axes.set_xlim(-reach_x, reach_x)
    quiet(axes, grid="x")
    faces = f"{comparison.n:,} faces" + ("" if deduplicated is None else f"; hollow: {deduplicated.n:,}")
    axes.set(title=f"Difference in accuracy, with intervals of 95 % ({faces})", xlabel="percentage points")


def draw_recalls(axes: Axes, comparison: Comparison) -> None:
    """Recall of each emotion, one mark per classifier."""
    from matplotlib.ticker import PercentFormatter

    names = [name for name, n in comparison.support.items() if n]
    marks = "osD^vPX"
    spread = 0.5 / max(len(comparison.models) - 1, 1)
    for i, each in enumerate(comparison.models):
        x = np.arange(len(names)) + (i - (len(comparison.models) - 1) / 2) * spread
        axes.vlines(x, 0, [each.recall[name] for name in names], color="#d5d5d5", linewidth=1.5, zorder=1)
        axes.plot(
            x,
            [each.recall[name] for name in names],
            marks[i % len(marks)],
            color=COLOURS[i % len(COLOURS)],
            markersize=8,
            clip_on=False,
            label=f"{each.name} ({each.accuracy:.1%} of all)",
        )
    axes.set_xticks(range(len(names)), [f"{name}\n{comparison.support[name]:,}" for name in names])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(0, 1.02)
    quiet(axes)
    columns = min(len(comparison.models), 3)
    axes.legend(frameon=False, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    axes.set(title="Recall per emotion (below: number of faces)", ylabel="recall")


def _of(
    common: CommonFaces, faces: NDArray[np.bool_], generator: np.random.Generator, resamples: int
) -> Comparison:
    truth, predicted, classes = common.truth[faces], common.predicted[:, faces], common.classes
    count = len(classes)
    people = None if common.subjects is None else common.subjects[faces]
    rows = [common.rows_of(i) for i in range(len(common.names))]
    seeds = [common.seeds_of(i) for i in range(len(common.names))]
    drawn = None
    if any(seeds):
        drawn = score_networks(truth, predicted, count, generator, resamples=resamples, subjects=people)
    models = tuple(
        _score(name, truth, predicted[each[0]], classes, generator, resamples, people)
        if own is None or drawn is None
        else _score_seeds(name, truth, predicted[each], classes, drawn, each, own)
        for name, each, own in zip(common.names, rows, seeds, strict=True)
    )
    chosen = list(combinations(range(len(common.names)), 2))
    found: list[Paired | PairedSeeds] = []
    for i, j in chosen:
        if drawn is None or (seeds[i] is None and seeds[j] is None):
            one, other = predicted[rows[i][0]], predicted[rows[j][0]]
            found.append(
                compare_paired(truth, one, other, count, generator, resamples=resamples, subjects=people)
            )
        else:
            same = seeds[i] == seeds[j]
            found.append(compare_seeds(drawn, rows[i], rows[j], len(truth), same_seeds=same))
    adjusted = holm([each.p for each in found])
    pairs = []
    for (i, j), paired, p in zip(chosen, found, adjusted, strict=True):
        names = common.names[i], common.names[j]
        pairs.append(ComparedPair(*names, paired, p, verdict(paired, *names, p)))
    support = np.bincount(truth, minlength=count)
    return Comparison(
        n=len(truth),
        support=dict(zip(classes, support.tolist(), strict=True)),
        models=models,
        pairs=tuple(pairs),
        left_out=common.left_out,
    )


def _score(
    name: str,
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    classes: tuple[str, ...],
    generator: np.random.Generator,
    resamples: int,
    people: NDArray[np.str_] | None,
) -> ModelScores:
    k = len(classes)
    cells = truth * k + predicted
    counts = np.bincount(cells, minlength=k * k).reshape(k, k)
    by_subject = None if people is None else metrics.counts_by_subject(cells, k * k, people).reshape(-1, k, k)
    interval = partial(
        metrics.bootstrap_interval, counts, generator=generator, resamples=resamples, by_subject=by_subject
    )
    return ModelScores(
        name=name,
        accuracy=float(metrics.accuracy(counts)),
        accuracy_ci95=interval(metrics.accuracy),
        macro_f1=float(metrics.macro_f1(counts)),
        macro_f1_ci95=interval(metrics.macro_f1),
        recall=dict(zip(classes, metrics.recall(counts).tolist(), strict=True)),
    )


def _score_seeds(
    name: str,
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    classes: tuple[str, ...],
    drawn: SeedScores,
    rows: list[int],
    seeds: tuple[int, ...],
) -> ModelScores:
    """The means over the seeds of one recipe, whose predictions are (K, N)."""
    k = len(classes)
    counts = np.stack([np.bincount(truth * k + each, minlength=k * k).reshape(k, k) for each in predicted])
    accuracy = mean_of_seeds(drawn.accuracy[rows], drawn.drawn_accuracy[:, rows], drawn.units)
    macro_f1 = mean_of_seeds(drawn.macro_f1[rows], drawn.drawn_macro_f1[:, rows], drawn.units)
    return ModelScores(
        name=name,
        accuracy=accuracy.value,
        accuracy_ci95=(accuracy.low, accuracy.high),
        macro_f1=macro_f1.value,
        macro_f1_ci95=(macro_f1.low, macro_f1.high),
        recall=dict(zip(classes, metrics.recall(counts).mean(axis=0).tolist(), strict=True)),
        seeds=seeds,
        accuracy_sd=accuracy.sd,
        macro_f1_sd=macro_f1.sd,
    )
