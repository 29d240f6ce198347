"""The curves of a real run can be drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from mien.runs.curves import draw_accuracy, draw_gap, draw_learning_rate, draw_loss, read_curves
from mien.runs.recipe import Recipe


def test_what_a_real_run_writes_can_be_drawn(whole: Callable[..., Path], tiny: Callable[..., Recipe]) -> None:
    curves = read_curves(whole(tiny()))
    assert len(curves.epochs["epoch"]) == 2
    assert len(curves.steps["lr"]) == 8
    for draw in (draw_loss, draw_accuracy, draw_learning_rate, draw_gap):
        draw(Figure().subplots(), curves)
