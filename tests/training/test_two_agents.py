"""Two agents of torchrun, as on two machines: the run of one agent with two processes, also after a kill.

That two processes move the weights as one does is shown in test_distributed.py.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mien.data.table import FaceTable
from mien.runs.recipe import Recipe, to_toml
from mien.training.checkpoint import LAST, read_checkpoint

# Long enough for four processes to import torch on a busy machine.
PATIENCE_S = 150


class Machines:
    """Starts `mien train` under torchrun in a folder with data and a recipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", "MIEN_CACHE": str(folder / "cache")}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """One agent."""
        command = [sys.executable, "-m", "torch.distributed.run", *arguments]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def start_two(self, *arguments: str) -> list[subprocess.Popen[bytes]]:
        """Two agents that meet at a port of this machine, with one process each."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "faces")
        nodes = ("--nnodes", "2", "--nproc-per-node", "1", "--local-addr", "127.0.0.1")
        return [self.start(*nodes, *meeting, "-m", "mien.cli.app", "train", *arguments) for _ in range(2)]

    def wait(self, agents: list[subprocess.Popen[bytes]]) -> list[int]:
        """The exit codes of agents."""
        try:
            return [agent.wait(PATIENCE_S) for agent in agents]
        finally:
            for agent in agents:
                if agent.poll() is None:
                    kill_with_children(agent.pid)
                    agent.wait()

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")


def kill_with_children(pid: int) -> None:
    """End a process and those that it started, as a machine does that loses its power."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(pid, signal.SIGKILL)
    for child in children:
        os.kill(int(child), signal.SIGKILL)


@pytest.fixture
def machines(tmp_path: Path, few_faces: FaceTable, tiny: Callable[..., Recipe]) -> Machines:
    rows = zip(few_faces.labels, few_faces.pixels, few_faces.splits, strict=True)
    lines = [f"{label},{' '.join(map(str, face.ravel()))},{split}" for label, face, split in rows]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    recipe = tiny(loop={"save_every_s": 0.0}, schedule={"epochs": 4})
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    return Machines(tmp_path)


def steps_of(run: Path) -> list[str]:
    """Step, learning rate and loss of each step; without times."""
    path = run / "steps.csv"
    if not path.exists():
        return []
    header, *rows = path.read_text().splitlines()
    wanted = [header.split(",").index(name) for name in ("step", "lr", "loss", "gradient_norm")]
    return [
        ",".join(row.split(",")[i] for i in wanted) for row in rows if row.count(",") == header.count(",")
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of an agent in /proc")
def test_two_agents_train_the_model_of_one_and_resume_after_one_was_killed(machines: Machines) -> None:
    folder = machines.folder
    arguments = ("--data", str(folder / "fer2013.csv"), "--recipe", str(folder / "recipe.toml"))
    arguments += ("--device", "cpu", "--threads", "1")
    one, two = folder / "one", folder / "two"
    alone = machines.start(
        *("--standalone", "--nproc-per-node", "2", "-m", "mien.cli.app", "train", *arguments),
        *("--out", str(one)),
    )
    assert machines.wait([alone]) == [0], machines.log()

    agents = machines.start_two(*arguments, "--out", str(two))
    until = time.monotonic() + PATIENCE_S
    while len(steps_of(two)) < 6 and time.monotonic() < until:
        time.sleep(0.01)
    kill_with_children(agents[1].pid)
    codes = machines.wait(agents)
    assert codes[1] == -signal.SIGKILL
    assert codes[0] != 0
    assert not (two / "summary.txt").exists()

    assert machines.wait(machines.start_two("--resume", str(two))) == [0, 0], machines.log()
    assert steps_of(two) == steps_of(one)
    ours, theirs = (read_checkpoint(run / LAST).tensors for run in (two, one))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
