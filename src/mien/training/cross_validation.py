"""A run for each fold, one after the other, and what they say together."""

from __future__ import annotations

import csv
import io
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from mien.data.folders.subjects import subjects_of
from mien.errors import ResumeError, UsageError
from mien.files import write_atomically
from mien.runs.curves import read_curves
from mien.runs.recipe import Recipe, load_recipe, to_toml
from mien.training import api
from mien.training.data.splits import fold_of
from mien.training.reporter import Reporter

PLAN, RESULT, SCORES = "folds.toml", "folds.json", "folds.csv"


@dataclass(frozen=True)
class FoldScore:
    """One fold: accuracy on the people that were held out, after the last epoch and at the best one.

    The best epoch was chosen on the fold itself, so its accuracy is too good; the last was not chosen.
    """

    fold: int
    subjects: int
    faces: int
    epochs: int
    last_accuracy: float
    last_loss: float
    best_epoch: int
    best_accuracy: float


@dataclass(frozen=True)
class CrossValidation:
    """All folds of a recipe together; `summary` says it in one line.

    `mean` and `sd` (of a sample) are over folds, after the last epoch; `pooled` is over all faces;
    `best_mean` and `best_sd` are at each fold's best epoch.
    """

    folds: tuple[FoldScore, ...]
    subjects: int
    faces: int
    mean: float
    sd: float
    pooled: float
    best_mean: float
    best_sd: float
    summary: str = ""


def cross_validate(
    *,
    data: str,
    recipe: str | Path,
    changes: tuple[str, ...],
    votes: str | Path | None = None,
    label_map: str | Path | None = None,
    out: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    reporter: Reporter,
) -> CrossValidation:
    """Train a run a fold, in folders fold-1 and so on; what they say together.

    The subjects are read before anything is trained. Stopped, it goes on by `resume_cross_validation`.

    Raises:
        DataError: the names of the files do not tell the subjects.
        UsageError: the folder holds folds already, or there are several processes.
        RecipeError, TrainError: as for a single run.
    """
    plan = load_recipe(recipe, changes)
    folder = out or Path("runs") / f"{plan.name}-{plan.data.folds}-folds-{datetime.now():%Y%m%d-%H%M%S}"
    if (folder / PLAN).exists():
        raise UsageError(f"{folder} holds folds already. Go on with them by --resume {folder}.")
    options = api.TrainOptions(
        api.lasting(data),
        api.lasting(votes) if votes else None,
        device,
        threads,
        api.lasting_map(label_map),
    )
    _check(plan, options)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RESULT, (json.dumps({"options": asdict(options)}, indent=2) + "\n").encode())
    write_atomically(folder / PLAN, to_toml(plan).encode())
    return _go(plan, options, folder, reporter)


def resume_cross_validation(folder: Path, *, reporter: Reporter) -> CrossValidation:
    """Go on where `cross_validate` was stopped; folds that are done stay.

    Raises:
        ResumeError: the folder holds no folds.
    """
    if not (folder / PLAN).is_file() or not (folder / RESULT).is_file():
        raise ResumeError(f"{folder} holds no folds to go on with.")
    options = api.TrainOptions(**json.loads((folder / RESULT).read_text(encoding="utf-8"))["options"])
    plan = load_recipe(folder / PLAN)
    _check(plan, options)
    return _go(plan, options, folder, reporter)


def _check(plan: Recipe, options: api.TrainOptions) -> None:
    """Whatever would stop the second fold stops the first."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("several processes train one fold at a time: give --fold 1, then --fold 2, ...")
    fold_of(options.faces(plan.data.face_size), plan.data)


def _go(plan: Recipe, options: api.TrainOptions, folder: Path, reporter: Reporter) -> CrossValidation:
    numbers = range(1, plan.data.folds + 1)
    for number in numbers:
        place = folder / f"fold-{number}"
        if (place / "summary.json").exists():
            continue
        if (place / "recipe.toml").exists():
            api.resume(place, reporter=reporter)
        else:
            api.start(
                data=options.data,
                recipe=folder / PLAN,
                changes=(f"data.fold={number}",),
                votes=options.votes,
                label_map=options.label_map,
                out=place,
                device=options.device,
                threads=options.threads,
                reporter=reporter,
            )
    result = _sum_up(plan, folder, [_score(plan, options, folder, number) for number in numbers])
    _write(folder, options, result)
    reporter.done(result.summary)
    return result


def _score(plan: Recipe, options: api.TrainOptions, folder: Path, number: int) -> FoldScore:
    _, held = fold_of(options.faces(plan.data.face_size), replace(plan.data, fold=number))
    place = folder / f"fold-{number}"
    curves = read_curves(place)
    facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
    best = curves.best or 0
    return FoldScore(
        fold=number,
        subjects=len(np.unique(subjects_of(held, plan.data.subject))),
        faces=int(facts["validation_faces"]),
        epochs=len(curves.epochs["epoch"]),
        last_accuracy=curves.epochs["validation_accuracy"][-1],
        last_loss=curves.epochs["validation_loss"][-1],
        best_epoch=int(curves.epochs["epoch"][best]),
        best_accuracy=curves.epochs["validation_accuracy"][best],
    )


def _sum_up(plan: Recipe, folder: Path, scores: Sequence[FoldScore]) -> CrossValidation:
    last, best = [each.last_accuracy for each in scores], [each.best_accuracy for each in scores]
    faces = sum(each.faces for each in scores)
    result = CrossValidation(
        folds=tuple(scores),
        subjects=sum(each.subjects for each in scores),
        faces=faces,
        mean=statistics.fmean(last),
        sd=statistics.stdev(last),
        pooled=sum(each.last_accuracy * each.faces for each in scores) / faces,
        best_mean=statistics.fmean(best),
        best_sd=statistics.stdev(best),
    )
    summary = (
        f"{plan.name}: {len(scores)} folds, {result.subjects} subjects, {faces} faces, "
        f"seed {plan.loop.seed}: "
        f"{result.mean:.2%} ± {100 * result.sd:.2f} after the last epoch (mean and standard deviation over "
        f"folds; {result.pooled:.2%} of all faces); {result.best_mean:.2%} ± {100 * result.best_sd:.2f} at "
        f"each fold's best epoch, which the fold itself chose and which is too good; {folder}"
    )
    return replace(result, summary=summary)


def _write(folder: Path, options: api.TrainOptions, result: CrossValidation) -> None:
    """folds.json, whole, and folds.csv, a row a fold."""
    content = {"options": asdict(options), **asdict(result)}
    write_atomically(folder / RESULT, (json.dumps(content, indent=2) + "\n").encode())
    text = io.StringIO()
    writer = csv.DictWriter(text, [entry.name for entry in fields(FoldScore)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in result.folds)
    write_atomically(folder / SCORES, text.getvalue().encode())
