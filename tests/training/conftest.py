"""A network, a recipe and a table that are real but small: a training in seconds on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.runs.history import Epoch
from mien.runs.recipe import Recipe, from_dict, to_toml
from mien.training.distributed import World
from mien.training.process import Interrupt, settings_restored
from mien.training.reporter import Progress
from mien.training.result import TrainResult
from mien.training.trainer import Trainer

# The smallest EfficientNet in timm: 0.8 million parameters without its classifier.
TINY = {
    "data": {"votes": True},
    "network": {"backbone": "tinynet_e", "init": "random", "size": 32, "drop_path": 0.1},
    "augment": {
        "scale": [0.9, 1.1],
        "brightness": 0.1,
        "contrast": 0.1,
        "erase": 0.3,
        "mixup": 0.2,
        "cutmix": 0.5,
    },
    "optimizer": {"name": "adamw", "lr": 1e-3, "ema": 0.9, "clip_norm": 1.0},
    "schedule": {"name": "cosine", "epochs": 2, "warmup_epochs": 0.5},
    "loss": {"label_smoothing": 0.1},
    "loop": {"batch_size": 8},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """One thread, and denormal numbers are 0 as in `mien train`: some tests compare with its runs to the bit.

    A module's, not the session's, and put back: the processor's setting is the whole process's, and
    hypothesis, in another folder's tests, refuses to draw floats where there are no subnormal ones.
    """
    with settings_restored():
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        yield


@dataclass
class Recorder:
    """A reporter that keeps what it is told; `on_epoch` is called with each row."""

    steps: list[Progress] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)

    def step(self, progress: Progress) -> None:
        self.steps.append(progress)

    def epoch(self, row: Epoch, epochs: int) -> None:
        self.epochs.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def done(self, summary: str) -> None:
        self.summaries.append(summary)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def few_faces() -> FaceTable:
    """32 training and 12 validation faces with votes."""
    table = faces(50, seed=3)
    splits = np.array(["Training"] * 32 + ["PublicTest"] * 12 + ["PrivateTest"] * 6)
    return FaceTable(table.pixels, table.labels, splits, table.rows, votes=table.votes, source="few faces")


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Recipe]:
    """Makes the small recipe, with sections changed: ``tiny(schedule={"epochs": 1})``."""

    def make(**changes: dict[str, Any]) -> Recipe:
        return from_dict({name: {**values, **changes.get(name, {})} for name, values in TINY.items()})

    return make


@pytest.fixture
def train(few_faces: FaceTable) -> Callable[..., tuple[TrainResult, Trainer]]:
    """Trains a recipe on the few faces in a folder."""

    def run(
        recipe: Recipe,
        folder: Path,
        reporter: Any = None,
        *,
        resume: bool = False,
        faces: FaceTable = few_faces,
    ) -> tuple[TrainResult, Trainer]:
        trainer = Trainer(
            recipe,
            faces,
            folder,
            device=torch.device("cpu"),
            world=World(),
            reporter=reporter or Recorder(),
            resume=resume,
        )
        return trainer.run(Interrupt()), trainer

    return run


@pytest.fixture(scope="session")
def _whole_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


@pytest.fixture
def whole(
    train: Callable[..., tuple[TrainResult, Trainer]],
    _whole_runs: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Recipe], Path]:
    """The folder of a recipe's undisturbed run, trained once a session and not to be changed."""

    def folder(recipe: Recipe) -> Path:
        key = to_toml(recipe)
        if key not in _whole_runs:
            _whole_runs[key] = tmp_path_factory.mktemp("whole")
            train(recipe, _whole_runs[key])
        return _whole_runs[key]

    return folder
