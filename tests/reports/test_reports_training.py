"""How runs learned is told from their folders, as they are, and laid over each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import DataError, UsageError
from mien.plotting import new_figure
from mien.reports.html import plain
from mien.reports.training import overview, sections
from mien.runs.curves import Learning, read_run, read_runs
from mien.runs.figures import draw_gaps, draw_losses, running_median
from mien.runs.preview import PREVIEW, Preview, read_preview, write_preview
from mien.testing.fakes import overhang

COLUMNS = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,votes_loss,gap,seconds,best"
ROWS = [
    "1,1.5,0.4,1.4,0.45,,-0.1,60,True",
    "2,1.2,0.5,1.3,0.50,,0.1,120,True",
    "3,1.0,0.6,1.0,0.55,,0.0,180,True",
    "4,0.7,0.7,1.2,0.54,,0.5,240,False",
]


def write_run(folder: Path, epochs: int = 4, *, slower: float = 1.0) -> Path:
    """A run of 100 faces in batches of 30: three steps an epoch."""
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("\n".join([COLUMNS, *ROWS[:epochs]]) + "\n")
    steps = [f"{i},{0.001 * i},2,{1 + i},{0.1 * slower}" for i in range(3 * epochs)]
    (folder / "steps.csv").write_text("\n".join(["step,lr,loss,gradient_norm,seconds", *steps]) + "\n")
    (folder / "recipe.toml").write_text('[data]\nvalidation = "PublicTest"\n[loop]\nbatch_size = 30\n')
    (folder / "run.json").write_text(json.dumps({"training_faces": 100, "hardware": {"processes": 1}}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Learning]:
    return read_runs([write_run(tmp_path / "first"), write_run(tmp_path / "second", 2, slower=3)])


def test_a_run_says_where_its_gap_opens_and_where_its_steps_lie(runs: list[Learning]) -> None:
    """In the first the gap closes again in epoch 3, so that it opens in epoch 4."""
    first, second = runs
    assert (first.gap_opens, second.gap_opens) == (4, 2)
    assert first.steps == 3
    np.testing.assert_allclose(first.step_epochs[[0, 3, 11]], [0, 1, 11 / 3])


def test_the_table_holds_the_best_epoch_the_last_and_the_cost(runs: list[Learning]) -> None:
    table = overview(runs).set_index("run")
    assert table.loc["first", "best epoch"] == 3
    assert table.loc["first", "accuracy"] == 0.55
    assert table.loc["first", "last accuracy"] == 0.54
    assert table.loc["second", "step_ms"] == pytest.approx(300)
    assert table.loc["second", "minutes"] == 2


def test_runs_of_one_name_are_told_apart_by_the_folder_above(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "a" / "fold-1"), write_run(tmp_path / "b" / "fold-1")]
    assert [run.name for run in read_runs(folders)] == ["a/fold-1", "b/fold-1"]
    assert [run.name for run in read_runs(folders[:1])] == ["fold-1"]


def test_each_run_is_drawn_on_its_own_colour_whatever_its_length(runs: list[Learning]) -> None:
    _, axes = new_figure(8, 4)
    draw_losses(axes, runs)
    drawn = {line.get_label(): line for line in axes.get_lines()}
    assert drawn["first"].get_ydata().tolist() == [1.4, 1.3, 1.0, 1.2]
    assert drawn["second"].get_xdata().tolist() == [1, 2]
    assert drawn["first"].get_color() != drawn["second"].get_color()
    assert axes.get_xlim() == (0.5, 4.5)


def test_the_gap_says_for_each_run_when_it_opens(runs: list[Learning]) -> None:
    _, axes = new_figure(8, 4)
    draw_gaps(axes, runs)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "first: opens at epoch 4",
        "second: opens at epoch 2",
    ]


def test_a_running_median_is_that_of_its_window() -> None:
    assert running_median(np.array([1.0, 9, 2, 3, 100]), 3).tolist() == [5, 2, 3, 3, 51.5]
    assert running_median(np.array([4.0, 5]), 1).tolist() == [4, 5]


def preview(count: int = 5, columns: int = 3) -> Preview:
    generator = np.random.default_rng(0)
    before, after = generator.integers(0, 256, (2, count, 48, 48), dtype=np.uint8)
    return Preview(before, after, tuple(f"face {i}" for i in range(count)), columns)


def test_a_sheet_of_augmented_faces_survives_the_disk(tmp_path: Path) -> None:
    made = preview()
    write_preview(made, tmp_path / PREVIEW)
    read = read_preview(tmp_path / PREVIEW)
    np.testing.assert_array_equal(read.before, made.before)
    np.testing.assert_array_equal(read.after, made.after)
    assert (read.captions, read.columns, read.rows) == (made.captions, 3, 2)
    with Image.open(tmp_path / PREVIEW) as png:
        assert png.size == (3 * 96, 4 * 96)
    Image.new("L", (9, 9)).save(tmp_path / "other.png")
    with pytest.raises(DataError, match="not a preview"):
        read_preview(tmp_path / "other.png")


@pytest.mark.parametrize("count", [1, 2])
def test_every_part_is_drawn_without_clipping_and_told_in_numbers(tmp_path: Path, count: int) -> None:
    folders = [write_run(tmp_path / f"run number {i}", 4 - 3 * i) for i in range(count)]
    write_preview(preview(), folders[0] / PREVIEW)
    found = list(sections(read_runs(folders)))
    names = [section.name for section in found]
    assert len(set(names)) == len(names)
    assert {"runs", "loss", "accuracy", "gap", "learning_rate", "gradient_norm", "step_time"} < set(names)
    assert any(name.startswith("augmented") for name in names)
    for section in found:
        json.dumps(plain(section.numbers), allow_nan=False)
        figure, axes = new_figure(*section.size)
        section.draw(axes)
        assert overhang(figure) <= 0.01, section.name


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run was given"):
        read_runs([])
    with pytest.raises(DataError, match=r"metrics\.csv is missing"):
        read_run(tmp_path)
    (write_run(tmp_path / "run") / "run.json").unlink()
    with pytest.raises(DataError, match=r"run\.json cannot be used"):
        read_run(tmp_path / "run")
