"""The curves of a real run can be drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mien.runs.curves import read_run
from mien.runs.figures import draw_run
from mien.runs.recipe import Recipe


def test_what_a_real_run_writes_can_be_drawn(whole: Callable[..., Path], tiny: Callable[..., Recipe]) -> None:
    folder = whole(tiny())
    run = read_run(folder)
    assert len(run.curves.epochs["epoch"]) == 2
    assert len(run.curves.steps["lr"]) == 2 * run.steps == 8
    for path in draw_run(folder):
        assert path.stat().st_size > 10_000
        path.unlink()
