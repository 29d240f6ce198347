"""Results as tables for papers: Markdown, LaTeX and CSV."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mien.evaluation.result import Evaluation
from mien.evaluation.scores import Scores
from mien.files import csv_text
from mien.reports.comparison import Comparison, ModelScores
from mien.runs.folds import CrossValidation
from mien.runs.seeds import MEASURES, SeedRuns

Format: TypeAlias = Literal["markdown", "latex", "csv"]

_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"}
_LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$"}


@dataclass(frozen=True)
class Tabular:
    """A table of texts: the first column names, the others are numbers.

    Attributes:
        title: what is measured, and on what.
        headings: one per column.
        rows: one text per heading each.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def render(self, format: Format) -> str:
        """The table as text, a line feed at its end."""
        render: Callable[[], str] = {"markdown": self._markdown, "latex": self._latex, "csv": self._csv}[
            format
        ]
        return render()

    def _markdown(self) -> str:
        lines = [self.headings, ("---", *("---:" for _ in self.headings[1:])), *self.rows]
        cells = [" | ".join(cell.replace("|", r"\|") for cell in line) for line in lines]
        return f"{self.title}\n\n" + "".join(f"| {line} |\n" for line in cells)

    def _latex(self) -> str:
        """For the package booktabs."""
        head, *rows = [" & ".join(map(_escaped, line)) + r" \\" for line in (self.headings, *self.rows)]
        body = "\n".join([r"\toprule", head, r"\midrule", *rows, r"\bottomrule"])
        columns = "l" + "r" * (len(self.headings) - 1)
        return f"% {self.title}\n\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n"

    def _csv(self) -> str:
        return csv_text(self.headings, self.rows)


def render_all(tables: Sequence[Tabular], format: Format) -> str:
    """Several tables as text, an empty line between two."""
    return "\n".join(each.render(format) for each in tables)


def of_evaluation(evaluation: Evaluation) -> list[Tabular]:
    """The scores of a model with their intervals, and those of each class that has faces."""
    e = evaluation
    title = f"{e.model} on {e.split}, n = {e.scores.n:,}"
    both = {"all faces": e.scores, "not in Training": e.deduplicated}
    given = {name: each for name, each in both.items() if each is not None}
    measures: dict[str, Callable[[Scores], str]] = {
        "accuracy, %": lambda s: _with(s.accuracy, *s.accuracy_ci95),
        "macro F1, %": lambda s: _with(s.macro_f1, *s.macro_f1_ci95),
        "macro recall, %": lambda s: _percent(s.macro_recall),
        "top-2 accuracy, %": lambda s: _percent(s.top2_accuracy),
        "calibration error": lambda s: f"{s.ece:.3f}",
        "negative log-likelihood": lambda s: f"{s.nll:.3f}",
        "faces": lambda s: f"{s.n}",
    }
    rows = tuple((name, *(show(each) for each in given.values())) for name, show in measures.items())
    classes = tuple(
        (name, _percent(each.precision), _percent(each.recall), _percent(each.f1), str(each.support))
        for name, each in e.scores.per_class.items()
        if each.support
    )
    return [
        Tabular(title, ("score", *given), rows),
        Tabular(title, ("class", "precision, %", "recall, %", "F1, %", "faces"), classes),
    ]


def of_comparison(comparison: Comparison) -> list[Tabular]:
    """The scores of each model, and the difference of each pair with its interval and p-value."""
    title = f"On the same {comparison.n:,} faces"
    models = tuple(
        (
            _with_seeds(each),
            _with(each.accuracy, *each.accuracy_ci95),
            _with(each.macro_f1, *each.macro_f1_ci95),
        )
        for each in comparison.models
    )
    pairs = tuple(
        (
            f"{pair.second} less {pair.first}",
            _with(*(getattr(pair.paired.accuracy, name) for name in ("value", "low", "high"))),
            _with(*(getattr(pair.paired.macro_f1, name) for name in ("value", "low", "high"))),
            f"{pair.p:.3g}",
        )
        for pair in comparison.pairs
    )
    p = "p (Holm)" if any(each.seeds for each in comparison.models) else "p (McNemar, Holm)"
    return [
        Tabular(title, ("model", "accuracy, %", "macro F1, %"), models),
        Tabular(title, ("difference", "accuracy, points", "macro F1, points", p), pairs),
    ]


def _with_seeds(model: ModelScores) -> str:
    """The name of a model; of several seeds also how many, and the standard deviation of their accuracy."""
    if model.seeds is None or model.accuracy_sd is None:
        return model.name
    return f"{model.name} ({len(model.seeds)} seeds, standard deviation {100 * model.accuracy_sd:.2f})"


def of_seeds(runs: SeedRuns) -> list[Tabular]:
    """Each measure over the seeds, and below its value for each seed."""
    title = f"{runs.name} on {runs.validation}, n = {runs.faces:,}, {len(runs.seeds)} seeds"
    rows = []
    for name, label in MEASURES.items():
        found = runs.spreads[name]
        is_loss = name.endswith("loss")
        show: Callable[[float], str] = (lambda value: f"{value:.4f}") if is_loss else _percent
        deviation = f"{found.sd:.4f}" if is_loss else f"{100 * found.sd:.2f}"
        values = (show(getattr(each, name)) for each in runs.seeds)
        numbers = (show(found.mean), deviation, show(found.low), show(found.high), *values)
        rows.append((label if is_loss else f"{label}, %", *numbers))
    seeds = (f"seed {each.seed}" for each in runs.seeds)
    headings = ("measure", "mean", "standard deviation", "95 % from", "to", *seeds)
    return [Tabular(title, headings, tuple(rows))]


def of_folds(name: str, found: CrossValidation) -> list[Tabular]:
    """One row per fold, then their mean and sample standard deviation."""
    people = f", {found.subjects:,} people" if found.subjects else ""
    title = f"{name}, {len(found.folds)} folds, n = {found.faces:,}{people}"
    measures = {
        "last_accuracy": "accuracy, last epoch, %",
        "last_macro_f1": "macro F1, last epoch, %",
        "best_accuracy": "accuracy, best epoch, %",
        "best_macro_f1": "macro F1, best epoch, %",
    }
    rows = [
        (
            str(each.fold),
            *([str(each.subjects)] if found.subjects else []),
            f"{each.faces:,}",
            f"{each.best_epoch} of {each.epochs}",
            *(_percent(getattr(each, measure)) for measure in measures),
        )
        for each in found.folds
    ]
    columns = [[getattr(each, measure) for each in found.folds] for measure in measures]
    empty = [""] * (len(rows[0]) - 1 - len(measures))
    rows.append(("mean", *empty, *(_percent(statistics.fmean(values)) for values in columns)))
    deviations = (f"{100 * statistics.stdev(values):.2f}" for values in columns)
    rows.append(("standard deviation", *empty, *deviations))
    people_column = ("people",) if found.subjects else ()
    headings = ("fold", *people_column, "faces", "best epoch", *measures.values())
    return [Tabular(title, headings, tuple(rows))]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _with(value: float, low: float, high: float) -> str:
    return f"{_percent(value)} ({_percent(low)} to {_percent(high)})"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
