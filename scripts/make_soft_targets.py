"""Ask teachers once about every training face, and keep the mean of what they predict.

    python scripts/make_soft_targets.py a.onnx b.onnx --data fer2013.csv --out scripts/soft-targets.npz

A recipe learns from the file with `distil.predictions`. Each teacher is an ONNX file that mien exported. It
predicts on the ten crops of `mien evaluate --tta`; probabilities are averaged over crops and teachers. The
file holds a hash of each face and no pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from mien.data import load
from mien.models.runtime import open_session
from mien.models.tta import TtaCrops
from mien.probabilities import softmax
from mien.training.data.soft_targets import write_soft_targets

BATCH = 256


def main() -> None:
    """Predict, average and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("teachers", nargs="+", type=Path, metavar="ONNX")
    parser.add_argument("--data", required=True, help="FER2013")
    parser.add_argument("--split", default="Training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    faces = load(options.data).split(options.split).pixels
    each = [predict(path, faces, options.threads) for path in options.teachers]
    mean = {head: np.mean([one[head] for one in each], axis=0) for head in each[0]}
    write_soft_targets(options.out, faces, mean)
    print(options.out)


def predict(teacher: Path, faces: NDArray[np.uint8], threads: int) -> dict[str, NDArray[np.float32]]:
    """Probabilities (N, C) by head of faces, uint8 (N, S, S): the mean over ten crops, at temperature 1."""
    session = open_session(teacher, threads=threads)
    name, heads = session.get_inputs()[0].name, [output.name for output in session.get_outputs()]
    parts: dict[str, list[NDArray[np.float32]]] = {head: [] for head in heads}
    for start in track(range(0, len(faces), BATCH), description=teacher.name):
        crops = TtaCrops().of(faces[start : start + BATCH])
        each = [session.run(heads, {name: crop}) for crop in crops]
        for head, outputs in zip(heads, zip(*each, strict=True), strict=True):
            parts[head].append(np.mean([softmax(logits) for logits in outputs], axis=0))
    return {head: np.concatenate(rows) for head, rows in parts.items()}


if __name__ == "__main__":
    main()
