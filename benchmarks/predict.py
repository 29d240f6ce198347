"""The time per photo by stage, and the faces per second of the model; a peer in the same run.

    python benchmarks/predict.py
    python benchmarks/predict.py --peer peer/bin/python     # a Python with `fer`, see peers/fer_photo.py

Medians; each stage is repeated on its own after one run that is not measured. `12 MP` is the same photo
enlarged and saved as JPEG, as by a phone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import mien
from mien.detection.blazeface import BlazeFace
from mien.images.crop import FER2013_FRAMING, crop_face
from mien.images.decode import read_image
from mien.inference.analyzer import Analyzer
from mien.models.onnx import OnnxClassifier
from mien.models.registry import DEFAULT
from mien.models.runtime import onnxruntime

HERE = Path(__file__).parent
BATCH = 64


@dataclass(frozen=True)
class PhotoTimes:
    """Milliseconds of the stages of one photo; `photo_ms` is the whole, timed on its own."""

    name: str
    faces: int
    top: str | None
    decode_ms: float
    detect_ms: float
    crop_and_classify_ms: float
    photo_ms: float


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """The median time of calls after a first one: at least three, then four seconds at most."""
    work()
    times: list[float] = []
    while len(times) < min(repeats, 3) or (len(times) < repeats and sum(times) < 4000):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def time_photo(photo: Path, model: str, threads: int, repeats: int) -> PhotoTimes:
    """The stages of mien on one photo."""
    detector = BlazeFace(threads=threads)
    analyzer = Analyzer(model, detector, threads=threads)
    card = analyzer.classifier.card
    pixels = read_image(photo).pixels
    detections = detector.detect(pixels)

    def crop_and_classify() -> None:
        framing = card.framing or FER2013_FRAMING
        crops = [crop_face(pixels, detection, framing, size=card.input_size) for detection in detections]
        if crops:
            analyzer.classifier.predict(np.stack(crops))

    faces = analyzer.analyze(photo)
    return PhotoTimes(
        name=f"mien {mien.__version__} ({analyzer.classifier.name})",
        faces=len(faces),
        top=faces[0].top[0] if faces else None,
        decode_ms=median_ms(lambda: read_image(photo), repeats),
        detect_ms=median_ms(lambda: detector.detect(pixels), repeats),
        crop_and_classify_ms=median_ms(crop_and_classify, repeats),
        photo_ms=median_ms(lambda: analyzer.analyze(photo), repeats),
    )


def time_peer(python: str, photo: Path, repeats: int) -> PhotoTimes:
    """The stages of `fer` on the same photo, in its own Python; its libraries use all cores."""
    command = [python, str(HERE / "peers" / "fer_photo.py"), str(photo), str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return PhotoTimes(**json.loads(done.stdout.splitlines()[-1]))


def photo_table(photos: dict[str, Path], model: str, repeats: int, peer: str | None) -> Table:
    """A row a photo, tool and number of threads."""
    table = Table(title="One photo, median ms")
    for column in (
        "photo",
        "threads",
        "tool",
        "decode",
        "detect",
        "crop + classify",
        "whole",
        "faces",
        "top",
    ):
        table.add_column(column, justify="left" if column in ("photo", "tool", "top") else "right")
    for name, photo in photos.items():
        rows = [(str(threads), time_photo(photo, model, threads, repeats)) for threads in (1, 2)]
        if peer:
            rows.append(("all", time_peer(peer, photo, repeats)))
        for threads, row in rows:
            stages = (row.decode_ms, row.detect_ms, row.crop_and_classify_ms, row.photo_ms)
            times = (f"{ms:.1f}" for ms in stages)
            table.add_row(name, threads, row.name, *times, str(row.faces), row.top or "-")
    return table


def classifier_table(model: str, repeats: int) -> Table:
    """The model alone: one face, and faces a second in batches."""
    table = Table(title=f"The model alone, {model}")
    for column in ("threads", "one face, ms", f"faces/s, batches of {BATCH}"):
        table.add_column(column, justify="right")
    for threads in (1, 2):
        classifier = OnnxClassifier(model, threads=threads, batch_size=BATCH)
        size = classifier.card.input_size
        faces = np.random.default_rng(0).integers(0, 256, (BATCH, size, size), dtype=np.uint8)
        one = median_ms(lambda: classifier.predict(faces[:1]), 10 * repeats)  # noqa: B023
        many = median_ms(lambda: classifier.predict(faces), repeats)  # noqa: B023
        table.add_row(str(threads), f"{one:.2f}", f"{1000 * BATCH / many:,.0f}")
    return table


def machine() -> str:
    """The processor and the versions that the figures belong to."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        name = models[0] if models else name
    versions = f"Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}"
    return f"{name}, {os.cpu_count()} cores; {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, default=HERE.parent / "examples" / "astronaut.jpg")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--peer", metavar="PYTHON", help="a Python that has the package fer")
    arguments = parser.parse_args()
    console = Console(width=120, file=sys.stdout, highlight=False)
    console.print(machine())
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.jpg"
        with Image.open(arguments.photo) as photo:
            factor = (12e6 / (photo.width * photo.height)) ** 0.5
            size = (round(photo.width * factor), round(photo.height * factor))
            photo.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(large, quality=92)
            photos = {f"{photo.width}x{photo.height}": arguments.photo, "12 MP": large}
        console.print(photo_table(photos, arguments.model, arguments.repeats, arguments.peer))
    console.print(classifier_table(arguments.model, arguments.repeats))


if __name__ == "__main__":
    main()
