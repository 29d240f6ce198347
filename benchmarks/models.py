"""How well and how fast each model that ships reads a face, beside its peers, on the same faces in one run.

    python benchmarks/models.py fer2013.csv
    python benchmarks/models.py fer2013.csv --peer PYTHON      # one that has `fer`, see peers/fer_faces.py

PublicTest's labels, seven classes, faces as they are in the data: no detector has a part in it. Accuracy with
its 95 % bootstrap interval over faces. A face alone on one thread: the median by the clock, and the mean of
the processor's own time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mien.data import FaceTable, load
from mien.emotions import FER2013
from mien.evaluation.metrics.classification import accuracy, bootstrap_interval, confusion, macro_f1
from mien.evaluation.predictions import align
from mien.models.onnx import OnnxClassifier
from mien.models.registry import shipped
from predict import machine

HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Reader:
    """What one tool said of the faces, probabilities (N, 7) in FER2013's order, and how long it took."""

    name: str
    probabilities: NDArray[np.float32]
    median_ms: float
    cpu_ms: float


def ours(name: str, faces: NDArray[np.uint8], timed: int) -> Reader:
    """A model that ships, on one thread."""
    classifier = OnnxClassifier(name, head="fer2013", threads=1, device="cpu")
    for face in faces[:20]:
        classifier.predict(face[None])
    times = []
    cpu = time.process_time()
    for face in faces[:timed]:
        start = time.perf_counter()
        classifier.predict(face[None])
        times.append(1000 * (time.perf_counter() - start))
    cpu_ms = 1000 * (time.process_time() - cpu) / len(times)
    return Reader(
        classifier.name,
        align(classifier.predict(faces), classifier.labels, FER2013),
        statistics.median(times),
        cpu_ms,
    )


def peer(python: str, faces: NDArray[np.uint8], timed: int) -> Reader:
    """The network of `fer`, in its own Python."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "faces.npy", Path(folder) / "answers.npy"
        np.save(source, faces)
        command = [python, str(HERE / "peers" / "fer_faces.py"), str(source), str(target), str(timed)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said = json.loads(done.stdout.splitlines()[-1])
        answers = np.load(target)
    return Reader(
        said["name"], align(answers, tuple(said["labels"]), FER2013), said["median_ms"], said["cpu_ms"]
    )


def table_of(readers: list[Reader], faces: FaceTable) -> Table:
    """A row each."""
    table = Table(title=f"PublicTest, {len(faces):,} faces, labels of seven classes; one core")
    table.add_column("")
    for column in ("accuracy (95 %)", "macro F1", "a face, median ms", "of CPU, ms"):
        table.add_column(column, justify="right")
    for reader in readers:
        counts = confusion(reader.probabilities, faces.labels)
        low, high = bootstrap_interval(counts, accuracy, np.random.default_rng(0))
        table.add_row(
            reader.name,
            f"{float(accuracy(counts)):.1%} ({100 * low:.1f} to {100 * high:.1f})",
            f"{float(macro_f1(counts)):.1%}",
            f"{reader.median_ms:.2f}",
            f"{reader.cpu_ms:.2f}",
        )
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="FER2013")
    parser.add_argument("--peer", metavar="PYTHON", help="a Python that has the package fer")
    parser.add_argument(
        "--model", action="append", help="a shipped model or an ONNX file; default: all that ship"
    )
    parser.add_argument("--timed", type=int, default=300, help="faces that are timed one at a time")
    asked = parser.parse_args()
    faces = load(asked.data).split("PublicTest")
    readers = [ours(name, faces.pixels, asked.timed) for name in asked.model or shipped()]
    if asked.peer:
        readers.append(peer(asked.peer, faces.pixels, asked.timed))
    console = Console(width=110, highlight=False)
    console.print(machine())
    console.print(table_of(readers, faces))


if __name__ == "__main__":
    main()
