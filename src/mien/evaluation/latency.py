"""How long an exported model takes for one face, for its card."""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mien.exporting.calibrate import OnDisk

# One face at a time is timed so often, after some that do not count.
_WARM, _TIMED = 20, 200


def time_one_face(model: OnDisk) -> dict[str, Any]:
    """Milliseconds that one face takes alone on one core, and what it was timed on, as plain values.

    ``median_ms`` is by the clock, ``cpu_ms`` the mean of the processor's own time, which other programs on
    the machine disturb less.
    """
    from mien.models.onnx import OnnxClassifier
    from mien.models.runtime import onnxruntime
    from mien.runs.environment import processor

    classifier = OnnxClassifier(model.onnx, threads=1, device="cpu")
    size = model.card.input_size
    face = np.random.default_rng(0).integers(0, 256, (1, size, size), dtype=np.uint8)
    for _ in range(_WARM):
        classifier.predict(face)
    times = []
    cpu = time.process_time()
    for _ in range(_TIMED):
        start = time.perf_counter()
        classifier.predict(face)
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
