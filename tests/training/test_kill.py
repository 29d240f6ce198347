"""`mien train` as a process that is told to stop, killed, and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mien.cli.train.progress import TerminalReporter
from mien.data.table import FaceTable
from mien.runs.recipe import Recipe, to_toml
from mien.training import api
from mien.training.checkpoint import BEST, LAST, read_checkpoint

# Long enough for a process to import torch on a busy machine.
PATIENCE_S = 240


@pytest.fixture(scope="module")
def fer2013_csv(tmp_path_factory: pytest.TempPathFactory, few_faces: FaceTable) -> Path:
    path = tmp_path_factory.mktemp("data") / "fer2013.csv"
    rows = zip(few_faces.labels, few_faces.pixels, few_faces.splits, strict=True)
    lines = [f"{label},{' '.join(map(str, face.ravel()))},{split}" for label, face, split in rows]
    path.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MIEN_CACHE": str(tmp_path / "cache")}


MIEN = [sys.executable, "-m", "mien.cli.app", "train"]


def losses(run: Path, table: str, columns: tuple[str, ...]) -> list[str]:
    header, *rows = (run / table).read_text().splitlines()
    wanted = [header.split(",").index(name) for name in columns]
    return [",".join(row.split(",")[i] for i in wanted) for row in rows]


def assert_same_run(a: Path, b: Path) -> None:
    epochs = ("epoch", "train_loss", "validation_loss", "validation_accuracy", "objective")
    assert losses(a, "metrics.csv", epochs) == losses(b, "metrics.csv", epochs)
    steps = ("step", "lr", "loss", "gradient_norm")
    assert losses(a, "steps.csv", steps) == losses(b, "steps.csv", steps)
    for name in (BEST, LAST):
        ours, theirs = read_checkpoint(a / name).tensors, read_checkpoint(b / name).tensors
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def signal_after(run: Path, process: subprocess.Popen[str], steps: int, number: signal.Signals) -> None:
    """Send a signal when the run has recorded so many steps; the process is killed if anything goes wrong."""
    recorded = run / "steps.csv"
    try:
        for _ in range(PATIENCE_S * 100):
            if recorded.exists() and len(recorded.read_text().splitlines()) > steps:
                process.send_signal(number)
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
                pytest.fail(f"the run ended by itself before step {steps}: exit code {process.returncode}")
        pytest.fail(f"no step {steps} within {PATIENCE_S} s")
    except BaseException:
        process.kill()
        raise


def test_stopped_then_killed_at_random_moments_the_run_is_the_one_that_was_never_disturbed(
    fer2013_csv: Path, tiny: Callable[..., Recipe], tmp_path: Path, environment: dict[str, str]
) -> None:
    """SIGTERM, resume, kill -9, resume. With a checkpoint at each step, so in the midst of epochs, and
    often while the next checkpoint is being written."""
    recipe = tiny(loop={"save_every_s": 0.0}, schedule={"epochs": 5})
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    arguments = ["--data", str(fer2013_csv), "--recipe", str(tmp_path / "recipe.toml"), "--threads", "1"]

    def begun(*more: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*MIEN, *more], env=environment, text=True, stderr=subprocess.PIPE)

    with begun(*arguments, "--out", str(cut)) as process:
        signal_after(cut, process, random.randint(1, 6), signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert f"interrupted, and saved. Resume with: mien train --resume {cut}" in said

    with begun("--resume", str(cut)) as process:
        signal_after(cut, process, random.randint(8, 14), signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    assert not (cut / "summary.txt").exists()

    done = subprocess.run(
        [*MIEN, "--resume", str(cut)], env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (cut / "summary.txt").read_text()
    resumed = json.loads((cut / "run.json").read_text())["resumed"]
    assert 0 < resumed[0]["step"] < resumed[1]["step"] < 20

    with TerminalReporter() as reporter:
        api.train(
            data=str(fer2013_csv),
            recipe=tmp_path / "recipe.toml",
            out=whole,
            threads=1,
            device="cpu",
            reporter=reporter,
        )
    assert_same_run(cut, whole)
