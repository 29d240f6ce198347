"""What a day of video needs: frames in a loop through tracking, smoothing and the log, then all its tables.

    python benchmarks/video_day.py --hours 24

Simulated: the reader (two seconds of a made clip with two people are decoded once, and the frames come again
and again with later times; cuts are not searched), the detector (the true boxes of these frames), and the
classifier (a tiny ONNX model). Real: interpolation between detections, crops, portraits, tracking, smoothing,
the log, and afterwards tables, timeline and exports from that log. Memory is that of the process, in MB.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mien
from mien.geometry import Detection
from mien.inference.analyzer import Analyzer
from mien.testing.clips import Actor, play
from mien.testing.fakes import write_band_model
from mien.video.analysis import VideoAnalysis
from mien.video.frame import FramePosition, ImageFrame
from mien.video.options.study import StudyOptions
from mien.video.reader import ReadStatus
from mien.video.study.rewrite import clip_results
from mien.video.study.study import write_clip

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
RATE, LOOP_S, EVERY = 25, 2, 9000
Pixels = NDArray[np.uint8]


class LoopingVideo:
    """What `VideoAnalysis` needs of a clip: the same decoded frames again and again, with later times."""

    source, live, endless = "day.mp4", False, False

    def __init__(self, images: list[Pixels], hours: float) -> None:
        self._images, self._count = images, round(hours * 3600 * RATE)
        self.status = ReadStatus()
        self.rate: float | None = float(RATE)
        self.duration_s: float | None = self._count / RATE

    def frames(self, **_: Any) -> Iterator[ImageFrame]:
        """Yields the frames."""
        for i in range(self._count):
            yield ImageFrame(FramePosition(i, i / RATE, i), self._images[i % len(self._images)])

    def close(self) -> None:
        """Nothing to close."""


class KnownFaces:
    """A detector that knows the boxes of each image, by the number in its first pixels."""

    def __init__(self, boxes: list[list[tuple[float, float, float, float]]]) -> None:
        self._boxes = boxes

    def detect(self, image_rgb: Pixels) -> list[Detection]:
        """The faces of an image of the loop."""
        number = int(image_rgb[0, 0, 0]) * 256 + int(image_rgb[0, 1, 0])
        return [Detection(box, 0.95) for box in self._boxes[number]]


def main() -> None:
    """Measure, and print a line per 9,000 frames."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=24)
    hours = parser.parse_args().hours
    print(f"mien {mien.__version__}, Python {platform.python_version()}, {platform.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), hours)


def measure(folder: Path, hours: float) -> None:
    """Both passes: the analysis, then all tables."""
    images, boxes = loop()
    analyzer = Analyzer(write_band_model(folder), KnownFaces(boxes), threads=1)
    clip = folder / "study" / "day"
    clip.mkdir(parents=True)
    video: Any = LoopingVideo(images, hours)
    begun, people = time.process_time(), set()
    for number, result in enumerate(VideoAnalysis(video, analyzer, log=clip / "log.jsonl")):
        people |= {face.id for face in result.faces}
        if number % EVERY == EVERY - 1:
            print(
                f"{number + 1:>9,} frames: {now():.0f} MB, {time.process_time() - begun:.0f} s of CPU",
                flush=True,
            )
    log_mb = (clip / "log.jsonl").stat().st_size / 1e6
    print(
        f"analysis: {now():.0f} MB, at most {most():.0f}; log {log_mb:,.0f} MB; {len(people)} people",
        flush=True,
    )
    begun = time.process_time()
    facts = {"source": {"path": "day.mp4"}, "fps": RATE, "duration_s": video.duration_s, "time_base": None}
    write_clip(folder / "study", "day", facts, StudyOptions(exports=("elan", "boris")))
    rows = json.loads((clip / "clip.json").read_text())["analyzed_frames"]
    spent = time.process_time() - begun
    print(f"tables of {rows:,} frames: at most {most():.0f} MB, {spent:.0f} s of CPU", flush=True)
    first = next(iter(clip_results(clip)))
    print(f"{len(first.faces)} faces in the first frame")


def loop() -> tuple[list[Pixels], list[list[tuple[float, float, float, float]]]]:
    """The frames of the loop, their numbers in their first pixels, and the boxes of the faces in them."""
    with Image.open(PHOTO) as image:
        person = np.asarray(image.convert("RGB").crop((130, 0, 330, 260)))
    half = LOOP_S / 2

    def aside(t: float) -> float:  # there and back, so that the loop has no jump
        return 40 * (half - abs(t - half))

    scene = [
        Actor(person, lambda t: (160 + aside(t), 180, 220)),
        Actor(np.ascontiguousarray(person[:, ::-1]), lambda t: (480 - aside(t), 180, 220)),
    ]
    images, boxes = [], []
    for number, frame in enumerate(play(scene, LOOP_S, rate=RATE)):
        numbered = np.array(frame)
        numbered[0, 0, 0], numbered[0, 1, 0] = divmod(number, 256)
        images.append(numbered)
        t = number / RATE
        boxes.append([(x - 55, 120.0, 110.0, 110.0) for x in (160 + aside(t), 480 - aside(t))])
    return images, boxes


def now() -> float:
    """The process's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def most() -> float:
    """The most memory that the process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
