"""Training from Python: arrays, callbacks, a loss and an augmentation of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

import mien
from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.errors import DataError, ResumeError, UsageError
from mien.runs.history import Epoch
from mien.runs.recipe import Recipe
from mien.training import api
from mien.training.data.extensions import Extensions
from mien.training.reporter import Progress

ARRAYS = faces(44, seed=3)
SPLITS = ["train"] * 32 + ["val"] * 12


def darker(pixels: Tensor, generator: Generator) -> Tensor:
    """Faces darkened by chance."""
    return pixels * torch.rand(len(pixels), 1, 1, 1, generator=generator)


def hinge(logits: Tensor, target: Tensor) -> Tensor:
    """A loss that mien does not have."""
    return functional.multi_margin_loss(logits, target.argmax(1), reduction="none")


def test_arrays_train_with_callbacks_and_functions_of_ones_own(
    tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    steps: list[Progress] = []
    epochs: list[Epoch] = []
    own: dict[str, Any] = {"loss": hinge, "augment": darker}
    data = (ARRAYS.pixels, ARRAYS.labels, SPLITS)
    plan = tiny(schedule={"epochs": 1, "warmup_epochs": 0}, loop={"save_every_s": 0.0})
    run = mien.train(
        plan, data=data, out=tmp_path / "a", on_step=steps.append, on_epoch=epochs.append, **own,
        **{"data.train": "train", "data.validation": "val"},
    )  # fmt: skip
    assert [row.epoch for row in epochs] == [1]
    assert steps[-1].step == steps[-1].steps == 4
    assert epochs[0] == run.best
    assert (epochs[0].validation_macro_f1 or 0) >= 0
    kept = json.loads((tmp_path / "a/run.json").read_text())["options"]["extensions"]
    assert {name.rsplit(".")[-1] for name in kept.values()} == {"hinge", "darker"}
    # The objective is the loss that was given, not the cross-entropy.
    assert epochs[0].objective != pytest.approx(epochs[0].train_loss)

    table = FaceTable.from_arrays(*data)
    with pytest.raises(ResumeError, match=r"began with loss=.*hinge and augment=.*darker, not with no loss"):
        api.resume(tmp_path / "a", data=table)
    assert api.resume(tmp_path / "a", data=table, **own).epochs == 1


def test_what_returns_another_shape_is_named() -> None:
    own = Extensions(loss=lambda logits, target: logits.mean(), augment=lambda pixels, generator: pixels[:1])
    with pytest.raises(UsageError, match=r"<lambda> must return the loss of each face, \(5,\), not \(\)"):
        own.summed_loss(torch.zeros(5, 7), torch.zeros(5, 7))
    with pytest.raises(UsageError, match=r"the shape it is given, \(2, 1, 4, 4\), not \(1, 1, 4, 4\)"):
        own.augmented(torch.zeros(2, 1, 4, 4), torch.Generator())


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 1, 8, 8), (3, 8, 8, 1)])
def test_arrays_become_a_table(shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    table = FaceTable.from_arrays(pixels, ["sad", "happy", "sad"], "train", subjects=["a", "b", "a"])
    assert table.pixels.shape == (3, 8, 8)
    assert table.pixels.ravel().tolist() == pixels.ravel().tolist()
    assert table.labels.tolist() == [4, 3, 4]
    assert len(table.split("Training")) == 3
    assert table.subjects is not None


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((2, 8, 8)), [0, 1], r"uint8 \(N, S, S\), not float64 .*Multiply values"),
        (np.zeros((2, 8, 8, 3), np.uint8), [0, 1], r"not uint8 \(2, 8, 8, 3\)"),
        (np.zeros((2, 8, 8), np.uint8), [0, 7], r"from 0 to 6, or -1 for none, not int64 \(2,\) from 0 to 7"),
        (np.zeros((2, 8, 8), np.uint8), ["happy", "bored"], "label 'bored' is not one of the classes"),
        (np.zeros((2, 8, 8), np.uint8), [0], "labels has 1 rows where pixels has 2"),
    ],
)
def test_arrays_that_cannot_be_a_table_are_refused(pixels: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FaceTable.from_arrays(pixels, labels)
