"""A run that is real but small: two steps on drawn faces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.exporting.onnx import Exported, export_run
from mien.runs.recipe import from_dict
from mien.training.distributed import World
from mien.training.process import Interrupt
from mien.training.trainer import Trainer


class _Silent:
    def step(self, progress: Any) -> None: ...
    def epoch(self, row: Any, epochs: int) -> None: ...
    def note(self, text: str) -> None: ...
    def done(self, summary: str) -> None: ...


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def table() -> FaceTable:
    """32 training and 40 validation faces with votes."""
    drawn = faces(72, seed=5)
    splits = np.array(["Training"] * 32 + ["PublicTest"] * 40)
    return FaceTable(drawn.pixels, drawn.labels, splits, drawn.rows, votes=drawn.votes, source="drawn faces")


@pytest.fixture(scope="session")
def run(table: FaceTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps: two heads, and a size that is not the one in its recipe."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    recipe = from_dict(
        {
            "name": "small",
            "network": {"backbone": "test_efficientnet", "init": "random", "size": 64},
            "optimizer": {"name": "adamw", "ema": 0.5},
            "schedule": {"epochs": 1, "sizes": [[0, 56]]},
            "loop": {"batch_size": 16},
        }
    )
    trainer = Trainer(recipe, table, folder, device=torch.device("cpu"), world=World(), reporter=_Silent())
    trainer.run(Interrupt())
    return folder


@pytest.fixture(scope="session")
def exported(run: Path, table: FaceTable, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The run as an ONNX file."""
    return export_run(run, tmp_path_factory.mktemp("models") / "small.onnx", faces=table)
