"""How runs learned, several laid over each other: losses, accuracies, the gap, rates, gradients, time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, MissingExtra, UsageError
from mien.reports.document import Section
from mien.reports.figures import training as drawing
from mien.runs.curves import Curves, gap_opening, read_curves
from mien.runs.preview import PREVIEW, Preview, read_preview
from mien.runs.recipe import load_recipe

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Learning:
    """One run, as its folder tells it.

    Attributes:
        name: what it is called in figures: the folder's name.
        curves: metrics.csv and steps.csv, by column.
        validation: the name of the split that chose the epoch.
        steps: of an epoch.
        preview: faces of its first batches beside what the network was given for them; None where the
            folder has none.
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
        """The epoch from which on validation loss stays above train loss; None where it does not."""
        index = gap_opening(self.curves.epochs["gap"])
        return None if index is None else self.curves.epochs["epoch"][index]

    @property
    def step_epochs(self) -> Floats:
        """Where each step lies on the axis of the epochs: the first epoch goes from 0 to 1, (steps,)."""
        return np.array(self.curves.steps.get("step", []), np.float64) / self.steps

    def step_values(self, column: str) -> Floats:
        """A column of steps.csv, (steps,)."""
        return np.array(self.curves.steps.get(column, []), np.float64)


def read_runs(folders: Sequence[Path]) -> list[Learning]:
    """The runs of these folders, each under a name of its own.

    Raises:
        UsageError: no folder is given.
        DataError: one is no run's folder, or has no finished epoch.
    """
    if not folders:
        raise UsageError("no run was given. Give the folders of runs, such as runs/NAME.")
    names = _distinct([folder.resolve() for folder in folders])
    return [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def read_run(folder: Path, name: str | None = None) -> Learning:
    """The run of a folder.

    Raises:
        DataError: it is no run's folder, or has no finished epoch.
    """
    curves = read_curves(folder)
    try:
        recipe = load_recipe(folder / "recipe.toml")
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        faces, processes = facts["training_faces"], facts["hardware"]["processes"]
    except (OSError, ValueError, KeyError, UsageError) as error:
        raise DataError(
            f"{folder} is no whole folder of a run: recipe.toml or run.json cannot be used ({error})."
        ) from error
    batch = min(recipe.loop.batch_size, faces) // processes * processes
    preview = folder / PREVIEW
    return Learning(
        name=name or folder.resolve().name,
        curves=curves,
        validation=recipe.data.validation,
        steps=max(faces // max(batch, 1), 1),
        preview=read_preview(preview) if preview.is_file() else None,
    )


def overview(runs: Sequence[Learning]) -> pd.DataFrame:
    """A row a run: epochs, the best of them and what it measured, where the gap opens, and what it cost.

    Accuracies are shares, `step_ms` is the median of a step, `minutes` are of the whole run.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise MissingExtra("The table of runs", "study") from error
    return pd.DataFrame([_overview(run) for run in runs])


def sections(runs: Sequence[Learning]) -> Iterator[Section]:
    """The figures of one run or of several laid over each other, in their order."""
    table = overview(runs)
    several = len(runs) > 1
    yield Section(
        "runs",
        "The runs" if several else "The run",
        "The best epoch is the one that was kept: it was chosen on the validation split, so its accuracy "
        "there is a little too good.",
        (12, 0.75 + 0.36 * len(runs)),
        lambda axes: drawing.draw_overview(axes, table),
        json.loads(table.to_json(orient="records")),
    )
    yield Section(
        "loss",
        "Loss",
        "Cross-entropy of the labels. Train is of augmented faces while the weights moved, so early on "
        "validation is often the lower one.",
        (8.4, 4.6),
        lambda axes: drawing.draw_losses(axes, runs),
        _by_epoch(runs, "train_loss", "validation_loss"),
    )
    yield Section(
        "accuracy",
        "Accuracy",
        "Rings mark the best epoch of each run.",
        (8.4, 4.6),
        lambda axes: drawing.draw_accuracies(axes, runs),
        _by_epoch(runs, "train_accuracy", "validation_accuracy"),
    )
    yield Section(
        "gap",
        "Gap between the splits",
        "Validation loss less train loss. From where it stays above zero, what is still learned helps the "
        "training faces more than others; where it grows fast, the network learns by heart.",
        (8.4, 4.2),
        lambda axes: drawing.draw_gaps(axes, runs),
        {run.name: {"gap": run.curves.epochs["gap"], "opens_at_epoch": run.gap_opens} for run in runs},
    )
    if any(run.curves.steps for run in runs):
        yield from _of_steps(runs)
    for run in runs:
        if run.preview is not None:
            yield preview_section(run.preview, run.name if several else None)


def _of_steps(runs: Sequence[Learning]) -> Iterator[Section]:
    yield Section(
        "learning_rate",
        "Learning rate",
        "By step, over the epochs.",
        (8.4, 3.8),
        lambda axes: drawing.draw_learning_rates(axes, runs),
        {run.name: {"highest": float(run.step_values("lr").max(initial=0))} for run in runs},
    )
    yield Section(
        "gradient_norm",
        "Norm of the gradient",
        "Before it is clipped. The line is the running median; behind it lies every step. Where it rises "
        "steeply, the rate is too high.",
        (8.4, 4.2),
        lambda axes: drawing.draw_gradient_norms(axes, runs),
        {run.name: _quantiles(run.step_values("gradient_norm")) for run in runs},
    )
    yield Section(
        "step_time",
        "Time of a step",
        "Running median, behind it every step. It jumps where the input grows, and where something else ran "
        "on the machine.",
        (8.4, 4.2),
        lambda axes: drawing.draw_step_times(axes, runs),
        {run.name: _quantiles(run.step_values("seconds") * 1000) for run in runs},
    )


def preview_section(preview: Preview, run: str | None = None) -> Section:
    """The figure of a run's augmented faces; `run` tells it from others' in name and title."""
    title = "Augmented faces" if run is None else f"Augmented faces of {run}"
    name = "augmented" if run is None else f"augmented_{run.replace('/', '_')}"
    return Section(
        name,
        title,
        "Above, faces of the run's first batches as they are in the data; below each, what the network got. "
        "Where faces are mixed, the other one may be the stronger; the shares say so.",
        (1.2 * preview.columns, 2.85 * preview.rows + 0.3),
        lambda axes: drawing.draw_preview(axes, preview, title),
        list(preview.captions),
    )


def _overview(run: Learning) -> dict[str, Any]:
    epochs, best = run.curves.epochs, run.best
    seconds, steps = epochs.get("seconds", [math.nan]), run.step_values("seconds")
    return {
        "run": run.name,
        "epochs": len(epochs["epoch"]),
        "best epoch": math.nan if best is None else int(epochs["epoch"][best]),
        "split": run.validation,
        "accuracy": math.nan if best is None else epochs["validation_accuracy"][best],
        "loss": math.nan if best is None else epochs["validation_loss"][best],
        "last accuracy": epochs["validation_accuracy"][-1],
        "gap opens": run.gap_opens,
        "step_ms": float(np.median(steps) * 1000) if len(steps) else math.nan,
        "minutes": seconds[-1] / 60,
    }


def _by_epoch(runs: Sequence[Learning], *columns: str) -> dict[str, Any]:
    return {run.name: {name: run.curves.epochs[name] for name in columns} for run in runs}


def _quantiles(values: Floats) -> dict[str, float]:
    if not len(values):
        return {}
    names = ("minimum", "median", "ninth decile", "maximum")
    found = np.quantile(values, (0, 0.5, 0.9, 1))
    return {name: float(value) for name, value in zip(names, found, strict=True)}


def _distinct(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, with as many of those above it as tell it from the others."""
    depth = 1
    longest = max(len(folder.parts) for folder in folders)
    while depth < longest:
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(set(folders)):
            return names
        depth += 1
    return [str(folder) for folder in folders]
