"""How long an exported model takes for one face, for its card."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from mien.models.onnx import OnnxModel
from mien.models.runtime import onnxruntime
from mien.runs.environment import processor

# One face at a time is timed so often, after some that do not count.
_WARM, _TIMED = 20, 200


def time_one_face(model: str | Path) -> dict[str, Any]:
    """Milliseconds for one face alone on one core, and what it was timed on, as plain values.

    ``median_ms`` and ``least_ms`` are wall-clock time; ``cpu_ms`` is the mean CPU time, which other programs
    on the machine disturb less.
    """
    opened = OnnxModel(model, threads=1, device="cpu")
    size = opened.card.input_size
    face = np.random.default_rng(0).integers(0, 256, (1, size, size), dtype=np.uint8)
    for _ in range(_WARM):
        opened.predict(face)
    times = []
    cpu = time.process_time()
    for _ in range(_TIMED):
        start = time.perf_counter()
        opened.predict(face)
        times.append(1000 * (time.perf_counter() - start))
    return {
        "median_ms": round(statistics.median(times), 3),
        "least_ms": round(min(times), 3),
        "cpu_ms": round(1000 * (time.process_time() - cpu) / _TIMED, 3),
        "faces": _TIMED,
        "threads": 1,
        "processor": processor(),
        "cores": os.cpu_count(),
        "onnxruntime": onnxruntime.__version__,
    }
