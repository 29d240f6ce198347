"""What `mien evaluate` prints: the parts of its report for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mien.cli.tables import results_table, with_interval

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from mien.evaluation.binary import BinaryScores
    from mien.evaluation.fairness import GroupScores
    from mien.evaluation.metrics.multilabel import MultiLabelScores
    from mien.evaluation.metrics.votes import VoteScores
    from mien.evaluation.result import Evaluation
    from mien.evaluation.robustness import Robustness
    from mien.evaluation.scores import Scores


def print_evaluation(evaluation: Evaluation, *, split_chosen: bool) -> None:
    """Print an evaluation; with `split_chosen`, name a split that the command chose itself."""
    from rich.console import Console

    console = Console(highlight=False)
    for note in _notes(evaluation, split_chosen=split_chosen):
        console.print(note, markup=False)
    for part in _render(evaluation):
        console.print(part)
        console.print()


def _notes(evaluation: Evaluation, *, split_chosen: bool) -> Iterator[str]:
    """What was wrong with the data, and which split was taken."""
    problems = evaluation.problems
    if refused := sum(problem.count for problem in problems if problem.refused):
        yield f"{refused:,} rows of the data could not be read and are not scored; see `mien data info`."
    # A folder is told apart: its images have no class because of its name.
    told = (problem for problem in problems if problem.count > 1 or not problem.refused)
    yield from (f"{problem.where}: {problem.reason}" for problem in told)
    if split_chosen and evaluation.split != "PublicTest":
        yield f"The data has one split, {evaluation.split}, which is scored."


def _render(evaluation: Evaluation) -> Iterator[RenderableType]:
    """The parts of the report for people, top to bottom."""
    from rich.markup import escape

    from mien.evaluation.fairness import UNMEASURED

    e, extended = evaluation, evaluation.extended
    truth = "the labels of the data" if e.labels == "fer2013" else "the majority of the FER+ votes"
    head = [f"{e.split} of {e.data.source}, against {truth}"]
    if e.tta is not None:
        head.append(f"mean of the probabilities of {len(e.tta)} crops of each face (test-time augmentation)")
    if e.left_out:
        head.append("left out: " + ", ".join(f"{count:,} {reason}" for reason, count in e.left_out.items()))
    if absent := [name for name, each in e.scores.per_class.items() if not each.support]:
        head.append(f"no face is {', '.join(absent)}, so that cannot be measured")
    yield f"[bold]{escape(e.model)}[/bold], head " + escape("\n".join([e.head, *head]))
    yield _summary(e.scores, e.deduplicated)
    yield _per_class(e.scores)
    yield _confusion(e.scores)
    if e.votes is not None:
        yield _votes(e.votes)
    if extended is None:
        return
    if extended.multilabel is not None:
        yield _several_labels(extended.multilabel)
    if extended.binary:
        yield _binary(extended.binary)
    for each in extended.groups:
        yield _groups(each)
    if extended.robustness is not None:
        yield _robustness(extended.robustness)
    if not extended.groups:
        yield UNMEASURED


def _summary(scores: Scores, deduplicated: Scores | None) -> Table:
    table = results_table(
        "Scores", "", "all faces", *([] if deduplicated is None else ["no duplicates of Training"])
    )
    both = [each for each in (scores, deduplicated) if each is not None]
    rows: dict[str, Callable[[Scores], str]] = {
        "accuracy": lambda s: with_interval(s.accuracy, s.accuracy_ci95),
        "macro F1": lambda s: with_interval(s.macro_f1, s.macro_f1_ci95),
        "macro precision": lambda s: f"{s.macro_precision:.1%}",
        "macro recall": lambda s: f"{s.macro_recall:.1%}",
        "top-2 accuracy": lambda s: f"{s.top2_accuracy:.1%}",
        "calibration error (ECE)": lambda s: f"{s.ece:.3f}",
        "the same of a perfect model": lambda s: f"{s.ece_noise:.3f}",
        "negative log-likelihood": lambda s: f"{s.nll:.3f}",
        "Brier score": lambda s: f"{s.brier:.3f}",
        "faces": lambda s: f"{s.n:,}",
    }
    if scores.subjects is not None:
        rows["people, over whom the intervals are"] = lambda s: f"{s.subjects:,}"
    for name, show in rows.items():
        table.add_row(name, *(show(each) for each in both))
    return table


def _per_class(scores: Scores) -> Table:
    table = results_table("Each class", "", "precision", "recall", "F1", "faces")
    for name, s in scores.per_class.items():
        if s.support:
            table.add_row(name, f"{s.precision:.1%}", f"{s.recall:.1%}", f"{s.f1:.1%}", f"{s.support:,}")
    return table


def _confusion(scores: Scores) -> Table:
    """Each row in percent of its faces; correct ones bold, frequent mistakes coloured, rare ones dim."""
    table = results_table("Of the faces of a row, % that were predicted as the column", "", *scores.per_class)
    shares = 100 * scores.confusion / scores.confusion.sum(axis=1, keepdims=True).clip(1)
    for i, (name, row) in enumerate(zip(scores.per_class, shares, strict=True)):
        if not scores.per_class[name].support:
            continue
        cells = []
        for j, share in enumerate(row):
            style = "bold" if i == j else "yellow" if share >= 10 else "default" if share >= 2 else "dim"
            cells.append(f"[{style}]{share:.0f}[/{style}]")
        table.add_row(name, *cells)
    return table


def _votes(votes: VoteScores) -> Table:
    table = results_table(
        f"Against the FER+ votes, head {votes.head}", "", f"{votes.n:,} faces with a majority"
    )
    table.add_row("accuracy, 8 classes", with_interval(votes.accuracy, votes.accuracy_ci95))
    table.add_row("macro F1", f"{votes.macro_f1:.1%}")
    table.add_row("calibration error to the majority", f"{votes.ece:.3f}")
    table.add_row("calibration error to the voters", f"{votes.ece_voters:.3f}")
    table.add_row("KL from the voters, in nats", f"{votes.kl:.3f}")
    table.add_row("the same of the best smoothed label", f"{votes.kl_baseline:.3f}")
    table.add_row("reduction of KL", f"{votes.kl_reduction:.1%}")
    return table


def _several_labels(scores: MultiLabelScores) -> Table:
    table = results_table("Several labels per face, by the votes", "", f"{scores.n:,} faces")
    table.add_row("exactly the people's set", f"{scores.exact_match:.1%}")
    table.add_row("most probable is one of the set", f"{scores.top1_in_set:.1%}")
    table.add_row("mean average precision", f"{scores.mean_average_precision:.3f}")
    table.add_row("micro F1", f"{scores.micro_f1:.1%}")
    table.add_row("labels per face", f"{scores.mean_labels:.2f}")
    return table


def _binary(binary: tuple[BinaryScores, ...]) -> Table:
    """One column per task, so that several fit on a narrow screen."""
    table = results_table("Binary tasks", "", *(each.classes[1] for each in binary))
    rows: dict[str, Callable[[BinaryScores], str]] = {
        "against": lambda f: "the rest" if f.classes[0].startswith("not ") else f.classes[0],
        "accuracy": lambda f: f"{f.scores.accuracy:.1%}",
        "always the more frequent class": lambda f: f"{f.baseline:.1%}",
        "balanced accuracy": lambda f: f"{f.scores.balanced_accuracy:.1%}",
        "precision": lambda f: f"{f.scores.per_class[f.classes[1]].precision:.1%}",
        "recall": lambda f: f"{f.scores.per_class[f.classes[1]].recall:.1%}",
        "F1": lambda f: f"{f.scores.per_class[f.classes[1]].f1:.1%}",
        "area below ROC": lambda f: f"{f.roc_auc:.3f}",
        "average precision": lambda f: f"{f.average_precision:.3f}",
        "faces": lambda f: f"{f.scores.n:,}",
        "left out": lambda f: f"{sum(f.left_out.values()):,}",
    }
    for name, show in rows.items():
        table.add_row(name, *(show(each) for each in binary))
    return table


def _groups(scores: GroupScores) -> Table:
    gap = "too few groups to compare"
    if scores.gap is not None and scores.gap_ci95 is not None:
        low, high = scores.gap_ci95
        gap = f"gap {100 * scores.gap:.1f} points ({100 * low:.1f} to {100 * high:.1f})"
        gap += f", p = {scores.p_value:.3g}"
    table = results_table(
        f"By {scores.column}: {gap}", "", "accuracy", "macro F1", "from the others", "faces"
    )
    for name, each in scores.groups.items():
        if each.accuracy is None or each.accuracy_ci95 is None:
            table.add_row(name, f"fewer than {scores.minimum_n}", "", "", f"{each.n:,}")
            continue
        difference = "" if each.difference is None else f"{100 * each.difference:+.1f}"
        accuracy = with_interval(each.accuracy, each.accuracy_ci95)
        table.add_row(name, accuracy, f"{each.macro_f1:.1%}", difference, f"{each.n:,}")
    return table


def _robustness(robustness: Robustness) -> Table:
    title = f"Damaged images, {robustness.n:,} faces: {robustness.relative:.1%} of the clean accuracy, "
    title += f"{robustness.clean:.1%}"
    table = results_table(title, "", "1", "2", "3", "4", "5", "of clean")
    for each in robustness.corruptions:
        cells = (f"{value:.0%}" for value in each.accuracy)
        table.add_row(each.name, *cells, f"{each.relative:.0%}")
    return table
