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
from mien.training import api as runs
from mien.training.data.folds import fold_of
from mien.training.reporter import Reporter

PLAN, ASKED, SCORES = "folds.toml", "folds.json", "folds.csv"


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
class Folded:
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


def start_folds(
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
) -> Folded:
    """Train a run a fold, in folders fold-1 and so on; what they say together.

    The subjects are read before anything is trained. Stopped, it goes on by `resume_folds`.

    Raises:
        DataError: the names of the files do not tell the subjects.
        UsageError: the folder holds folds already, or there are several processes.
        RecipeError, TrainError: as for a single run.
    """
    plan = load_recipe(recipe, changes)
    folder = out or Path("runs") / f"{plan.name}-{plan.data.folds}-folds-{datetime.now():%Y%m%d-%H%M%S}"
    if (folder / PLAN).exists():
        raise UsageError(f"{folder} holds folds already. Go on with them by --resume {folder}.")
    asked = runs.Asked(
        runs.lasting(data),
        runs.lasting(votes) if votes else None,
        device,
        threads,
        runs.lasting_map(label_map),
    )
    _check(plan, asked)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / ASKED, (json.dumps({"asked": asdict(asked)}, indent=2) + "\n").encode())
    write_atomically(folder / PLAN, to_toml(plan).encode())
    return _go(plan, asked, folder, reporter)


def resume_folds(folder: Path, *, reporter: Reporter) -> Folded:
    """Go on where `start_folds` was stopped; folds that are done stay.

    Raises:
        ResumeError: the folder holds no folds.
    """
    if not (folder / PLAN).is_file() or not (folder / ASKED).is_file():
        raise ResumeError(f"{folder} holds no folds to go on with.")
    asked = runs.Asked(**json.loads((folder / ASKED).read_text(encoding="utf-8"))["asked"])
    plan = load_recipe(folder / PLAN)
    _check(plan, asked)
    return _go(plan, asked, folder, reporter)


def _check(plan: Recipe, asked: runs.Asked) -> None:
    """Whatever would stop the second fold stops the first."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("several processes train one fold at a time: give --fold 1, then --fold 2, ...")
    fold_of(asked.faces(plan.data.face_size), plan.data)


def _go(plan: Recipe, asked: runs.Asked, folder: Path, reporter: Reporter) -> Folded:
    numbers = range(1, plan.data.folds + 1)
    for number in numbers:
        place = folder / f"fold-{number}"
        if (place / "summary.json").exists():
            continue
        if (place / "recipe.toml").exists():
            runs.resume(place, reporter=reporter)
        else:
            runs.start(
                data=asked.data,
                recipe=folder / PLAN,
                changes=(f"data.fold={number}",),
                votes=asked.votes,
                label_map=asked.label_map,
                out=place,
                device=asked.device,
                threads=asked.threads,
                reporter=reporter,
            )
    folded = _sum_up(plan, folder, [_score(plan, asked, folder, number) for number in numbers])
    _write(folder, asked, folded)
    reporter.done(folded.summary)
    return folded


def _score(plan: Recipe, asked: runs.Asked, folder: Path, number: int) -> FoldScore:
    _, held = fold_of(asked.faces(plan.data.face_size), replace(plan.data, fold=number))
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


def _sum_up(plan: Recipe, folder: Path, scores: Sequence[FoldScore]) -> Folded:
    last, best = [each.last_accuracy for each in scores], [each.best_accuracy for each in scores]
    faces = sum(each.faces for each in scores)
    folded = Folded(
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
        f"{plan.name}: {len(scores)} folds, {folded.subjects} subjects, {faces} faces, "
        f"seed {plan.loop.seed}: "
        f"{folded.mean:.2%} ± {100 * folded.sd:.2f} after the last epoch (mean and standard deviation over "
        f"folds; {folded.pooled:.2%} of all faces); {folded.best_mean:.2%} ± {100 * folded.best_sd:.2f} at "
        f"each fold's best epoch, which the fold itself chose and which is too good; {folder}"
    )
    return replace(folded, summary=summary)


def _write(folder: Path, asked: runs.Asked, folded: Folded) -> None:
    """folds.json, whole, and folds.csv, a row a fold."""
    content = {"asked": asdict(asked), **asdict(folded)}
    write_atomically(folder / ASKED, (json.dumps(content, indent=2) + "\n").encode())
    text = io.StringIO()
    writer = csv.DictWriter(text, [entry.name for entry in fields(FoldScore)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in folded.folds)
    write_atomically(folder / SCORES, text.getvalue().encode())
