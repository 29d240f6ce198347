"""Faces per second, and per second of CPU, of a training step while other programs use the cores too.

    python benchmarks/openmp.py                 # two threads beside two busy processes
    python benchmarks/openmp.py --threads 4 --busy 4

PyTorch's threads meet after each operation. The one that is done first waits for those that the system has
put aside, and libgomp lets it spin meanwhile. Each row is a setting of the environment; the settings take
turns, so that all of them meet the same other load.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from statistics import median

from rich.console import Console
from rich.table import Table

SETTINGS: dict[str, dict[str, str]] = {
    "libgomp's default": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
NAMES = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}

# Uses a core until its parent ends.
BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""

# What one process measures: seconds of wall clock and of CPU, and faces, of some steps after the first.
CHILD = """
import sys, time
from itertools import count
import torch
from mien.data import load
from mien.runs.recipe import load_recipe
from mien.training.data.loader import BatchLoader
from mien.training.distributed import World
from mien.training.learner import Learner
threads, seconds = int(sys.argv[1]), float(sys.argv[2])
torch.set_num_threads(threads)
recipe = load_recipe("quick", {"network.init": "random", "loop.precision": "float32"})
world, device = World(), torch.device("cpu")
loader = BatchLoader(recipe, load("synthetic"), device=device, world=world, note=lambda text: None)
learner = Learner(recipe, loader.heads, steps=1000, batch=loader.batch, device=device, world=world,
                  pretrained=False, note=lambda text: None)
learner.network.train()
order = loader.order(0)
learner.update(loader.batch_at(order, 0, 0))
wall, cpu, faces = time.perf_counter(), time.process_time(), 0
for step in count():
    learner.update(loader.batch_at(order, 0, step % loader.steps))
    faces += loader.batch
    if time.perf_counter() - wall > seconds:
        break
print(time.perf_counter() - wall, time.process_time() - cpu, faces)
"""


def measure(setting: dict[str, str], threads: int, seconds: float) -> tuple[float, float]:
    """Faces per second, and per second of CPU, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | setting
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(threads), str(seconds)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    wall, cpu, faces = map(float, done.stdout.split())
    took = f"{faces:.0f} faces in {wall:.1f} s, {cpu:.1f} s of CPU"
    print(f"{threads} threads, {setting}: {took}", file=sys.stderr)
    return faces / wall, faces / cpu


def main() -> None:
    """Print a table: the median of some rounds, least to most."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=2, help="processes that use a core each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    args = parser.parse_args()
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(args.busy)]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SETTINGS}
    one: list[tuple[float, float]] = []
    try:
        for _ in range(args.rounds):
            one.append(measure({}, 1, args.seconds))
            for name, setting in SETTINGS.items():
                found[name].append(measure(setting, args.threads, args.seconds))
    finally:
        for process in busy:
            process.kill()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    table = Table("", "faces/s", "faces per CPU second", title=f"{args.busy} busy processes; load {load}")
    several = {f"{args.threads} threads, {name}": rows for name, rows in found.items()}
    for name, rows in {"one thread": one, **several}.items():
        cells = [
            f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"
            for values in zip(*rows, strict=True)
        ]
        table.add_row(name, *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
