"""A run's folder: the recipe as resolved, where and on what it ran, and what happened, epoch by epoch."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import subprocess
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import mien
from mien.data.table import FaceTable
from mien.errors import ResumeError
from mien.files import write_atomically
from mien.runs.history import Epoch
from mien.runs.recipe import Recipe, to_toml
from mien.training.step_log import Step

BEST = "best.safetensors"
LAST = "last.safetensors"
_STEP_COLUMNS = tuple(entry.name for entry in fields(Step))
_PACKAGES = ("mien", "torch", "torchvision", "timm", "numpy", "safetensors")


def describe(recipe: Recipe, faces: FaceTable, device: torch.device, processes: int) -> dict[str, Any]:
    """Everything beside the recipe that a result depends on, as plain values."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "seed": recipe.loop.seed,
        "data": {"source": faces.source, "sha256": faces.sha256, "splits": dict(faces.split_counts)},
        "hardware": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "processes": processes,
            "system": platform.platform(terse=True),
        },
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    if package == "mien":
        return mien.__version__
    if package == "torch":
        return str(torch.__version__)  # with its build, as in 2.9.0+cpu
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of mien's source tree, with ``+changes`` where it is not as committed; None outside one."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
        tracked = subprocess.run(
            ["git", "ls-files", "--error-unmatch", __file__], cwd=here, capture_output=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "."], cwd=here, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    if tracked.returncode:
        return None
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


class RunFolder:
    """Writes a run's files; only the first of several processes should hold one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._board: Any = None

    def begin(self, recipe: Recipe, facts: dict[str, Any]) -> None:
        """Make the folder and record what is about to be run."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_json("run.json", facts)
        write_atomically(self.path / "steps.csv", (",".join(_STEP_COLUMNS) + "\n").encode())
        # Last, for a folder with a recipe is one that can be resumed.
        write_atomically(self.path / "recipe.toml", to_toml(recipe).encode())

    def check_faces(self, sha256: str) -> None:
        """Hold the hash of a table against that of the faces that the run began with.

        Raises:
            ResumeError: they are others.
        """
        begun = json.loads((self.path / "run.json").read_text(encoding="utf-8"))["data"]
        if begun["sha256"] != sha256:
            raise ResumeError(
                f"{self.path} was trained on other faces ({begun['source']}, hash {begun['sha256'][:12]}; "
                f"these have {sha256[:12]}). Give the same --data and --votes, or start a new run."
            )

    def go_on(self, facts: dict[str, Any], step: int, history: list[Epoch]) -> list[str]:
        """Bring the files to where the checkpoint stands, and record that the run goes on from `step` on.

        Gives the versions that are not as they were, in words; the results may then differ in the last bits.
        """
        for torn in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
            torn.unlink()
        self._cut_steps(step)
        if history:
            self._write_metrics(history)
        begun = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        begun.setdefault("resumed", []).append(
            {key: facts[key] for key in ("started", "versions", "hardware", "commit")} | {"step": step}
        )
        begun["asked"] = facts["asked"] or begun.get("asked", {})
        self._write_json("run.json", begun)
        before, now = begun["versions"], facts["versions"]
        return [f"{name} {before[name]}, now {now[name]}" for name in before if now.get(name) != before[name]]

    def record_epoch(self, history: list[Epoch]) -> None:
        """Write metrics.csv anew from the whole history, and the last epoch to TensorBoard."""
        self._write_metrics(history)
        self._to_tensorboard(history[-1])

    def record_steps(self, rows: list[Step]) -> None:
        """Append rows to steps.csv."""
        with (self.path / "steps.csv").open("a", encoding="utf-8") as file:
            file.writelines(
                f"{row.step},{row.lr:.9g},{row.loss:.9g},{row.gradient_norm:.6g},{row.seconds:.4g}\n"
                for row in rows
            )

    def finish(self, result: dict[str, Any]) -> None:
        """Write summary.json, and its `summary` as the one line of summary.txt."""
        self._write_json("summary.json", result)
        write_atomically(self.path / "summary.txt", (result["summary"] + "\n").encode())

    def close(self) -> None:
        """Let go of TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    def _write_metrics(self, history: list[Epoch]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, [entry.name for entry in fields(Epoch)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)
        write_atomically(self.path / "metrics.csv", text.getvalue().encode())

    def _cut_steps(self, step: int) -> None:
        """Drop the rows of steps.csv from `step` on: a resumed run goes through them again."""
        path = self.path / "steps.csv"
        header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [row for row in rows if row.endswith("\n") and int(row.split(",")[0]) < step]
        write_atomically(path, "".join([header, *kept]).encode())

    def _to_tensorboard(self, row: Epoch) -> None:
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=row.epoch)
        for name, value in asdict(row).items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, row.epoch)
        self._board.flush()

    def _write_json(self, name: str, facts: dict[str, Any]) -> None:
        write_atomically(self.path / name, (json.dumps(facts, indent=2) + "\n").encode())
