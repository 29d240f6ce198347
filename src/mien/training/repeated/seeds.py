"""One run per seed, one after the other: how much of a result is the seed's."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from mien.data.table import FaceTable
from mien.errors import ResumeError, UsageError
from mien.files import csv_text, expanded, kind_of_path, write_atomically
from mien.runs.recipe import Recipe, load_recipe, to_toml
from mien.runs.seed_folder import PLAN, RESULT, SCORES
from mien.runs.seeds import SeedRuns, SeedScore, read_seed
from mien.training.api import TrainOptions, default_folder, go, read_options, resolve, resume
from mien.training.data.splits import with_splits_of
from mien.training.reporter import LogReporter, Reporter, SummaryAsNote
from mien.training.trackers import trackers_of


def train_seeds(
    recipe: Recipe | str | Path,
    seeds: int | Sequence[int],
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
) -> SeedRuns:
    """Train a recipe once per seed, in folders seed-0 and so on. Other arguments as of `mien.train`.

    `seeds` are the seeds, or how many from 0 on. `resume_seeds` goes on where it was stopped.

    Raises:
        UsageError: fewer than two seeds, one twice or below 0, a folder that already has seeds, or several
            processes.
        RecipeError, DataError, TrainError: as for a single run.
    """
    wanted = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if len(wanted) < 2 or len(set(wanted)) < len(wanted) or min(wanted) < 0:
        raise UsageError(
            f"seeds must be two or more different whole numbers from 0 on, or their number, not {seeds}. One "
            "run alone is mien train --set loop.seed=N."
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("several processes train one seed at a time: --set loop.seed=0, then 1, ...")
    plan = resolve(recipe, changes)
    folder = expanded(out) if out else default_folder(f"{plan.name}-seeds")
    if kind_of_path(folder / PLAN, UsageError) != "nothing":
        raise UsageError(f"{folder} already has seeds. Resume them with --resume {folder}.")
    options, faces = read_options(data, votes, label_map, device, threads)
    options = replace(options, track=trackers_of(track))
    table = options.faces(plan.data.face_size) if faces is None else faces
    plan = with_splits_of(table, plan)  # what would stop the second seed stops the first
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder, {"options": asdict(options), "wanted": wanted})
    write_atomically(folder / PLAN, to_toml(plan))
    return _run_seeds(plan, wanted, options, table, folder, reporter)


def resume_seeds(folder: str | Path, *, reporter: Reporter | None = None) -> SeedRuns:
    """Go on where `train_seeds` was stopped; seeds that are done stay.

    Raises:
        ResumeError: the folder has no seeds, or they were given a table instead of a path.
    """
    folder = expanded(folder)
    if not (folder / PLAN).is_file() or not (folder / RESULT).is_file():
        raise ResumeError(f"{folder} has no seeds to resume.")
    kept = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    options = TrainOptions(**kept["options"])
    if not options.data:
        raise ResumeError(f"{folder}: {RESULT} does not name the data of the seeds. Train them again.")
    plan = load_recipe(folder / PLAN)
    table = options.faces(plan.data.face_size)
    return _run_seeds(plan, tuple(kept["wanted"]), options, table, folder, reporter)


def _run_seeds(
    plan: Recipe,
    wanted: Sequence[int],
    options: TrainOptions,
    faces: FaceTable,
    folder: Path,
    reporter: Reporter | None,
) -> SeedRuns:
    each = SummaryAsNote(reporter or LogReporter())
    scores = []
    for seed in wanted:
        run = folder / f"seed-{seed}"
        if not (run / "recipe.toml").exists():
            go(plan.changed({"loop.seed": seed}), options, run, each, faces=faces)
        elif not (run / "summary.json").exists():
            resume(run, reporter=each)
        scores.append(read_seed(run, seed))
    facts = json.loads((folder / f"seed-{wanted[0]}" / "run.json").read_text(encoding="utf-8"))
    n = int(facts["validation_faces"])
    result = SeedRuns(plan.name, plan.data.validation_name, n, tuple(scores), folder)
    _write_json(
        folder,
        {
            "options": asdict(options),
            "wanted": wanted,
            "recipe": plan.name,
            "validation": result.validation,
            "faces": n,
            "spreads": {name: asdict(found) for name, found in result.spreads.items()},
            "seeds": [asdict(score) for score in scores],
            "summary": result.summary,
        },
    )
    columns = [entry.name for entry in fields(SeedScore)]
    write_atomically(folder / SCORES, csv_text(columns, map(asdict, scores)))
    each.done(result.summary)
    return result


def _write_json(folder: Path, content: dict[str, Any]) -> None:
    write_atomically(folder / RESULT, json.dumps(content, indent=2) + "\n")
