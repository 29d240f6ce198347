"""On what a run was made: versions, the data's hash, hardware and the commit of mien's source."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mien

if TYPE_CHECKING:
    from mien.data.table import FaceTable
    from mien.runs.recipe import Recipe

_PACKAGES = ("mien", "torch", "torchvision", "timm", "numpy", "safetensors")


def describe(
    recipe: Recipe, faces: FaceTable, *, device: str, threads: int, processes: int, torch_version: str
) -> dict[str, Any]:
    """Everything besides the recipe that a result depends on, as plain values for run.json.

    `torch_version` is with its build, as in ``2.9.0+cpu``.
    """
    versions = {name: version_of(name) for name in _PACKAGES}
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **versions, "torch": torch_version},
        "seed": recipe.loop.seed,
        "data": {"source": faces.source, "sha256": faces.sha256, "splits": dict(faces.split_counts)},
        "hardware": {
            "device": device,
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": threads,
            "processes": processes,
            "system": platform.platform(terse=True),
        },
        "commit": commit(),
    }


def version_of(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    if package == "mien":
        return mien.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name, as far as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of mien's source tree, ``+changes`` where it has uncommitted ones; None outside a tree."""
    source = Path(mien.__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True
        )
        tracked = subprocess.run(
            ["git", "ls-files", "--error-unmatch", "__init__.py"], cwd=source, capture_output=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "."], cwd=source, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    if tracked.returncode:
        return None
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
