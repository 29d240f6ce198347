"""Both heads of a model: one session per head, as it was, against one session that computes both in one run.

    python benchmarks/heads.py
    python benchmarks/heads.py --model mien-tiny --faces 64

Both heads share the network but for its last layer, so the second session repeats nearly all of the work.
Milliseconds for all faces, medians; the ways take turns, so that other programs disturb them alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mien.models.onnx import OnnxModel
from mien.models.registry import DEFAULT, find_model
from mien.models.runtime import open_session
from predict import machine


def sessions(model: str, faces: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
    """What is timed, by name: each head in a session of its own, and both in one."""
    onnx = find_model(model).onnx
    whole = OnnxModel(model, threads=1, device="cpu")

    def alone(head: str) -> Callable[[], object]:
        session = open_session(onnx, threads=1)
        return lambda: session.run([head], {"pixels": faces})

    ways = {f"head {head}, own session": alone(head) for head in whole.heads}
    return {**ways, "both heads, one session": lambda: whole.logits(faces)}


def medians(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median of each way in milliseconds, the ways taking turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT, help="a shipped model or an ONNX file")
    parser.add_argument("--faces", type=int, default=16, help="faces in one run")
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    size = find_model(options.model).card.input_size
    faces = np.random.default_rng(0).integers(0, 256, (options.faces, size, size), dtype=np.uint8)
    found = medians(sessions(options.model, faces), options.rounds)
    *before, after = found.values()
    table = Table(caption=f"{options.model}, {options.faces} faces, one thread, {options.rounds} rounds")
    table.add_column("")
    table.add_column("ms", justify="right")
    for name, value in found.items():
        table.add_row(name, f"{value:.1f}")
    table.add_row("before: all own sessions", f"{sum(before):.1f}", end_section=True)
    table.add_row("after / before", f"{after / sum(before):.2f}")
    console = Console(width=110, highlight=False)
    console.print(machine())
    console.print(table)


if __name__ == "__main__":
    main()
