"""The script for a GPU, each training replaced by a network as it is initialised: its order, what it measures
and what it leaves. The trainings themselves are tested in tests/training."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mien.data import load
from mien.evaluation.metrics.classification import accuracy, confusion
from mien.models.tta import TtaClassifier, TtaCrops
from mien.probabilities import softmax
from mien.runs.environment import describe
from mien.runs.history import Epoch
from mien.runs.recipe import from_dict, load_recipe, parse_changes, to_toml
from mien.training.checkpoint import Checkpoint, write_checkpoint
from mien.training.classifier import TorchClassifier, load_run, logits_of
from mien.training.data.soft_targets import read_soft_targets
from mien.training.network.model import build_network

ROOT = Path(__file__).parent.parent.parent


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_on_gpu", ROOT / "scripts" / "train_on_gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_on_gpu"] = module
    spec.loader.exec_module(module)
    return module


script = _script()


class Trainings:
    """In place of `stage`: fills the runs' folders, each with another network."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.extra: dict[str, tuple[str, ...]] = {}

    def __call__(self, options: Any, recipes: Any, epochs: Any, *, until: float, extra: Any = ()) -> None:
        for name in recipes:
            folder = options.runs / name
            folder.mkdir(parents=True)
            self.done.append(name)
            self.extra[name] = extra
            _fill(folder, seed=len(self.done))
            script.keep(options, name)


def _fill(folder: Path, seed: int) -> None:
    recipe = from_dict({"name": folder.name, "network": {"backbone": "test_efficientnet", "init": "random"}})
    table = load(folder.parent.parent / "fer2013.csv", votes=folder.parent.parent / "fer2013new.csv")
    network = build_network(recipe.network, ("fer2013", "votes"), seed=seed)
    with torch.no_grad():  # as initialised it predicts the same for every face
        for head in network.heads.values():
            head.weight.mul_(40)
    row = asdict(Epoch(1, 48, 1e-3, 2.0, 0.2, 2.0, 0.2, None, 0.0, 1.0, 10.0, 5.0, True))
    facts = {"epoch": row, "size": 48, "heads": ("fer2013", "votes"), "ema": False}
    write_checkpoint(folder / "best.safetensors", Checkpoint(network.state_dict(), facts))
    (folder / "recipe.toml").write_text(to_toml(recipe))
    described = describe(recipe, table, device="cpu", threads=1, processes=1, torch_version="2.0")
    (folder / "run.json").write_text(json.dumps(described))
    (folder / "summary.json").write_text(json.dumps({"seconds": 12.0}))
    for name in ("metrics.csv", "summary.txt"):
        (folder / name).touch()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainings]:
    """OUT of a whole call."""
    out = tmp_path_factory.mktemp("gpu") / "out"
    trainings = Trainings()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(out.parent / "cache"))
        patch.setattr(script, "stage", trainings)
        patch.setattr(sys, "argv", ["train_on_gpu.py", "--rehearse", "--out", str(out)])
        script.main()
    return out, trainings


def test_members_are_trained_before_the_students_whom_they_teach(whole: Any) -> None:
    out, trainings = whole
    assert trainings.done == [*script.MEMBERS, *script.STUDENTS]
    assert len(script.MEMBERS) == 6
    changes = trainings.extra["distil"]
    recipe = load_recipe(script.RECIPES / "distil.toml", parse_changes(changes))
    assert recipe.distil.teachers == tuple(str(out / "runs" / name) for name in script.MEMBERS)
    assert recipe.distil.input == "batch"


def test_the_ensemble_is_the_mean_of_the_six_on_every_face(whole: Any) -> None:
    out, _ = whole
    found = json.loads((out / "results.json").read_text())["ensemble"]
    faces = load(out / "fer2013.csv").split("PublicTest")
    for key, tta in (("fer2013", False), ("fer2013-tta", True)):
        members = [TorchClassifier(out / "runs" / name, head="fer2013") for name in found["members"]]
        mean = np.mean([(TtaClassifier(m) if tta else m).predict(faces.pixels) for m in members], axis=0)
        assert found[key]["accuracy"] == pytest.approx(float(accuracy(confusion(mean, faces.labels))))


def test_soft_targets_are_the_mean_over_members_and_crops(whole: Any) -> None:
    out, _ = whole
    faces = load(out / "fer2013.csv").split("Training").pixels
    found = read_soft_targets(out / "soft-targets.npz", faces, ("votes",))["votes"].numpy()
    networks = [load_run(out / "runs" / name).network for name in script.MEMBERS]
    each = [softmax(logits_of(net, crop)["votes"]) for net in networks for crop in TtaCrops().of(faces)]
    assert np.abs(found - np.mean(each, axis=0)).max() < 0.01  # kept in steps of 1/255


def test_a_run_that_outlasts_its_stage_is_stopped_and_its_best_weights_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(options: Any, folder: Path, *_: Any) -> list[str]:
        folder.mkdir(parents=True)
        (folder / "best.safetensors").write_text(folder.name)
        lasting = 60 if folder.name == "long" else 0
        return [sys.executable, "-c", f"import time; time.sleep({lasting})"]

    monkeypatch.setattr(script, "train_command", command)
    options = argparse.Namespace(runs=tmp_path / "runs", out=tmp_path / "out")
    options.out.mkdir()
    begun = time.monotonic()
    script.stage(options, {"short": Path("a"), "long": Path("b")}, {}, until=begun + 3)
    assert time.monotonic() - begun < 30
    assert (options.out / "long" / "best.safetensors").read_text() == "long"


def test_a_run_without_a_finished_epoch_ends_the_call_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        script, "train_command", lambda *_: [sys.executable, "-c", "raise OSError('no disk')"]
    )
    options = argparse.Namespace(runs=tmp_path, out=tmp_path)
    with pytest.raises(SystemExit, match="no disk"):
        script.stage(options, {"a": Path("a")}, {}, until=time.monotonic() + 30)


def test_epochs_fill_the_time_of_each_stage() -> None:
    recipes = {name: script.RECIPES / "ensemble" / f"{name}.toml" for name in script.MEMBERS}
    recipes |= {name: script.RECIPES / f"{name}.toml" for name in script.STUDENTS}
    speeds = dict.fromkeys(script.MEMBERS, 1.0)
    epochs = script.plan(speeds, recipes, 3600)
    assert sum(epochs[name] for name in script.MEMBERS) == pytest.approx(0.34 * 3600, rel=0.02)
    assert epochs["resnet18-144"] == pytest.approx(2 * epochs["lite1-112"], abs=1)  # as in their recipes
    taught = epochs["distil"] * (0.75 + 6 * 0.3) + epochs["distil-tiny"] * (0.35 + 6 * 0.3)
    assert taught == pytest.approx(0.26 * 3600, rel=0.02)


@pytest.mark.parametrize("name", script.MEMBERS)
def test_every_member_learns_from_the_same_faces(name: str) -> None:
    recipe = load_recipe(script.RECIPES / "ensemble" / f"{name}.toml", parse_changes(script.REHEARSAL))
    assert recipe.data.without_duplicates_of == ("PublicTest",)
    assert not recipe.distil.teachers
