"""How runs learned, read from their folders: figures by epoch and by step."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, UsageError
from mien.files import read_csv
from mien.runs.preview import PREVIEW, Preview, read_preview
from mien.runs.recipe import load_recipe

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """A run's columns: `epochs` by name, one value per epoch; `steps` by name, one value per step."""

    epochs: dict[str, list[float]]
    steps: dict[str, list[float]]

    @property
    def best(self) -> int | None:
        """The index of the best epoch; None if none is marked."""
        marked = [i for i, best in enumerate(self.epochs["best"]) if best]
        return marked[-1] if marked else None


@dataclass(frozen=True, eq=False)
class Learning:
    """One run as its folder has it.

    Attributes:
        name: what it is called in figures: the folder's name.
        curves: metrics.csv and steps.csv, by column.
        validation: the name of the faces that chose the epoch.
        steps: of an epoch.
        preview: faces of its first batches before and after augmentation; None if the folder has none.
    """

    name: str
    curves: Curves
    validation: str
    steps: int
    preview: Preview | None = None

    @property
    def best(self) -> int | None:
        """The index of the best epoch; None if none is marked."""
        return self.curves.best

    @property
    def gap_opens(self) -> float | None:
        """The epoch from which on validation loss stays above train loss; None if there is none."""
        gap = self.curves.epochs["gap"]
        start = 1 + max((i for i, value in enumerate(gap) if not value > 0), default=-1)
        return self.curves.epochs["epoch"][start] if start < len(gap) else None

    @property
    def step_epochs(self) -> Floats:
        """The position of each step on the axis of the epochs, (steps,): the first epoch is from 0 to 1."""
        return self.step_values("step") / self.steps

    def step_values(self, column: str) -> Floats:
        """A column of steps.csv, (steps,)."""
        return np.array(self.curves.steps.get(column, []), np.float64)


def read_runs(folders: Sequence[Path]) -> list[Learning]:
    """The runs of these folders, each with a different name.

    Raises:
        UsageError: no folder is given.
        DataError: one is not the folder of a run, or has no finished epoch.
    """
    if not folders:
        raise UsageError("no run was given. Give the folders of runs, such as runs/NAME.")
    names = _distinct([folder.resolve() for folder in folders])
    return [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def read_run(folder: Path, name: str | None = None) -> Learning:
    """The run of a folder.

    Raises:
        DataError: it is not the folder of a run, or has no finished epoch.
    """
    curves = read_curves(folder)
    try:
        recipe = load_recipe(folder / "recipe.toml")
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        faces, processes = facts["training_faces"], facts["hardware"]["processes"]
    except (OSError, ValueError, KeyError, UsageError) as error:
        raise DataError(
            f"{folder} is not a complete run: recipe.toml or run.json cannot be used ({error})."
        ) from error
    batch = min(recipe.loop.batch_size, faces) // processes * processes
    preview = folder / PREVIEW
    return Learning(
        name=name or folder.resolve().name,
        curves=curves,
        validation=recipe.data.validation_name,
        steps=max(faces // max(batch, 1), 1),
        preview=read_preview(preview) if preview.is_file() else None,
    )


def read_curves(folder: Path) -> Curves:
    """The curves in a run's folder.

    Raises:
        DataError: metrics.csv or steps.csv is missing, or metrics.csv has no row.
    """
    curves = Curves(_columns(folder / "metrics.csv"), _columns(folder / "steps.csv"))
    if not curves.epochs:
        raise DataError(f"{folder / 'metrics.csv'} has no epoch yet, so there is nothing to draw.")
    return curves


def _columns(path: Path) -> dict[str, list[float]]:
    try:
        rows = read_csv(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: {path.parent} is not the folder of a run.") from None
    return {name: [_number(row[name]) for row in rows] for name in rows[0]} if rows else {}


def _number(text: str) -> float:
    """A cell as a number: truth values as 1 and 0, an empty cell as NaN."""
    if text in ("True", "False"):
        return float(text == "True")
    return float(text) if text else math.nan


def _distinct(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, after as many of its parents as distinguish it from the others."""
    for depth in range(1, max(len(folder.parts) for folder in folders)):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(set(folders)):
            return names
    return [str(folder) for folder in folders]
