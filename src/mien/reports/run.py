"""A training run, its seeds or its folds as one page: scores, curves, faces, recipe."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from mien.data.folders.labels import NO_MAP, label_map
from mien.data.sources import load
from mien.data.table import FaceTable
from mien.errors import MienError, UsageError
from mien.evaluation.result import Evaluation
from mien.evaluation.run import EvaluationOptions, evaluate_model
from mien.evaluation.scores import Scores
from mien.files import expanded, kind_of_path
from mien.loading import faces_of_run, is_run, load_model, model_of_run
from mien.progress import Progress
from mien.reports import evaluation, network, training
from mien.reports.document import Chapter, Document, Section
from mien.reports.repeated import (
    ABOUT_FOLDS,
    ABOUT_SEEDS,
    out_of_fold,
    sections_of_folds,
    sections_of_seeds,
)
from mien.reports.tabular import Tabular, of_evaluation, of_folds, of_seeds
from mien.reports.writer import write
from mien.runs.curves import Learning, read_runs
from mien.runs.folds import RESULT as FOLDS
from mien.runs.folds import CrossValidation, over_folds, read_fold, subjects_by_fold
from mien.runs.recipe import Recipe, load_recipe
from mien.runs.seed_folder import RESULT as SEEDS
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
        seeds: the scores over the seeds; None where the runs are no seeds of one recipe.
        folds: the scores over the folds; None where the runs are no folds.
        out_of_fold: the scores of all faces of the folds, each predicted by the run that was not trained on
            its fold; None where the runs are no folds, or were not evaluated.
        not_evaluated: why the runs were not evaluated; empty where they were.
        recipe: the name of their recipe.
    """

    page: Path
    runs: tuple[Path, ...]
    evaluations: tuple[Evaluation, ...] = ()
    seeds: SeedRuns | None = None
    folds: CrossValidation | None = None
    out_of_fold: Evaluation | None = None
    not_evaluated: str = ""
    recipe: str = ""

    @property
    def tables(self) -> list[Tabular]:
        """The tables for a paper: over the seeds or the folds, or those of the one run."""
        if self.seeds is not None:
            return of_seeds(self.seeds)
        if self.folds is not None:
            together = [] if self.out_of_fold is None else of_evaluation(self.out_of_fold)
            return [*of_folds(self.recipe, self.folds), *together]
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
    """The evaluations of runs, and of folds all together; or why there are none."""

    evaluations: tuple[Evaluation, ...] = ()
    out_of_fold: Evaluation | None = None
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class _Content:
    """All that a page is made of."""

    runs: Sequence[_Run]
    learned: Sequence[Learning]
    scored: _Scored
    seeds: SeedRuns | None
    folds: CrossValidation | None

    @property
    def recipe(self) -> Recipe:
        return self.runs[0].recipe


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
    or in the fold alone are one page too, with mean and spread. The page of folds also has the scores of all
    faces together, each predicted by the run that was not trained on its fold.

    Args:
        runs: the folder of a run, of `mien train --seeds` or `--folds`, or several folders of runs.
        out: a folder, created if it does not exist; None for `report` in the folder that was given.
        data: the faces; None for those that the runs were started with.
        votes: FER+ votes (fer2013new.csv); None for those of the runs.
        progress: called with what is at work, how much is done, and how much there is.

    Raises:
        UsageError: it is no folder of a run, runs differ in more than the seed or the fold, or several were
            given without `out`.
        DataError: a run has no finished epoch, `data` cannot be read, or the folder cannot be created.
        MissingExtra: `data` was given and PyTorch is not installed, or matplotlib or jinja2 is not.
    """
    given = [Path(runs)] if isinstance(runs, str | PathLike) else [Path(run) for run in runs]
    folders = [folder for each in given for folder in _folders(expanded(each))]
    if out is None and len(given) > 1:
        raise UsageError("several runs have no folder in common. Say where the page goes: --out DIR.")
    first, *others = read_runs(folders)
    learned = [first, *(dataclasses.replace(each, preview=None) for each in others)]
    described = [_Run(folder, load_recipe(folder / "recipe.toml"), _facts(folder)) for folder in folders]
    _check_same_recipe(described)
    scored = _score(described, data, votes, progress)
    is_folds = _differ_in_fold(described)
    content = _Content(
        described,
        learned,
        scored,
        _over_seeds(described, learned) if len(folders) > 1 and not is_folds else None,
        _over_folds(described) if is_folds else None,
    )
    folder = expanded(given[0]) / NAME if out is None else Path(out)
    page = write(_document(content, folder), folder, on_section=_drawing(progress))
    return RunReport(
        page,
        tuple(folders),
        scored.evaluations,
        content.seeds,
        content.folds,
        scored.out_of_fold,
        scored.reason,
        content.recipe.name,
    )


def _drawing(progress: Progress | None) -> Callable[[str], None]:
    """A function that reports the name of each section that was drawn."""

    def report_section(name: str) -> None:
        if progress is not None:
            progress(f"drawn: {name}", 1, 1)

    return report_section


def _folders(folder: Path) -> list[Path]:
    """The runs of a folder: itself, or those of its seeds or folds."""
    for plan, name in ((SEEDS, "seed"), (FOLDS, "fold")):
        if kind_of_path(folder / plan, UsageError) != "file":
            continue
        found = sorted(folder.glob(f"{name}-*/recipe.toml"), key=lambda path: int(path.parent.name[5:]))
        if not found:
            raise UsageError(f"{folder} has no run of a {name} yet.")
        return [path.parent for path in found]
    if not is_run(folder):
        raise UsageError(f"{folder} is not the folder of a training run. Give one such as runs/NAME.")
    return [folder]


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return facts


def _check_same_recipe(runs: Sequence[_Run]) -> None:
    """Several runs differ in the seed alone, or in the fold alone, and no seed or fold is there twice."""
    first, *others = (_flat(run.recipe) for run in runs)
    may = "data.fold" if _differ_in_fold(runs) else "loop.seed"
    word = may.rpartition(".")[2]
    for run, other in zip(runs[1:], others, strict=True):
        differs = [key for key in first if first[key] != other[key] and key not in (may, "name")]
        if differs:
            raise UsageError(
                f"{runs[0].folder} and {run.folder} differ in more than the {word}: "
                f"{', '.join(differs[:3])}. Compare them: mien compare {runs[0].folder} {run.folder}"
            )
    folds = [run.recipe.data.fold for run in runs]
    if may == "data.fold" and (twice := {fold for fold in folds if folds.count(fold) > 1}):
        raise UsageError(f"two of the runs are of fold {min(twice)}. Give one run per fold.")


def _differ_in_fold(runs: Sequence[_Run]) -> bool:
    return bool(runs[0].recipe.data.folds) and len({run.recipe.data.fold for run in runs}) > 1


def _score(
    runs: Sequence[_Run],
    data: str | Path | FaceTable | None,
    votes: str | Path | None,
    progress: Progress | None,
) -> _Scored:
    """The evaluations of the runs on the faces that chose their epochs.

    Without faces or PyTorch the page goes without them, and says why; with `data`, that is an error.
    """
    try:
        table = _read(runs[0], data, votes)
        done = tuple(_evaluate(run, table, progress) for run in runs)
    except MienError as error:
        if data is not None:
            raise
        return _Scored(reason=str(error))
    known = runs[0].facts.get("data", {}).get("sha256", table.sha256)
    note = "" if known == table.sha256 else "These are not the faces that the run was trained with. "
    together = None
    if _differ_in_fold(runs):
        together = out_of_fold(runs[0].recipe.name, len(runs), table, done)
    return _Scored(done, together, note=note)


def _evaluate(run: _Run, table: FaceTable, progress: Progress | None) -> Evaluation:
    """The scores of a run on the split that chose its epoch."""
    spec, split = run.recipe.data, run.recipe.data.validation
    if spec.folds:
        from mien.training.data.splits import with_fold_split

        table, split = with_fold_split(table, spec), spec.validation_name
    elif spec.holdout:
        from mien.training.data.holdout import HELD_OUT, with_held_out_split

        table, split = with_held_out_split(table, spec), HELD_OUT
    options = EvaluationOptions(split=split, known_only=True)
    return evaluate_model(load_model(model_of_run(run.folder)), table, options, progress=progress)


def _read(run: _Run, data: str | Path | FaceTable | None, votes: str | Path | None) -> FaceTable:
    """The faces of a run, read as it read them."""
    if isinstance(data, FaceTable):
        return data
    source = faces_of_run(run.folder, votes) if data is None else None
    path = data if source is None or source.data is None else source.data
    votes = votes if source is None else source.votes
    mapping = source.label_map if source is not None else None
    return load(
        str(path),
        votes=None if votes is None else Path(votes),
        size=run.recipe.data.face_size,
        mapping=NO_MAP if mapping is None else label_map(str(mapping)),
    )


def _over_seeds(runs: Sequence[_Run], learned: Sequence[Learning]) -> SeedRuns:
    scores = tuple(
        dataclasses.replace(read_seed(run.folder, run.recipe.loop.seed), folder=each.name)
        for run, each in zip(runs, learned, strict=True)
    )
    faces = int(runs[0].facts.get("validation_faces", 0))
    return SeedRuns(runs[0].recipe.name, learned[0].validation, faces, scores, runs[0].folder.parent)


def _over_folds(runs: Sequence[_Run]) -> CrossValidation:
    people = subjects_by_fold(runs[0].folder.parent)
    folds = [(run.folder, run.recipe.data.fold) for run in runs]
    return over_folds([read_fold(folder, fold, people.get(fold, 0)) for folder, fold in folds])


def _document(content: _Content, folder: Path) -> Document:
    scored, runs = content.scored, content.runs
    links = {each.name: _address(run.folder, folder) for each, run in zip(content.learned, runs, strict=True)}
    return Document(
        name=NAME,
        title=_title(content),
        lead=_lead(content),
        chapters=_chapters(content),
        about={
            "runs": [each.name for each in content.learned],
            "recipe": content.recipe.name,
            "evaluations": [each.to_dict() for each in scored.evaluations],
            "out_of_fold": None if scored.out_of_fold is None else scored.out_of_fold.to_dict(),
            "not_evaluated": scored.reason or None,
        },
        facts=_head(content),
        links={"runs": links} if len(runs) > 1 else {},
    )


def _address(run: Path, folder: Path) -> str:
    """The address of a run from the page in a folder: its own page where it has one, else its files."""
    target = run / NAME / f"{NAME}.html"
    if target.is_file():
        return quote(Path(os.path.relpath(target, folder)).as_posix())
    return quote(Path(os.path.relpath(run, folder)).as_posix()) + "/"


def _title(content: _Content) -> str:
    if content.folds is not None:
        done, wanted = len(content.runs), content.recipe.data.folds
        return f"{content.recipe.name}, {done} folds" + (f" of {wanted}" if done < wanted else "")
    if content.seeds is not None:
        return f"{content.recipe.name}, {len(content.runs)} seeds"
    return f"Training run {content.learned[0].name}"


def _lead(content: _Content) -> str:
    scored = content.scored
    if content.folds is not None:
        return _lead_of_folds(content.folds, content)
    if content.seeds is not None:
        best, f1 = content.seeds.spreads["best_accuracy"], content.seeds.spreads["best_macro_f1"]
        return (
            f"Accuracy {best.mean:.1%} ± {100 * best.sd:.1f} on {content.seeds.validation} (mean and "
            f"standard deviation of {best.n} seeds; 95 % interval of the mean {100 * best.low:.1f} to "
            f"{100 * best.high:.1f}); macro F1 {f1.mean:.1%} ± {100 * f1.sd:.1f}. The epoch of each run was "
            "chosen on these faces, so the scores are a little too good."
        )
    if scored.evaluations:
        scores = scored.evaluations[0].scores
        return (
            f"Accuracy {scores.accuracy:.1%} on {content.learned[0].validation}, {scores.n:,} faces "
            f"({_interval(scores)}); macro F1 {scores.macro_f1:.1%}. {scored.note}The epoch "
            "was chosen on these faces, so the scores are a little too good."
        )
    summary = json.loads(_text(content.runs[0].folder / "summary.json") or "{}")
    return str(summary.get("summary", "The run is not finished."))


def _lead_of_folds(found: CrossValidation, content: _Content) -> str:
    missing = content.recipe.data.folds - len(found.folds)
    lacking = f" {missing} of the {content.recipe.data.folds} folds are missing." if missing else ""
    lead = (
        f"Accuracy {found.mean:.1%} ± {100 * found.sd:.1f} after the last epoch (mean and standard deviation "
        f"of {len(found.folds)} folds; {found.pooled:.1%} of all {found.faces:,} faces).{lacking}"
    )
    if content.scored.out_of_fold is None:
        return lead
    scores = content.scored.out_of_fold.scores
    return (
        f"{lead} At the best epoch of each fold {scores.accuracy:.1%} of all faces ({_interval(scores)}), "
        f"macro F1 {scores.macro_f1:.1%}. {content.scored.note}That epoch was chosen on the fold itself, so "
        "these scores and those of the evaluation below are too good."
    )


def _interval(scores: Scores) -> str:
    low, high = scores.accuracy_ci95
    return f"95 % interval {100 * low:.1f} to {100 * high:.1f}"


def _head(content: _Content) -> dict[str, str]:
    runs, learned, scored = content.runs, content.learned, content.scored
    run, facts = runs[0], runs[0].facts
    data, hardware = facts.get("data", {}), facts.get("hardware", {})
    minutes = sum(each.curves.epochs.get("seconds", [0.0])[-1] for each in learned) / 60
    head = {
        "recipe": f"{run.recipe.name}: {run.recipe.description}"
        if run.recipe.description
        else run.recipe.name,
        "data": f"{data.get('source', 'unknown')} ({_splits(data.get('splits', {}))})",
        "hash of the data": str(data.get("sha256", "unknown"))[:16],
        "seed" if content.seeds is None else "seeds": ", ".join(
            map(str, dict.fromkeys(each.recipe.loop.seed for each in runs))
        ),
        "epochs": ", ".join(str(len(each.curves.epochs["epoch"])) for each in learned),
        "time": f"{minutes:.1f} minutes",
        "hardware": f"{hardware.get('device', '')}, {hardware.get('processor', 'unknown')}",
        "commit": str(facts.get("commit") or "unknown"),
    }
    return {**head, "not evaluated": scored.reason} if scored.reason else head


def _splits(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in splits.items())


def _chapters(content: _Content) -> Iterator[Chapter]:
    """The chapters of a report; the sections of each are computed when they are needed."""
    scored, recipe = content.scored, content.recipe
    if content.seeds is not None:
        sections = sections_of_seeds(content.seeds, scored.evaluations)
        yield Chapter("seeds", "The seeds", ABOUT_SEEDS, sections)
    if content.folds is not None:
        sections = sections_of_folds(recipe.name, content.folds, scored.evaluations)
        yield Chapter("folds", "The folds", ABOUT_FOLDS, sections)
    yield Chapter("training", "The training", "", training.sections(content.learned))
    if scored.out_of_fold is not None:
        yield Chapter("evaluation", "Evaluation", _OUT_OF_FOLD, _evaluation(scored.out_of_fold))
    elif len(scored.evaluations) == 1:
        yield Chapter("evaluation", "Evaluation", _EVALUATION, _evaluation(scored.evaluations[0]))
    yield Chapter("network", "The network", "", _network(content.runs[0].folder))
    yield Chapter("recipe", "Recipe and environment", "", _settings(content.runs))


_EVALUATION = (
    "Of the best epoch, on the faces that chose it. The intervals are bootstrap intervals over faces, or "
    "over people where they are known."
)
_OUT_OF_FOLD = (
    "All faces together, each predicted by the run whose fold it is in, which was not trained on it: the "
    "best epoch of each run, which was chosen on its fold. The intervals are bootstrap intervals over people."
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
