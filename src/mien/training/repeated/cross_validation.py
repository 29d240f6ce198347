"""Cross-validation: one run per fold, one after the other, and their mean."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.folders.subjects import subjects_of
from mien.data.table import FaceTable
from mien.errors import ResumeError, UsageError
from mien.files import csv_text, expanded, kind_of_path, write_atomically
from mien.runs.folds import (
    PLAN,
    RESULT,
    SCORES,
    CrossValidation,
    FoldScore,
    over_folds,
    read_fold,
)
from mien.runs.recipe import Recipe, load_recipe, to_toml
from mien.training.api import TrainOptions, default_folder, go, read_options, resolve, resume
from mien.training.data.splits import fold_of
from mien.training.reporter import LogReporter, Reporter
from mien.training.trackers import trackers_of


def cross_validate(
    recipe: Recipe | str | Path,
    *,
    data: FaceTable | str | Path,
    votes: str | Path | None = None,
    label_map: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    reporter: Reporter | None = None,
    track: str | Sequence[str] = (),
    **changes: Any,
) -> CrossValidation:
    """Train one run per fold of `data.folds`, in folders fold-1 and so on. Arguments as of `mien.train`.

    The subjects are read before anything is trained. `resume_cross_validation` goes on with one that was
    stopped.

    Raises:
        DataError: the names of the files do not contain the subjects.
        UsageError: the folder already has folds, or there are several processes.
        RecipeError, TrainError: as for a single run; or the recipe has no folds.
    """
    plan = resolve(recipe, changes)
    folder = expanded(out) if out else default_folder(f"{plan.name}-{plan.data.folds}-folds")
    if kind_of_path(folder / PLAN, UsageError) != "nothing":
        raise UsageError(f"{folder} already has folds. Resume them with --resume {folder}.")
    options, faces = read_options(data, votes, label_map, device, threads)
    options = replace(options, track=trackers_of(track))
    table = _checked_faces(plan, options, faces)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder, {"options": asdict(options)})
    write_atomically(folder / PLAN, to_toml(plan))
    return _run_folds(plan, options, table, folder, reporter)


def resume_cross_validation(folder: str | Path, *, reporter: Reporter | None = None) -> CrossValidation:
    """Go on where `cross_validate` was stopped; folds that are done stay.

    Raises:
        ResumeError: the folder has no folds, or they were given a table instead of a path.
    """
    folder = expanded(folder)
    if not (folder / PLAN).is_file() or not (folder / RESULT).is_file():
        raise ResumeError(f"{folder} has no folds to resume.")
    options = TrainOptions(**json.loads((folder / RESULT).read_text(encoding="utf-8"))["options"])
    if not options.data:
        raise ResumeError(f"{folder}: {RESULT} does not name the data of the folds. Train them again.")
    plan = load_recipe(folder / PLAN)
    return _run_folds(plan, options, _checked_faces(plan, options, None), folder, reporter)


def _checked_faces(plan: Recipe, options: TrainOptions, faces: FaceTable | None) -> FaceTable:
    """The faces; whatever would stop the second fold stops the first."""
    if not plan.data.folds:
        raise UsageError("the recipe has no folds. Set data.folds to their number, such as --folds 5.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("several processes train one fold at a time: give --fold 1, then --fold 2, ...")
    table = options.faces(plan.data.face_size) if faces is None else faces
    fold_of(table, plan.data)
    return table


def _run_folds(
    plan: Recipe, options: TrainOptions, faces: FaceTable, folder: Path, reporter: Reporter | None
) -> CrossValidation:
    scores = []
    for number in range(1, plan.data.folds + 1):
        fold = folder / f"fold-{number}"
        recipe = plan.changed({"data.fold": number})
        if not (fold / "recipe.toml").exists():
            go(recipe, options, fold, reporter, faces=faces)
        elif not (fold / "summary.json").exists():
            resume(fold, reporter=reporter)
        scores.append(_score(recipe, faces, fold))
    result = _with_summary(plan, folder, over_folds(scores))
    _write_json(folder, {"options": asdict(options), **asdict(result)})
    columns = [entry.name for entry in fields(FoldScore)]
    write_atomically(folder / SCORES, csv_text(columns, map(asdict, result.folds)))
    (reporter or LogReporter()).done(result.summary)
    return result


def _score(recipe: Recipe, faces: FaceTable, fold: Path) -> FoldScore:
    _, held_out = fold_of(faces, recipe.data)
    return read_fold(fold, recipe.data.fold, len(np.unique(subjects_of(held_out, recipe.data.subject))))


def _with_summary(plan: Recipe, folder: Path, result: CrossValidation) -> CrossValidation:
    summary = (
        f"{plan.name}: {len(result.folds)} folds, {result.subjects} subjects, {result.faces} faces, "
        f"seed {plan.loop.seed}: "
        f"{result.mean:.2%} ± {100 * result.sd:.2f} after the last epoch (mean and standard deviation over "
        f"folds; {result.pooled:.2%} of all faces); {result.best_mean:.2%} ± {100 * result.best_sd:.2f} at "
        f"each fold's best epoch, which was chosen on the fold itself and is too high; {folder}"
    )
    return replace(result, summary=summary)


def _write_json(folder: Path, content: dict[str, Any]) -> None:
    write_atomically(folder / RESULT, json.dumps(content, indent=2) + "\n")
