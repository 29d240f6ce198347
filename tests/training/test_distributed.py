"""Two processes on the CPU, started by torchrun, train as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mien.data.table import FaceTable
from mien.runs.recipe import Recipe, load_recipe, to_toml
from mien.training.checkpoint import BEST, LAST, read_checkpoint
from mien.training.data.loader import Batch
from mien.training.distributed import World, world_of
from mien.training.learner import Learner

# Runs in each process: `mien train` itself, whose last weights are kept; and before it, in the same world,
# two updates on half of a batch, normalised by running statistics, so that two halves must give what the
# whole gives.
WORKER = """
import sys
from pathlib import Path
import torch
from mien.cli.app import app
from mien.training import api
from mien.training.data.loader import Batch
from mien.training.learner import Learner
from mien.runs.recipe import load_recipe

folder, trainers = Path(sys.argv[1]), []

class Watched(api.Trainer):
    def __init__(self, *args, **options):
        update_halves(options["world"])
        super().__init__(*args, **options)
        trainers.append(self)

def wake(network, pixels):
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(pixels)
    network.eval()

def update_halves(world):
    batch = torch.load(folder / "batch.pt", weights_only=True)
    half = len(batch["pixels"]) // world.size
    part = slice(world.rank * half, (world.rank + 1) * half)
    learner = Learner(
        load_recipe(folder / "plain.toml"), ("fer2013",), steps=10, batch=half,
        device=torch.device("cpu"), world=world, pretrained=True, note=print,
    )
    wake(learner.network, batch["pixels"])
    for _ in range(2):
        labels = batch["labels"][part]
        learner.update(Batch(batch["pixels"][part], {"fer2013": labels}, labels, seed=1))
    torch.save(learner.network.state_dict(), folder / f"update-{world.rank}.pt")

api.Trainer = Watched
app(["train", *sys.argv[2:]], standalone_mode=False)
(trainer,) = trainers
torch.save(trainer.learner.weights_to_keep(), folder / f"rank-{trainer.world.rank}.pt")
"""


def test_alone_the_world_does_nothing() -> None:
    world = World()
    values = torch.tensor([1.0, 2.0])
    world.average([values])
    assert torch.equal(values, torch.tensor([1.0, 2.0]))
    assert torch.equal(world.sum(values), values)
    world.wait()
    assert world.is_first


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with world_of("cpu") as world:
        assert world == World(0, 1, 0)


def plain(tiny: Callable[..., Recipe]) -> Recipe:
    """Nothing random, so that only the way the work is shared can matter."""
    return tiny(
        network={"drop_path": 0.0, "drop_rate": 0.0},
        optimizer={"name": "sgd", "momentum": 0.0, "lr": 0.03, "ema": 0.0, "sam_rho": 0.05},
        schedule={"warmup_epochs": 0.0},
    )


# After four epochs the loss had fallen by 9 to 20 %, depending on the processor.
EPOCHS = 8


def easy(tiny: Callable[..., Recipe]) -> Recipe:
    """A run that soon learns what `write_faces` wrote."""
    return tiny(
        augment=dict.fromkeys(("translate", "erase", "mixup", "cutmix", "autocontrast"), 0.0),
        optimizer={"lr": 5e-3, "ema": 0.9},
        schedule={"epochs": EPOCHS},
    )


def write_faces(path: Path, few_faces: FaceTable) -> None:
    """FER2013's layout; the faces are blank, bright for happy and dark for sad."""
    lines = ["emotion,pixels,Usage"]
    for i, split in enumerate(few_faces.splits):
        label, shade = ((3, "215"), (4, "40"))[i % 2]
        lines.append(f"{label},{' '.join([shade] * 2304)},{split}")
    path.write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Two:
    """What two processes left behind: a folder with the run in `run`, and what they said."""

    folder: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, few_faces: FaceTable, tiny: Callable[..., Recipe]) -> Two:
    folder = tmp_path_factory.mktemp("two")
    write_faces(folder / "fer2013.csv", few_faces)
    generator = torch.Generator().manual_seed(0)
    labels = torch.eye(7)[torch.randint(0, 7, (8,), generator=generator)]
    pixels = torch.rand(8, 1, 48, 48, generator=generator)
    torch.save({"pixels": pixels, "labels": labels}, folder / "batch.pt")
    (folder / "plain.toml").write_text(to_toml(plain(tiny)))
    (folder / "recipe.toml").write_text(to_toml(easy(tiny)))
    (folder / "worker.py").write_text(WORKER)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *(str(folder / "worker.py"), str(folder), "--data", str(folder / "fer2013.csv")),
            *("--recipe", str(folder / "recipe.toml"), "--out", str(folder / "run")),
            *("--device", "cpu", "--threads", "1"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MIEN_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return Two(folder, done)


def test_one_folder_is_written_and_one_process_speaks(two: Two, tiny: Callable[..., Recipe]) -> None:
    run = two.folder / "run"
    assert two.done.stdout == (run / "summary.txt").read_text()
    assert two.done.stderr.count(f"epoch   1/{EPOCHS}") == 1
    assert json.loads((run / "run.json").read_text())["hardware"]["processes"] == 2
    assert load_recipe(run / "recipe.toml") == easy(tiny)
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + EPOCHS
    assert (run / BEST).exists()
    assert (run / "training.png").exists()


def test_the_loss_falls(two: Two) -> None:
    steps = (two.folder / "run" / "steps.csv").read_text().splitlines()[1:]
    assert len(steps) == EPOCHS * 4  # 32 faces, 8 a step over both processes
    objective = [float(row.split(",")[2]) for row in steps]
    assert np.mean(objective[-4:]) < 0.85 * np.mean(objective[:4])


def test_both_end_with_the_same_weights_to_the_bit_which_are_those_saved(two: Two) -> None:
    first, second = (torch.load(two.folder / f"rank-{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    saved = read_checkpoint(two.folder / "run" / LAST).part("ema")
    assert first.keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in first.items())


def test_two_halves_of_a_batch_move_the_weights_as_the_whole_does(
    two: Two, tiny: Callable[..., Recipe]
) -> None:
    """Two steps of SAM, whose first gradient has to be shared too."""
    batch = torch.load(two.folder / "batch.pt", weights_only=True)
    learner = Learner(
        plain(tiny),
        ("fer2013",),
        steps=10,
        batch=8,
        device=torch.device("cpu"),
        world=World(),
        pretrained=True,
        note=pytest.fail,
    )
    wake(learner.network, batch["pixels"])
    before = {name: p.detach().clone() for name, p in learner.network.named_parameters()}
    for _ in range(2):
        learner.update(Batch(batch["pixels"], {"fer2013": batch["labels"]}, batch["labels"], seed=1))
    moves = {name: p.detach() - before[name] for name, p in learner.network.named_parameters()}
    assert torch.stack([move.norm() for move in moves.values()]).median() > 1e-4
    for rank in range(2):
        theirs = torch.load(two.folder / f"update-{rank}.pt", weights_only=True)
        for name, move in moves.items():
            difference = (theirs[name] - before[name] - move).norm()
            assert difference <= 0.01 * move.norm() + 1e-7 * move.numel() ** 0.5, name


@torch.no_grad()
def wake(network: nn.Module, pixels: torch.Tensor) -> None:
    """As the worker does: normalise by the statistics of the whole batch, so that no gradient dies away."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(pixels)
    network.eval()
