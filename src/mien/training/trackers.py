"""Weights & Biases and MLflow: the recipe of a run and the figures of its epochs, as a run of theirs."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from mien.errors import MissingExtra, UsageError
from mien.files import write_atomically
from mien.runs.history import Epoch
from mien.runs.recipe import Recipe
from mien.training.reporter import Reporter, WithCallbacks

# In the run's folder: the identifiers of the trackers' runs, so that a resumed run goes on in the same ones.
IDENTIFIERS = "trackers.json"


class Tracker(Protocol):
    """A run at a tracker, and its identifier there."""

    identifier: str

    def epoch(self, row: Epoch) -> None:
        """Send the figures of an epoch."""

    def close(self, complete: bool) -> None:
        """End the run."""


def trackers_of(names: str | Sequence[str]) -> list[str]:
    """The names of one or several trackers.

    Raises:
        UsageError: there is none of a name.
    """
    names = [names] if isinstance(names, str) else list(names)
    if unknown := sorted(set(names) - set(_TRACKERS)):
        raise UsageError(f"{unknown[0]!r} is no tracker. There are {' and '.join(sorted(_TRACKERS))}.")
    return names


@contextmanager
def tracked(names: Sequence[str], folder: Path, recipe: Recipe, reporter: Reporter) -> Iterator[Reporter]:
    """A reporter that sends the figures of each epoch to the trackers too, while the ``with`` block runs.

    A tracker that fails on the way is left, with a note: the figures are in metrics.csv in any case.

    Raises:
        UsageError: a tracker cannot be begun.
        MissingExtra: its package is not installed.
    """
    if not names:
        yield reporter
        return
    trackers = _begin(names, folder, recipe)

    def send(what: Callable[[Tracker], None]) -> None:
        for name, tracker in list(trackers.items()):
            try:
                what(tracker)
            except Exception as error:  # of any kind: of the network, of the tracker's server, of its own
                del trackers[name]
                reporter.note(f"{name} is no longer sent the figures, which are in metrics.csv: {error}")

    complete = False
    try:
        yield WithCallbacks(reporter, on_epoch=lambda row: send(lambda tracker: tracker.epoch(row)))
        complete = True
    finally:
        send(lambda tracker: tracker.close(complete))


def _begin(names: Sequence[str], folder: Path, recipe: Recipe) -> dict[str, Tracker]:
    file = folder / IDENTIFIERS
    known: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    trackers: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        try:
            trackers[name] = _TRACKERS[name](folder, recipe, known.get(name))
        except ModuleNotFoundError as error:
            raise MissingExtra(f"--track {name} (package {error.name!r})", "track") from error
        except Exception as error:
            raise UsageError(f"{name} cannot be begun: {error} Leave out --track {name}.") from error
    folder.mkdir(parents=True, exist_ok=True)
    identifiers = known | {name: tracker.identifier for name, tracker in trackers.items()}
    write_atomically(file, json.dumps(identifiers, indent=2) + "\n")
    return trackers


class _Wandb:
    """A run of W&B in the project of WANDB_PROJECT, else `mien`; its files go into the run's folder."""

    def __init__(self, folder: Path, recipe: Recipe, identifier: str | None) -> None:
        import wandb

        self.identifier = identifier or uuid.uuid4().hex[:8]
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "mien"),
            name=_name(folder),
            dir=str(folder),
            id=self.identifier,
            resume="allow",
            config=recipe.to_dict(),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def epoch(self, row: Epoch) -> None:
        self._run.log(_figures(row), step=row.epoch)

    def close(self, complete: bool) -> None:
        self._run.finish(exit_code=0 if complete else 1)


class _Mlflow:
    """A run of MLflow at MLFLOW_TRACKING_URI, in the experiment of MLFLOW_EXPERIMENT_NAME, else `mien`."""

    def __init__(self, folder: Path, recipe: Recipe, identifier: str | None) -> None:
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        if identifier is not None:
            self.identifier = identifier
            self._client.update_run(identifier, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mien")
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        self.identifier = self._client.create_run(experiment, run_name=_name(folder)).info.run_id
        params = [Param(key, str(value)) for key, value in _flat(recipe).items()]
        self._client.log_batch(self.identifier, params=params)

    def epoch(self, row: Epoch) -> None:
        for name, value in _figures(row).items():
            self._client.log_metric(self.identifier, name, value, step=row.epoch)

    def close(self, complete: bool) -> None:
        self._client.set_terminated(self.identifier, "FINISHED" if complete else "KILLED")


_TRACKERS: dict[str, Callable[[Path, Recipe, str | None], Tracker]] = {"mlflow": _Mlflow, "wandb": _Wandb}


def _name(folder: Path) -> str:
    """The last two parts of the folder's path, because the runs of several seeds differ in both."""
    return "/".join(folder.resolve().parts[-2:])


def _figures(row: Epoch) -> dict[str, float]:
    return {name: value for name, value in asdict(row).items() if isinstance(value, float)}


def _flat(recipe: Recipe) -> dict[str, Any]:
    """The recipe's values by key, such as ``optimizer.lr``."""
    flat: dict[str, Any] = {}
    for section, content in recipe.to_dict().items():
        values = content if isinstance(content, dict) else {"": content}
        flat |= {f"{section}.{name}".rstrip("."): value for name, value in values.items()}
    return flat
