"""`mien train` as it is typed."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

import mien.data.synthetic.faces
from mien.cli.app import app
from mien.cli.train.progress import TerminalReporter, duration
from mien.data.synthetic.faces import faces as draw_faces
from mien.errors import MissingExtra, RecipeError, ResumeError, SourceNotFound, UsageError
from mien.runs.history import Epoch
from mien.runs.recipe import load_recipe, recipe_names
from mien.training import api
from mien.training.checkpoint import BEST, read_checkpoint
from mien.training.reporter import Progress

Run = Callable[..., Result]

# `quick`, but for a network and a table that train in a second.
SMALL = [
    *("--set", "backbone=tinynet_e", "--init", "random", "--set", "size=32"),
    *("--set", "epochs=1", "--set", "batch_size=8", "--threads", "1"),
]


@pytest.fixture
def mien_train(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `mien train` with 40 synthetic faces, no network and no pictures."""
    torch.set_num_threads(1)
    monkeypatch.setattr(mien.data.synthetic.faces, "faces", partial(mien.data.synthetic.faces.faces, 40))
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("asked the network"))
    monkeypatch.setattr(api, "draw_run", lambda folder: [])

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["train", *map(str, arguments)])

    return run


def test_the_recipes_are_listed_with_what_they_are(mien_train: Run) -> None:
    result = mien_train("--list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == recipe_names()
    assert all(load_recipe(line.split()[0]).description in line for line in lines)


def test_quick_trains_on_synthetic_faces_on_a_fresh_machine(mien_train: Run, tmp_path: Path) -> None:
    """The shipped recipe with its ImageNet weights from the package; one line on stdout."""
    out = tmp_path / "run"
    result = mien_train("--data", "synthetic", "--set", "epochs=1", "--threads", "1", "--out", out)
    assert result.exit_code == 0, result.exception
    assert result.stdout.splitlines() == [(out / "summary.txt").read_text().strip()]
    assert result.stdout.startswith("quick: ")
    assert "on PublicTest (n = 4, seed 0, epoch 1 of 1); complete in" in result.stdout
    assert "epoch   1/1  48 px  train" in result.stderr
    assert load_recipe(out / "recipe.toml").network.init == "package"
    assert (out / "batches.png").exists()
    options = json.loads((out / "run.json").read_text())["options"]
    assert options == {
        "data": "synthetic", "votes": None, "device": "auto", "threads": 1, "label_map": None,
        "extensions": {}, "track": [],
    }  # fmt: skip


def test_changes_reach_the_recipe_and_init_is_short_for_one(mien_train: Run, tmp_path: Path) -> None:
    assert mien_train("--data", "synthetic", *SMALL, "--out", tmp_path).exit_code == 0
    network = load_recipe(tmp_path / "recipe.toml").network
    assert (network.backbone, network.init, network.size) == ("tinynet_e", "random", 32)


def test_a_run_begins_from_another_ones_weights(mien_train: Run, tmp_path: Path) -> None:
    mien_train("--data", "synthetic", *SMALL, "--out", tmp_path / "first")
    again = [*SMALL, "--init", tmp_path / "first", "--set", "lr=0"]
    result = mien_train("--data", "synthetic", *again, "--out", tmp_path / "second")
    assert result.exit_code == 0, result.exception
    first, second = (read_checkpoint(tmp_path / name / BEST).tensors for name in ("first", "second"))
    assert torch.equal(first["heads.fer2013.weight"], second["heads.fer2013.weight"])


def test_without_out_a_run_gets_a_folder_of_its_own(
    mien_train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert mien_train("--data", "synthetic", *SMALL).exit_code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("quick-20")
    assert (folder / BEST).exists()


def test_a_folder_with_a_run_is_not_written_over(mien_train: Run, tmp_path: Path) -> None:
    mien_train("--data", "synthetic", *SMALL, "--out", tmp_path)
    before = (tmp_path / BEST).read_bytes()
    result = mien_train("--data", "synthetic", *SMALL, "--out", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert f"already has a run. Resume it with --resume {tmp_path}" in str(result.exception)
    assert (tmp_path / BEST).read_bytes() == before


def test_resume_takes_data_votes_device_and_threads_from_the_run(
    mien_train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mien_train("--data", "synthetic", *SMALL, "--out", tmp_path)
    options: dict[str, Any] = {}
    monkeypatch.setattr(api, "go", lambda plan, given, *rest, **keys: options.update(vars(given)))
    mien_train("--resume", tmp_path)
    assert options == {
        "data": "synthetic", "votes": None, "device": "auto", "threads": 1, "label_map": None,
        "extensions": {}, "track": [],
    }  # fmt: skip
    mien_train("--resume", tmp_path, "--threads", "2", "--device", "cpu")
    assert options == {
        "data": "synthetic", "votes": None, "device": "cpu", "threads": 2, "label_map": None,
        "extensions": {}, "track": [],
    }  # fmt: skip


def test_paths_are_kept_whole_so_that_a_run_resumes_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {}
    monkeypatch.setattr(api, "go", lambda plan, given, *rest, **keys: options.update(vars(given)))
    (tmp_path / "faces").mkdir()
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["train", "--data", "faces", "--votes", "faces"])
    assert options["data"] == options["votes"] == str(tmp_path / "faces")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ([], UsageError, "no data. Give --data PATH, or --data synthetic"),
        (["--data", "synthetic", "--recipe", "b77"], RecipeError, "no recipe 'b77'. Shipped:"),
        (["--data", "synthetic", "--set", "epohcs=1"], RecipeError, "Did you mean 'epochs'?"),
        (["--data", "synthetic", "--device", "abacus"], UsageError, "device 'abacus' cannot be used here"),
        (["--data", "no/such/file.csv"], SourceNotFound, "no/such/file.csv does not exist"),
        (["--resume", "no/such/run"], ResumeError, "no/such/run has no run to resume"),
        (["--resume", "x", "--set", "epochs=9"], UsageError, "--set cannot be given with --resume"),
        (["--resume", "x", "--recipe", "b0", "--out", "y"], UsageError, "--recipe and --out cannot be given"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_way_out(
    mien_train: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    kind: type,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = mien_train(*arguments)
    assert type(result.exception) is kind
    assert message in str(result.exception)
    assert not (tmp_path / "runs").exists()


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mien.training.api", None)
    monkeypatch.delattr("mien.training.api", raising=False)
    result = CliRunner().invoke(app, ["train", "--data", "synthetic"])
    assert isinstance(result.exception, MissingExtra)
    assert "pip install 'mien[train]'" in str(result.exception)


# ---- what is shown --------------------------------------------------------------------------------


def progress(**changes: Any) -> Progress:
    values = {"epoch": 3, "epochs": 10, "step": 5, "steps": 20, "loss": 1.2345, "accuracy": 0.4567}
    return Progress(**{**values, "images_per_s": 178.4, "seconds_left": 754.0, **changes})


def shown(tell: Callable[[TerminalReporter], None]) -> str:
    screen = io.StringIO()
    with TerminalReporter(Console(file=screen, force_terminal=True, width=110)) as reporter:
        tell(reporter)
        reporter._bar.refresh()
    return screen.getvalue()


def test_the_bar_shows_loss_accuracy_speed_and_the_time_left_of_the_whole_run() -> None:
    screen = shown(lambda reporter: reporter.step(progress()))
    assert "epoch 3/10" in screen
    assert "loss 1.234  accuracy 45.7%  178 images/s  13 min left" in screen


def test_the_bar_stands_for_the_whole_run() -> None:
    def tell(reporter: TerminalReporter) -> None:
        reporter.step(progress())
        assert reporter._bar.tasks[0].percentage == pytest.approx(22.5)
        reporter.step(progress(epoch=10, step=20))
        assert reporter._bar.finished

    shown(tell)


def test_a_process_that_takes_no_step_shows_no_bar() -> None:
    assert shown(lambda reporter: None) == ""


def test_an_epochs_line_says_what_it_brought() -> None:
    row = Epoch(3, 48, 1e-3, 1.5, 0.5, 1.25, 0.625, 1.1, -0.25, 1.0, 180.0, 3900.0, True)
    screen = io.StringIO()
    reporter = TerminalReporter(Console(file=screen, width=200))
    resumed = replace(row, epoch=2, seconds=1200.0)  # when its epoch began is not known
    reporter.epoch(resumed, 20)
    assert "images/s  best" in screen.getvalue()
    screen.truncate(screen.seek(0))
    reporter.epoch(row, 20)
    assert screen.getvalue() == (
        "epoch   3/20  48 px  train 1.500 50.00%  validation 1.250 62.50%  votes 1.100"
        "  180 images/s  45 min  best\n"
    )


def test_without_a_terminal_there_is_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a cluster's job said nothing for as long as an epoch took."""
    screen = io.StringIO()
    reporter = TerminalReporter(Console(file=screen, width=200))
    began = reporter._last_line
    for seconds in (10, 29, 31, 45, 62):
        monkeypatch.setattr("mien.cli.train.progress.time.monotonic", lambda now=began + seconds: now)
        reporter.step(progress(step=seconds))
    lines = screen.getvalue().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["step 31/20", "step 62/20"]
    assert lines[0].endswith("loss 1.234  accuracy 45.7%  178 images/s  13 min left")


def test_notes_are_shown_as_they_are() -> None:
    screen = io.StringIO()
    TerminalReporter(Console(file=screen, width=200)).note("sizes [[0, 64]] [bold]")
    assert screen.getvalue() == "sizes [[0, 64]] [bold]\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min"),
        (754, "13 min"),
        (3570, "1 h 00 min"),
        (11100, "3 h 05 min"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_preview_draws_the_augmented_faces_and_trains_nothing(mien_train: Run, tmp_path: Path) -> None:
    result = mien_train("--data", "synthetic", *SMALL, "--preview", tmp_path / "look")
    assert result.exit_code == 0, result.exception
    drawn = [tmp_path / "look" / f"augmented.{ending}" for ending in ("png", "svg", "pdf")]
    assert result.stdout.split() == list(map(str, drawn))
    assert sorted((tmp_path / "look").iterdir()) == sorted(drawn)


def write_numbered_folder(root: Path) -> None:
    """Faces as RAF-DB comes from Kaggle, but with names that tell who is on them: 6 people, 7 faces each."""
    from PIL import Image

    drawn = draw_faces(42)
    for i, (face, label) in enumerate(zip(drawn.pixels, drawn.labels, strict=True)):
        path = root / str((6, 3, 2, 4, 5, 1, 7)[label]) / f"p{i % 6}_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(path)


def test_folds_of_a_numbered_folder_are_trained_and_summed_up(
    mien_train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    # A folder that has the map's own name must not be taken for the map.
    monkeypatch.chdir(tmp_path)
    write_numbered_folder(tmp_path / "raf-db")
    options = [
        *("--data", "raf-db", "--label-map", "raf-db", *SMALL, "--set", r"subject=/(p\d)_"),
        *("--folds", "2", "--out", tmp_path / "out"),
    ]
    result = mien_train(*options)
    assert result.exit_code == 0, result.exception
    *runs, summary = result.stdout.splitlines()
    assert ["on fold 1 of 2" in runs[0], "on fold 2 of 2" in runs[1]] == [True, True]
    assert "2 folds, 6 subjects, 42 faces" in summary
    again = mien_train("--resume", tmp_path / "out")
    assert again.stdout.splitlines() == [summary]
    one = mien_train(*options[:-1], tmp_path / "one", "--fold", "2")
    assert one.exit_code == 0, one.exception
    assert "on fold 2 of 2" in one.stdout
    assert (tmp_path / "one" / BEST).exists()


def test_the_weights_that_ship_are_tuned_to_another_data_set(
    mien_train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a learning rate of nought, the head that is kept is the shipped one."""
    from mien.training.classifier import load_network

    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    write_numbered_folder(tmp_path / "faces")
    options = [
        "--data",
        tmp_path / "faces",
        "--label-map",
        "raf-db",
        "--recipe",
        "finetune",
        "--threads",
        "1",
    ]
    options += ["--recipe", "finetune"]
    small = ["--set", "network.size=48", "--set", "epochs=1", "--set", "batch_size=8", "--set", "lr=0"]
    fold = ["--folds", "3", "--fold", "1", "--set", r"subject=/(p\d)_", "--out", tmp_path / "out"]
    result = mien_train(*options, *small, *fold)
    assert result.exit_code == 0, result.exception
    kept = read_checkpoint(tmp_path / "out" / BEST).tensors["heads.fer2013.weight"]
    torch.testing.assert_close(kept, load_network("mien-lite0").heads["fer2013"].weight.detach())


@pytest.mark.parametrize("option", [["--folds", "3"], ["--fold", "1"], ["--label-map", "raf-db"]])
def test_what_decides_about_the_data_cannot_be_changed_on_resume(
    mien_train: Run, tmp_path: Path, option: list[str]
) -> None:
    result = mien_train("--resume", tmp_path, *option)
    assert isinstance(result.exception, UsageError)
    assert f"{option[0]} cannot be given with --resume" in str(result.exception)
