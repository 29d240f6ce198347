"""W&B and MLflow, both offline, get the recipe and the figures of each epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mien.data.table import FaceTable
from mien.errors import UsageError
from mien.runs.history import Epoch
from mien.runs.recipe import Recipe
from mien.training import api
from mien.training.trackers import IDENTIFIERS, tracked


def row(epoch: int, accuracy: float) -> Epoch:
    return Epoch(
        epoch=epoch, size=48, lr=1e-3, train_loss=1.2, train_accuracy=0.5, validation_loss=1.3,
        validation_accuracy=accuracy, votes_loss=None, gap=0.1, gradient_norm=1.0, images_per_s=10.0,
        seconds=9.0, best=True, objective=1.4, validation_macro_f1=0.4,
    )  # fmt: skip


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """MLflow's store of files, which needs no server."""
    pytest.importorskip("mlflow")
    store = (tmp_path / "mlflow").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return store


def test_mlflow_has_the_recipe_and_the_figures_and_a_resumed_run_goes_on(
    mlflow_store: str, tiny: Callable[..., Recipe], tmp_path: Path, recorder: Any
) -> None:
    from mlflow.tracking import MlflowClient

    folder, plan = tmp_path / "runs/a", tiny()
    with suppress(KeyboardInterrupt), tracked(["mlflow"], folder, plan, recorder) as reporter:
        reporter.epoch(row(1, 0.5), 2)
        raise KeyboardInterrupt
    client = MlflowClient(mlflow_store)
    identifier = json.loads((folder / IDENTIFIERS).read_text())["mlflow"]
    assert client.get_run(identifier).info.status == "KILLED"
    with tracked(["mlflow"], folder, plan, recorder) as reporter:
        reporter.epoch(row(2, 0.6), 2)
    found = client.get_run(identifier)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "runs/a")
    assert found.data.params["optimizer.lr"] == str(plan.optimizer.lr)
    history = client.get_metric_history(identifier, "validation_accuracy")
    assert [(each.step, each.value) for each in history] == [(1, 0.5), (2, 0.6)]
    assert [each.epoch for each in recorder.epochs] == [1, 2]  # the terminal gets them all the same


def test_wandb_offline_writes_its_run_into_the_folder(
    tiny: Callable[..., Recipe], tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with tracked(["wandb"], tmp_path / "a", tiny(), recorder) as reporter:
        reporter.epoch(row(1, 0.5), 1)
    identifier = json.loads((tmp_path / "a" / IDENTIFIERS).read_text())["wandb"]
    (file,) = (tmp_path / "a").glob(f"wandb/offline-run-*-{identifier}/run-{identifier}.wandb")
    deadline = time.monotonic() + 60  # a process of its own writes the file
    while b"validation_accuracy" not in (content := file.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert b"validation_accuracy" in content
    assert b"weight_decay" in content  # of the recipe


def test_a_tracker_that_fails_is_noted_and_the_run_goes_on(
    mlflow_store: str,
    tiny: Callable[..., Recipe],
    tmp_path: Path,
    recorder: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.tracking import MlflowClient

    def broken(*args: Any, **options: Any) -> None:
        raise ConnectionError("the server is gone")

    with tracked(["mlflow"], tmp_path / "a", tiny(), recorder) as reporter:
        monkeypatch.setattr(MlflowClient, "log_metric", broken)
        reporter.epoch(row(1, 0.5), 1)
        reporter.epoch(row(2, 0.5), 1)
    notes = [note for note in recorder.notes if note.startswith("mlflow is no longer sent")]
    assert notes == ["mlflow is no longer sent the figures, which are in metrics.csv: the server is gone"]
    assert [each.epoch for each in recorder.epochs] == [1, 2]


def test_a_run_is_tracked_and_keeps_by_what(
    tiny: Callable[..., Recipe], few_faces: FaceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through `mien.train`, with a tracker that only keeps; run.json has its name for --resume."""
    from mien.training import trackers

    kept: list[int] = []

    class Keeping:
        identifier = "k1"

        def epoch(self, row: Epoch) -> None:
            kept.append(row.epoch)

        def close(self, complete: bool) -> None:
            kept.append(-1 if complete else -2)

    monkeypatch.setitem(trackers._TRACKERS, "mlflow", lambda *args: Keeping())
    monkeypatch.setattr(api, "draw_run", lambda folder: [])
    plan = tiny(
        schedule={"epochs": 1, "warmup_epochs": 0}, data={"face_size": 16}, loop={"batch_size": 100},
        network={"size": 16},
    )  # fmt: skip
    with pytest.raises(UsageError, match="'tensorboard' is no tracker"):
        api.train(plan, data=few_faces, out=tmp_path / "b", track="tensorboard")
    run = api.train(plan, data=few_faces, out=tmp_path / "a", track="mlflow")
    assert kept == [1, -1]
    assert json.loads((run.folder / "run.json").read_text())["options"]["track"] == ["mlflow"]
