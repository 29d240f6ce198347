"""The figures of a run are drawn from its tables, whatever their length, and show what is in them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from mien.errors import DataError, MissingExtra
from mien.runs.curves import read_run
from mien.runs.figures import draw_accuracies, draw_gaps, draw_learning_rates, draw_losses, draw_run

METRICS = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,votes_loss,gap,best"
ROWS = [
    "1,1.5,0.4,1.4,0.45,,-0.1,True",
    "2,1.2,0.5,1.3,0.50,,0.1,True",
    "3,1.0,0.6,1.0,0.55,,0.0,True",
    "4,0.7,0.7,1.2,0.54,,0.5,False",
    "5,0.5,0.8,1.3,0.53,,0.8,False",
]
STEPS = "step,lr,loss,gradient_norm,seconds\n" + "".join(f"{i},{0.001 * i},2,1,0.1\n" for i in range(10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, len(ROWS))


def write(folder: Path, epochs: int) -> Path:
    (folder / "metrics.csv").write_text("\n".join([METRICS, *ROWS[:epochs]]) + "\n")
    (folder / "steps.csv").write_text(STEPS)
    (folder / "recipe.toml").write_text("[loop]\nbatch_size = 50\n")
    (folder / "run.json").write_text('{"training_faces": 100, "hardware": {"processes": 1}}')
    return folder


def axes() -> Axes:
    return Figure().subplots()


def test_a_run_is_drawn_as_png_svg_and_pdf_the_same_each_time(folder: Path) -> None:
    pyplot = "matplotlib.pyplot" in sys.modules
    paths = draw_run(folder)
    assert [path.name for path in paths] == ["training.png", "training.svg", "training.pdf"]
    with Image.open(paths[0]) as picture:
        picture.verify()
        assert min(picture.size) > 800
    assert ElementTree.parse(paths[1]).getroot().tag.endswith("svg")
    first = [path.read_bytes() for path in paths]
    draw_run(folder)
    assert [path.read_bytes() for path in paths] == first
    assert ("matplotlib.pyplot" in sys.modules) == pyplot  # no state of the whole process


def test_a_run_of_one_epoch_is_drawn_too(tmp_path: Path) -> None:
    for path in draw_run(write(tmp_path, 1)):
        assert path.stat().st_size > 1000


@pytest.mark.parametrize(("draw", "name"), [(draw_losses, "loss"), (draw_accuracies, "accuracy")])
def test_both_splits_are_drawn_with_the_best_epoch(
    folder: Path, draw: Callable[..., None], name: str
) -> None:
    run, on = read_run(folder), axes()
    draw(on, [run])
    curves = run.curves
    train, validation, best = on.get_lines()
    assert train.get_ydata().tolist() == curves.epochs[f"train_{name}"]
    assert validation.get_ydata().tolist() == curves.epochs[f"validation_{name}"]
    assert train.get_linestyle() != validation.get_linestyle()  # told apart without colour too
    assert best.get_xdata().tolist() == [3]
    assert best.get_ydata().tolist() == [curves.epochs[f"validation_{name}"][2]]
    labels = [text.get_text() for text in on.get_legend().get_texts()]
    assert labels[2].startswith("best epoch, 3: ")


def test_the_learning_rate_is_drawn_by_step_over_the_epochs(folder: Path) -> None:
    on = axes()
    draw_learning_rates(on, [read_run(folder)])
    (line,) = on.get_lines()
    assert line.get_xdata().tolist() == [step / 2 for step in range(10)]  # two steps per epoch
    assert line.get_ydata().tolist() == pytest.approx([0.001 * i for i in range(10)])


def test_the_gap_marks_where_it_opens_for_good(folder: Path) -> None:
    """It is above zero in epoch 2, closes in epoch 3, and stays open from epoch 4."""
    on = axes()
    draw_gaps(on, [read_run(folder)])
    assert [text.get_text() for text in on.get_legend().get_texts()] == ["opens at epoch 4"]
    assert [4, 4] in [list(line.get_xdata()) for line in on.get_lines()]


def test_a_gap_that_never_opens_has_no_mark(tmp_path: Path) -> None:
    on = axes()
    draw_gaps(on, [read_run(write(tmp_path, 1))])
    assert [text.get_text() for text in on.get_legend().get_texts()] == ["does not open"]
    assert len(on.get_lines()) == 2  # the zero and the gap


def test_a_folder_without_a_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metrics\.csv is missing: .* is not the folder of a run"):
        draw_run(tmp_path)


def test_a_run_without_an_epoch_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no epoch yet"):
        draw_run(write(tmp_path, 0))


def test_without_matplotlib_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[train\]'"):
        draw_run(folder)
