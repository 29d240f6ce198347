"""The script for a GPU, each training replaced by a network as it is initialised: its order, how it goes on
after each call, what it measures and what it leaves. The trainings themselves are tested in tests/train."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mien.data import load
from mien.evaluation.metrics.classification import accuracy, confusion
from mien.models.tta import TtaClassifier
from mien.runs.environment import describe
from mien.runs.history import Epoch
from mien.runs.recipe import from_dict, load_recipe, parse_changes, to_toml
from mien.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mien.training.classifier import TorchClassifier
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
    """In place of `mien train` and `mien export`: fills a run's folder; what is in `cut` is stopped once."""

    def __init__(self, cut: tuple[str, ...] = ()) -> None:
        self.cut, self.done = set(cut), []

    def __call__(self, arguments: list[str], *, until: float | None = None) -> bool:
        option = dict(pairwise(arguments))
        if arguments[0] == "export":
            Path(option["--out"]).write_bytes(b"onnx")
            self.done.append(f"export {Path(arguments[1]).name}")
            return True
        folder = Path(option.get("--resume") or option["--out"])
        folder.mkdir(exist_ok=True)
        (folder / "recipe.toml").touch()
        if folder.name in self.cut:
            self.cut.remove(folder.name)
            return False
        self.done.append(("resume " if "--resume" in option else "") + folder.name)
        _fill(folder, seed=len(self.done))
        return True


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


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """One call of the script; its exit code."""
    monkeypatch.setattr(sys, "argv", ["train_on_gpu.py", "--rehearse", *map(str, arguments)])
    try:
        script.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainings, list[int]]:
    """OUT after as many calls as it took, of which two were cut short."""
    out = tmp_path_factory.mktemp("gpu") / "out"
    trainings = Trainings(cut=("lite1-112", "tiny-0"))
    codes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(out.parent / "cache"))
        patch.setattr(script, "mien", trainings)
        while not codes or (codes[-1] and len(codes) < 5):
            codes.append(call(patch, "--out", out))
    return out, trainings, codes


def test_a_call_that_runs_out_of_time_says_so_and_the_next_goes_on(whole: Any) -> None:
    _, trainings, codes = whole
    assert codes == [75, 75, 0]
    trained = [name for name in trainings.done if not name.startswith("export")]
    assert trained == [
        "lite0-stride1", "lite0-112", "resume lite1-112", "lite2-112", "lite2-sam",
        "default-0", "resume tiny-0", "default-1", "tiny-1", "default-2", "tiny-2",
    ]  # fmt: skip


def test_the_ensemble_is_the_mean_of_the_five_teachers_on_every_face(whole: Any) -> None:
    out, *_ = whole
    found = json.loads((out / "results.json").read_text())["ensemble"]
    faces = load(out / "fer2013.csv").split("PublicTest")
    for key, tta in (("fer2013", False), ("fer2013-tta", True)):
        members = [TorchClassifier(out / "runs" / name, head="fer2013") for name in found["members"]]
        mean = np.mean([(TtaClassifier(m) if tta else m).predict(faces.pixels) for m in members], axis=0)
        assert found[key]["accuracy"] == pytest.approx(float(accuracy(confusion(mean, faces.labels))))
    assert len(found["members"]) == 5


def test_each_model_has_the_mean_of_its_three_seeds(whole: Any) -> None:
    out, *_ = whole
    results = json.loads((out / "results.json").read_text())
    each = [results[f"tiny-{seed}"]["fer2013"]["accuracy"] for seed in (0, 1, 2)]
    found = results["tiny"]["fer2013 accuracy"]
    assert found["each"] == each
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["std"] == pytest.approx(np.std(each))


def test_students_are_exported_and_every_file_is_below_16_mib(whole: Any) -> None:
    out, trainings, _ = whole
    exported = [name for name in trainings.done if name.startswith("export")]
    assert len(exported) == 6
    assert (out / "default-1" / "mien-default-1.onnx").is_file()
    kept = [path for name in script.TEACHERS for path in (out / name).iterdir()]
    assert all(path.stat().st_size < 16 * 2**20 for path in kept)


def test_weights_in_half_precision_answer_nearly_the_same(whole: Any) -> None:
    out, *_ = whole
    small = read_checkpoint(out / "lite0-112" / "best.safetensors").tensors
    assert {tensor.dtype for tensor in small.values() if tensor.ndim > 1} == {torch.float16}
    faces = load(out / "fer2013.csv").split("PublicTest").pixels
    one, other = (TorchClassifier(place / "lite0-112").predict(faces) for place in (out, out / "runs"))
    assert np.abs(one - other).max() < 0.02


def test_a_fresh_machine_takes_finished_runs_from_an_earlier_out(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, *_ = whole
    trainings = Trainings()
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(script, "mien", trainings)
    assert call(monkeypatch, "--out", tmp_path / "fresh", "--restore", out) == 0
    assert trainings.done == []


@pytest.mark.parametrize("run", script.plan(Path("runs/gpu")), ids=lambda run: run.name)
def test_every_training_is_a_recipe_that_can_be_read(run: Any) -> None:
    """With what the script changes in it; teachers have none, students the five."""
    recipe = load_recipe(run.recipe, parse_changes(run.changes))
    taught = [Path(name).name for name in recipe.distil.teachers]
    assert taught == (list(script.TEACHERS) if run.export else [])
    assert recipe.data.without_duplicates_of == ("PublicTest",)
    load_recipe(run.recipe, parse_changes((*run.changes, *script.REHEARSAL)))
