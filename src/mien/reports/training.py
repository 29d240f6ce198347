"""How runs learned, several laid over each other: losses, accuracies, the gap, rates, gradients, time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import MissingExtra
from mien.reports.document import Section
from mien.runs import figures
from mien.runs.curves import Floats, Learning
from mien.runs.preview import Preview

if TYPE_CHECKING:
    import pandas as pd


def overview(runs: Sequence[Learning]) -> pd.DataFrame:
    """One row per run: epochs, the best of them and what it measured, where the gap opens, and what it cost.

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
        lambda axes: figures.draw_overview(axes, table),
        json.loads(table.to_json(orient="records")),
    )
    yield Section(
        "loss",
        "Loss",
        "Cross-entropy of the labels. Train is of augmented faces while the weights moved, so early on "
        "validation is often the lower one.",
        (8.4, 4.6),
        lambda axes: figures.draw_losses(axes, runs),
        _by_epoch(runs, "train_loss", "validation_loss"),
    )
    yield Section(
        "accuracy",
        "Accuracy",
        "Rings mark the best epoch of each run.",
        (8.4, 4.6),
        lambda axes: figures.draw_accuracies(axes, runs),
        _by_epoch(runs, "train_accuracy", "validation_accuracy"),
    )
    yield Section(
        "gap",
        "Gap between the splits",
        "Validation loss less train loss. From where it stays above zero, what is still learned helps the "
        "training faces more than others; where it grows fast, the network learns by heart.",
        (8.4, 4.2),
        lambda axes: figures.draw_gaps(axes, runs),
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
        lambda axes: figures.draw_learning_rates(axes, runs),
        {run.name: {"highest": float(run.step_values("lr").max(initial=0))} for run in runs},
    )
    yield Section(
        "gradient_norm",
        "Norm of the gradient",
        "Before it is clipped. The line is the running median; behind it lies every step. Where it rises "
        "steeply, the rate is too high.",
        (8.4, 4.2),
        lambda axes: figures.draw_gradient_norms(axes, runs),
        {run.name: _quantiles(run.step_values("gradient_norm")) for run in runs},
    )
    yield Section(
        "step_time",
        "Time of a step",
        "Running median, behind it every step. It jumps where the input grows, and where something else ran "
        "on the machine.",
        (8.4, 4.2),
        lambda axes: figures.draw_step_times(axes, runs),
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
        lambda axes: figures.draw_preview(axes, preview, title),
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
