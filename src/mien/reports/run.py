"""A training run, or several that differ in the seed alone, as one page: scores, curves, faces, recipe."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mien.data.folders.labels import NO_MAP, label_map
from mien.data.sources import load
from mien.data.table import FaceTable
from mien.errors import MienError, UsageError
from mien.evaluation.result import Evaluation
from mien.evaluation.run import EvaluationOptions, evaluate_model
from mien.files import expanded, kind_of_path
from mien.loading import faces_of_run, is_run, load_model, model_of_run
from mien.progress import Progress
from mien.reports import evaluation, network, training
from mien.reports.document import Chapter, Document, Section
from mien.reports.figures import seeds as drawing
from mien.reports.tabular import Tabular, of_evaluation, of_seeds
from mien.reports.writer import write
from mien.runs.curves import Learning, read_runs
from mien.runs.recipe import Recipe, load_recipe
from mien.runs.seeds import SeedRuns, read_seed

NAME = "report"
# Of the chapter about the network, what is about this network: the rest is in the study.
_OWN_NETWORK = ("layers", "transforms")

AnyRun: TypeAlias = "str | PathLike[str]"


@dataclass(frozen=True)
class RunReport:
    """A report on a training run or on several seeds of one; it is used wherever a path is expected.

    Attributes:
        page: report.html.
        runs: the folders.
        evaluations: the scores of each run; empty where they were not measured.
        seeds: the scores over the seeds; None for one run.
        not_evaluated: why the runs were not evaluated; empty where they were.
    """

    page: Path
    runs: tuple[Path, ...]
    evaluations: tuple[Evaluation, ...] = ()
    seeds: SeedRuns | None = None
    not_evaluated: str = ""

    @property
    def tables(self) -> list[Tabular]:
        """The tables for a paper: over the seeds, or those of the one run."""
        if self.seeds is not None:
            return of_seeds(self.seeds)
        return [table for each in self.evaluations for table in of_evaluation(each)]

    def __fspath__(self) -> str:
        return str(self.page)

    def __repr__(self) -> str:
        return f"<RunReport {self.page}: {', '.join(run.name for run in self.runs)}>"


@dataclass(frozen=True)
class _Run:
    """What the folder of a run contains about it."""

    folder: Path
    recipe: Recipe
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class _Scored:
    """The evaluations of runs, or why there are none."""

    evaluations: tuple[Evaluation, ...] = ()
    reason: str = ""
    note: str = ""


def report(
    runs: AnyRun | Sequence[AnyRun],
    *,
    out: str | Path | None = None,
    data: str | Path | FaceTable | None = None,
    votes: str | Path | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """The folder of a training run as one page: what `mien report` writes.

        >>> import mien
        >>> mien.report("runs/a")
        <RunReport runs/a/report/report.html: a>

    The page has the scores on the faces that chose the epoch, curves, confusion matrix, examples, mistakes,
    the network's layers and transforms, the recipe and the environment. Several runs that differ in the seed
    alone are one page too, with mean and spread.

    Args:
        runs: the folder of a run, of `mien train --seeds`, or several folders of runs.
        out: a folder, created if it does not exist; None for `report` in the folder that was given.
        data: the faces; None for those that the runs were started with.
        votes: FER+ votes (fer2013new.csv); None for those of the runs.
        progress: called with what is at work, how much is done, and how much there is.

    Raises:
        UsageError: it is no folder of a run, runs differ in more than the seed, or several were given without
            `out`.
        DataError: a run has no finished epoch, `data` cannot be read, or the folder cannot be created.
        MissingExtra: `data` was given and PyTorch is not installed, or matplotlib or jinja2 is not.
    """
    given = [Path(runs)] if isinstance(runs, str | PathLike) else [Path(run) for run in runs]
    folders = [folder for each in given for folder in _folders(expanded(each))]
    if out is None and len(given) > 1:
        raise UsageError("several runs have no folder in common. Say where the page goes: --out DIR.")
    learned = read_runs(folders)
    described = [_Run(folder, load_recipe(folder / "recipe.toml"), _facts(folder)) for folder in folders]
    _check_same_recipe(described)
    scored = _score(described, data, votes, progress)
    over_seeds = _over_seeds(described, learned) if len(folders) > 1 else None
    folder = expanded(given[0]) / NAME if out is None else Path(out)
    document = _document(described, learned, scored, over_seeds)
    page = write(document, folder, on_section=_drawing(progress))
    return RunReport(page, tuple(folders), scored.evaluations, over_seeds, scored.reason)


def _drawing(progress: Progress | None) -> Callable[[str], None]:
    """A function that reports the name of each section that was drawn."""

    def report_section(name: str) -> None:
        if progress is not None:
            progress(f"drawn: {name}", 1, 1)

    return report_section


def _folders(folder: Path) -> list[Path]:
    """The runs of a folder: itself, or those of its seeds."""
    if kind_of_path(folder / "seeds.json", UsageError) == "file":
        found = sorted(folder.glob("seed-*/recipe.toml"), key=lambda path: int(path.parent.name[5:]))
        return [path.parent for path in found]
    if kind_of_path(folder / "folds.json", UsageError) == "file":
        raise UsageError(
            f"{folder} has the folds of mien train --folds: their scores are in folds.csv, the mean in "
            f"folds.json. Give the run of one fold, such as {folder / 'fold-1'}."
        )
    if not is_run(folder):
        raise UsageError(f"{folder} is not the folder of a training run. Give one such as runs/NAME.")
    return [folder]


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return facts


def _check_same_recipe(runs: Sequence[_Run]) -> None:
    first, *others = (_flat(run.recipe) for run in runs)
    for run, other in zip(runs[1:], others, strict=True):
        differs = [key for key in first if first[key] != other[key] and key not in ("loop.seed", "name")]
        if differs:
            raise UsageError(
                f"{runs[0].folder} and {run.folder} differ in more than the seed: {', '.join(differs[:3])}. "
                f"Compare them: mien compare {runs[0].folder} {run.folder}"
            )


def _score(
    runs: Sequence[_Run],
    data: str | Path | FaceTable | None,
    votes: str | Path | None,
    progress: Progress | None,
) -> _Scored:
    """The evaluations of the runs on the faces that chose their epochs.

    Without faces or PyTorch the page goes without them, and says why; with `data`, that is an error.
    """
    if runs[0].recipe.data.folds:
        return _Scored(reason="a run of one fold is scored by mien train --folds, on the faces of its fold")
    try:
        table, split = _faces(runs[0], data, votes)
        done = tuple(_evaluate(run.folder, table, split, progress) for run in runs)
    except MienError as error:
        if data is not None:
            raise
        return _Scored(reason=str(error))
    known = runs[0].facts.get("data", {}).get("sha256", table.sha256)
    note = "" if known == table.sha256 else "These are not the faces that the run was trained with. "
    return _Scored(done, note=note)


def _evaluate(run: Path, table: FaceTable, split: str, progress: Progress | None) -> Evaluation:
    options = EvaluationOptions(split=split, known_only=True)
    return evaluate_model(load_model(model_of_run(run)), table, options, progress=progress)


def _faces(run: _Run, data: str | Path | FaceTable | None, votes: str | Path | None) -> tuple[FaceTable, str]:
    """The faces of a run, read as it read them, and the split that chose its epoch."""
    spec = run.recipe.data
    if isinstance(data, FaceTable):
        table = data
    else:
        source = faces_of_run(run.folder, votes) if data is None else None
        path = data if source is None or source.data is None else source.data
        votes = votes if source is None else source.votes
        mapping = source.label_map if source is not None else None
        table = load(
            str(path),
            votes=None if votes is None else Path(votes),
            size=spec.face_size,
            mapping=NO_MAP if mapping is None else label_map(str(mapping)),
        )
    if not spec.holdout:
        return table, spec.validation
    from mien.training.data.holdout import HELD_OUT, with_held_out_split

    return with_held_out_split(table, spec), HELD_OUT


def _over_seeds(runs: Sequence[_Run], learned: Sequence[Learning]) -> SeedRuns:
    scores = tuple(
        dataclasses.replace(read_seed(run.folder, run.recipe.loop.seed), folder=each.name)
        for run, each in zip(runs, learned, strict=True)
    )
    faces = int(runs[0].facts.get("validation_faces", 0))
    return SeedRuns(runs[0].recipe.name, learned[0].validation, faces, scores, runs[0].folder.parent)


def _document(
    runs: Sequence[_Run], learned: Sequence[Learning], scored: _Scored, over_seeds: SeedRuns | None
) -> Document:
    recipe = runs[0].recipe
    return Document(
        name=NAME,
        title=f"Training run {learned[0].name}"
        if over_seeds is None
        else f"{recipe.name}, {len(runs)} seeds",
        lead=_lead(runs, learned, scored, over_seeds),
        chapters=_chapters(runs, learned, scored, over_seeds),
        about={
            "runs": [each.name for each in learned],
            "recipe": recipe.name,
            "evaluations": [each.to_dict() for each in scored.evaluations],
            "not_evaluated": scored.reason or None,
        },
        facts=_head(runs, learned, scored),
    )


def _lead(
    runs: Sequence[_Run], learned: Sequence[Learning], scored: _Scored, over_seeds: SeedRuns | None
) -> str:
    if over_seeds is not None:
        best, f1 = over_seeds.spreads["best_accuracy"], over_seeds.spreads["best_macro_f1"]
        return (
            f"Accuracy {best.mean:.1%} ± {100 * best.sd:.1f} on {over_seeds.validation} (mean and standard "
            f"deviation of {best.n} seeds; 95 % interval of the mean {100 * best.low:.1f} to "
            f"{100 * best.high:.1f}); macro F1 {f1.mean:.1%} ± {100 * f1.sd:.1f}. The epoch of each run was "
            "chosen on these faces, so the scores are a little too good."
        )
    if scored.evaluations:
        scores = scored.evaluations[0].scores
        low, high = scores.accuracy_ci95
        return (
            f"Accuracy {scores.accuracy:.1%} on {learned[0].validation}, {scores.n:,} faces (95 % interval "
            f"{100 * low:.1f} to {100 * high:.1f}); macro F1 {scores.macro_f1:.1%}. {scored.note}The epoch "
            "was chosen on these faces, so the scores are a little too good."
        )
    summary = json.loads(_text(runs[0].folder / "summary.json") or "{}")
    return str(summary.get("summary", "The run is not finished."))


def _head(runs: Sequence[_Run], learned: Sequence[Learning], scored: _Scored) -> dict[str, str]:
    run, facts = runs[0], runs[0].facts
    data, hardware = facts.get("data", {}), facts.get("hardware", {})
    minutes = sum(each.curves.epochs.get("seconds", [0.0])[-1] for each in learned) / 60
    head = {
        "recipe": f"{run.recipe.name}: {run.recipe.description}"
        if run.recipe.description
        else run.recipe.name,
        "data": f"{data.get('source', 'unknown')} ({_splits(data.get('splits', {}))})",
        "hash of the data": str(data.get("sha256", "unknown"))[:16],
        "seed" if len(runs) == 1 else "seeds": ", ".join(str(each.recipe.loop.seed) for each in runs),
        "epochs": ", ".join(str(len(each.curves.epochs["epoch"])) for each in learned),
        "time": f"{minutes:.1f} minutes",
        "hardware": f"{hardware.get('device', '')}, {hardware.get('processor', 'unknown')}",
        "commit": str(facts.get("commit") or "unknown"),
    }
    return {**head, "not evaluated": scored.reason} if scored.reason else head


def _splits(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in splits.items())


def _chapters(
    runs: Sequence[_Run], learned: Sequence[Learning], scored: _Scored, over_seeds: SeedRuns | None
) -> Iterator[Chapter]:
    """The chapters of a report; the sections of each are computed when they are needed."""
    if over_seeds is not None:
        yield Chapter("seeds", "The seeds", _SEEDS, _of_seeds(over_seeds, scored.evaluations))
    yield Chapter("training", "The training", "", training.sections(learned))
    if len(scored.evaluations) == 1:
        yield Chapter("evaluation", "Evaluation", _EVALUATION, _evaluation(scored.evaluations[0]))
    yield Chapter("network", "The network", "", _network(runs[0].folder))
    yield Chapter("recipe", "Recipe and environment", "", _settings(runs))


_SEEDS = (
    "Runs of one recipe that differ in the seed alone: initial heads, order and augmentation of the faces. "
    "The spread over them is that of training; the intervals of one run are those of drawing other faces."
)
_EVALUATION = (
    "Of the best epoch, on the faces that chose it. The intervals are bootstrap intervals over faces, or "
    "over people where they are known."
)


def _of_seeds(found: SeedRuns, evaluations: Sequence[Evaluation]) -> Iterator[Section]:
    (table,) = of_seeds(found)
    yield Section.without_figure(
        "seeds",
        "Scores of the seeds",
        f"{table.title}. The interval of the mean is Student's t.",
        [dict(zip(table.headings, row, strict=True)) for row in table.rows],
    )
    if evaluations:
        scores = drawing.per_class(evaluations)
        yield Section(
            "seeds_per_class",
            "F1 per class and seed",
            "One mark per seed, the bar is the mean.",
            (9, 4.2),
            lambda axes: drawing.draw_per_class(axes, scores),
            {
                name: {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "seeds": values}
                for name, values in scores.items()
            },
        )
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


def _evaluation(found: Evaluation) -> Iterator[Section]:
    yield evaluation.examples_section(found.predictions)
    yield from evaluation.sections(
        found.predictions,
        extended=found.extended,
        applied_temperature=found.applied_temperature,
        selected_on=found.split,
    )


def _network(run: Path) -> Iterator[Section]:
    described = network.network_of_run(run)
    found = list(network.sections(described))
    is_report = described.backbone == network.REPORT[0] and "layers" not in {each.name for each in found}
    for section in found:
        if section.name in _OWN_NETWORK or (is_report and section.name == "layers_b0"):
            yield dataclasses.replace(section, report_place="")


def _settings(runs: Sequence[_Run]) -> Iterator[Section]:
    run = runs[0]
    mine, defaults = _flat(run.recipe), _flat(Recipe())
    rows = [
        {"key": key, "value": _shown(value), "default": _shown(defaults[key])} for key, value in mine.items()
    ]
    yield Section.without_figure(
        "recipe_changes",
        "What differs from the defaults",
        "Keys of the recipe with another value than mien's.",
        [row for row in rows if row["value"] != row["default"]],
    )
    by_section: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_section.setdefault(row["key"].partition(".")[0], []).append(row)
    text = "Every key, as recipe.toml in the run's folder has it."
    yield Section.without_figure("recipe", "The recipe", text, by_section)
    yield Section.without_figure(
        "environment",
        "The environment",
        "On what the run was made, as run.json has it.",
        {
            name: [{"": key, "value": _shown(each)} for key, each in run.facts[name].items()]
            for name in ("versions", "hardware", "data", "options")
            if run.facts.get(name)
        },
    )


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Key to value, ``section.key``."""
    found: dict[str, Any] = {}
    for name, value in recipe.to_dict().items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": each for key, each in value.items()}
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return "" if value is None else str(value)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
