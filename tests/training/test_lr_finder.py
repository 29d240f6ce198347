"""The range test finds the learning rate at which a known curve falls fastest, and runs on faces."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.data.table import FaceTable
from mien.errors import TrainError, UsageError
from mien.runs.lr_range import LrRange, smoothed, write_lr_range
from mien.runs.recipe import Recipe

LRS = np.logspace(-6, 0, 200)


def curve(centre: float) -> list[float]:
    """A loss that falls from 2 to 1, fastest at a rate, and rises beyond 30 times of it."""
    logs = np.log10(LRS / centre)
    rising = np.maximum(0, logs - 1.5) ** 2
    return list(2 - 1 / (1 + np.exp(-4 * logs)) + 3 * rising)


@pytest.mark.parametrize("centre", [1e-4, 1e-3, 5e-3])
def test_the_rate_where_the_loss_falls_fastest_is_suggested(centre: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, len(LRS))
    found = LrRange.of(LRS.tolist(), (np.array(curve(centre)) + noise).tolist())
    assert found.suggestion == pytest.approx(centre, rel=1.0)  # within a factor of two of the curve's own
    assert found.suggestion > centre / 2
    assert found.suggestion < found.lowest_loss < 100 * centre


def test_the_moving_average_is_corrected_for_its_beginning() -> None:
    assert smoothed([3.0, 3.0, 3.0]) == pytest.approx([3, 3, 3])
    assert smoothed([1.0, 2.0])[1] == pytest.approx((0.9 * 0.1 * 1 + 0.1 * 2) / (1 - 0.81))


def test_a_loss_that_never_falls_or_is_no_number_suggests_nothing() -> None:
    with pytest.raises(TrainError, match="fell at no learning rate"):
        LrRange.of(LRS.tolist(), np.linspace(1, 2, 200).tolist())
    with pytest.raises(TrainError, match="no number after 3 steps"):
        LrRange.of([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, float("nan")])


def test_it_runs_on_faces_and_is_drawn(
    tiny: Callable[..., Recipe], few_faces: FaceTable, tmp_path: Path
) -> None:
    plan = tiny(data={"face_size": 16}, loop={"batch_size": 20}, network={"size": 16}, optimizer={"ema": 0.9})
    found, again = (
        mien.find_lr(plan, data=few_faces, steps=60, lowest=1e-5, highest=10.0, threads=1) for _ in range(2)
    )
    assert found.lrs[0] == pytest.approx(1e-5)
    assert np.diff(np.log(found.lrs)) == pytest.approx(np.log(1e6) / 59, rel=1e-6)
    assert found.lrs[0] < found.suggestion < found.lrs[-1]
    assert again.losses.tolist() == found.losses.tolist()
    files = write_lr_range(found, tmp_path / "lr")
    assert files[0] == tmp_path / "lr/lr-range.png"
    rows = list(csv.DictReader(files[-1].read_text().splitlines()))
    assert len(rows) == len(found.lrs)
    with pytest.raises(UsageError, match="must rise"):
        mien.find_lr(plan, data=few_faces, lowest=1.0, highest=0.1)
