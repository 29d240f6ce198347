"""How fast a 720p clip is read, by stage, what skipping and length do, and a peer in the same run.

    python benchmarks/video.py
    python benchmarks/video.py --peer peer/bin/python      # a Python with `fer`, see peers/fer_photo.py
    python benchmarks/video.py --memory                    # a long clip against a short one

The clips are made on the spot: one to three people who move, from the photo in examples/. CPU time is that of
all threads; where other programs run, frames a second are a lower bound and CPU time is the figure to trust.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from rich.console import Console
from rich.table import Table

import mien
from mien.geometry import iou
from mien.images.crop import FER2013_FRAMING, crop_face
from mien.inference.analyzer import Analyzer
from mien.models.registry import DEFAULT
from mien.testing.clips import Actor, play, write_clip
from mien.video.analysis import VideoAnalysis, open_source
from mien.video.opening import open_video
from mien.video.output.encoder import VideoSegment
from mien.video.output.painter import ClipPainter
from mien.video.output.writer import AnnotatedClip
from mien.video.results import FrameResult
from mien.video.stages.pipeline import DETECTOR_SIZE
from mien.video.tracking.tracker import Tracker, appearance_of, shrink

HERE = Path(__file__).parent
PHOTO = HERE.parent / "examples" / "astronaut.jpg"
RATE = 30


@dataclass(frozen=True)
class Cost:
    """Milliseconds a frame: as the clock goes, and of all threads together."""

    wall_ms: float
    cpu_ms: float

    @property
    def frames_per_s(self) -> float:
        return 1000 / self.wall_ms


def cost(work: Callable[[], int]) -> Cost:
    """What a frame costs in work that says how many frames it did."""
    wall, cpu = time.perf_counter(), time.process_time()
    frames = work()
    return Cost(1000 * (time.perf_counter() - wall) / frames, 1000 * (time.process_time() - cpu) / frames)


def make_clip(path: Path, people: int, seconds: float) -> Path:
    """Up to three people in 720p: one walks through, one comes nearer, one sways."""
    photo = Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260))
    cold = np.asarray(ImageEnhance.Color(ImageOps.mirror(photo)).enhance(0.1)) * [0.75, 0.85, 1.1]
    warm = np.asarray(ImageEnhance.Brightness(photo).enhance(0.7)) * [1.1, 0.9, 0.8]
    actors = [
        Actor(np.asarray(photo), lambda t: (200 + 80 * np.sin(t), 300, 420)),
        Actor(cold.clip(0, 255).astype(np.uint8), lambda t: (640, 360, 330 + 60 * np.sin(0.7 * t))),
        Actor(warm.clip(0, 255).astype(np.uint8), lambda t: (1060 + 60 * np.sin(1.3 * t), 380, 380)),
    ]
    scene = play(actors[:people], seconds, size=(1280, 720), rate=RATE)
    return write_clip(path, scene, rate=RATE, codec="libx264", tone_hz=440)


def stages(clip: Path, analyzer: Analyzer, frames: int) -> dict[str, Cost]:
    """Each stage on its own, one after another, over the same pictures."""
    with open_video(clip) as video:
        pictures = [picture for picture, _ in zip(video.frames(), range(frames), strict=False)]
    with open_video(clip) as video:
        costs = {"decode": cost(lambda: sum(1 for _ in video.frames()))}
    costs["luma"] = cost(lambda: len([picture.gray() for picture in pictures]))
    costs[f"RGB, reduced to {DETECTOR_SIZE}"] = cost(lambda: len([it.rgb(DETECTOR_SIZE) for it in pictures]))
    small = [picture.rgb(DETECTOR_SIZE) for picture in pictures]
    found = []
    costs["find faces"] = cost(lambda: len([found.append(analyzer.detector.detect(it)) for it in small]))
    whole = analyzer.detector.detect(pictures[0].rgb())
    gray = pictures[0].gray()
    framing = analyzer.classifier.card.framing or FER2013_FRAMING
    size = analyzer.classifier.card.input_size
    crops = [crop_face(gray, it, framing, size=size) for it in whole]

    def crop() -> int:
        return len([[crop_face(gray, it, framing, size=size) for it in whole] for _ in pictures])

    def read() -> int:
        batch = np.stack(crops * 8)[:8]
        for _ in range(-(-len(pictures) * len(crops) // 8)):
            analyzer.classifier.predict(batch)
        return len(pictures)

    def follow() -> int:
        tracker, appearances = Tracker(), [appearance_of(shrink(crop)) for crop in crops]
        for picture in pictures:
            tracker.update(picture.time_s, [it.box for it in whole], appearances)
        return len(pictures)

    costs["crop"] = cost(crop)
    costs["follow"] = cost(follow)
    if crops:
        costs["read expressions"] = cost(read)
    results = list(VideoAnalysis(open_source(clip), analyzer, end_s=0.2))
    painter, colour = ClipPainter(), pictures[0].rgb()
    costs["draw"] = cost(lambda: len([painter.paint(colour, results[-1].faces) for _ in pictures]))
    with tempfile.TemporaryDirectory() as folder:
        part = VideoSegment(Path(folder) / "p.mp4", pictures[0].size, RATE)
        rgb = [picture.rgb() for picture in pictures[:30]]
        costs["encode"] = cost(lambda: len([part.write(it, i / RATE) for i, it in enumerate(rgb)]))
        part.close()
    return costs


def end_to_end(
    clip: Path, analyzer: Analyzer, out: Path | None = None, *, detect_interval_s: float = 0.1
) -> Cost:
    """A whole clip, without drawing or with."""

    def work() -> int:
        analysis = VideoAnalysis(open_source(clip), analyzer, detect_interval_s=detect_interval_s)
        saving = AnnotatedClip(analysis.video, out) if out else None
        count = 0
        for analyzed in analysis.details():
            if saving:
                saving.write(analyzed)
            count += 1
        if saving:
            saving.close()
        return count

    return cost(work)


def one_by_one(clip: Path, analyzer: Analyzer, frames: int) -> Cost:
    """The same models without any of this: each picture for itself, as a photo."""

    def work() -> int:
        with open_video(clip) as video:
            return len(
                [analyzer.analyze(it.rgb()) for it, _ in zip(video.frames(), range(frames), strict=False)]
            )

    return cost(work)


def skipping(clip: Path, analyzer: Analyzer) -> dict[str, float]:
    """How boxes and identities hold when the detector is not asked about every picture."""
    every, some = (
        list(VideoAnalysis(open_source(clip), analyzer, detect_interval_s=span)) for span in (0.0, 0.1)
    )
    overlaps = list(_overlaps(every, some))
    changed = [np.abs(a - b).sum() / 2 for a, b in _expressions(every, some)]
    people = [{face.id for result in results for face in result.faces} for results in (every, some)]
    return {
        "detected": float(np.mean([face.detected for result in some for face in result.faces])),
        "iou_mean": float(np.mean(overlaps)),
        "iou_p1": float(np.percentile(overlaps, 1)),
        "expression_moved_mean": float(np.mean(changed)),
        "people_every": len(people[0]),
        "people_some": len(people[1]),
    }


def _pairs(every: Iterable[FrameResult], some: Iterable[FrameResult]) -> Iterable[tuple]:
    for a, b in zip(every, some, strict=True):
        of_b = {face.id: face for face in b.faces}
        yield from ((face, of_b[face.id]) for face in a.faces if face.id in of_b)


def _overlaps(every: Iterable[FrameResult], some: Iterable[FrameResult]) -> Iterable[float]:
    return (iou(a.box, b.box) for a, b in _pairs(every, some))


def _expressions(every: Iterable[FrameResult], some: Iterable[FrameResult]) -> Iterable[tuple]:
    for a, b in _pairs(every, some):
        yield np.array(list(a.face.emotions.values())), np.array(list(b.face.emotions.values()))


def peak_mb(clip: Path, model: str, *, video: bool) -> float:
    """The most memory that a process needs for a clip's table and timeline, and its video if asked."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["mien", "predict", str(clip), "--model", model, "--out", f"{folder}/t.csv"]
        words += ["--save" if video else "--timeline", folder]
        code = f"import resource, runpy, sys; sys.argv = {words!r}\n"
        code += "try: runpy.run_module('mien.cli.app', run_name='__main__')\nexcept SystemExit: pass\n"
        code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1]) / 1024


def memory(console: Console, folder: Path, model: str) -> None:
    """A short and a long clip, without and with the annotated video."""
    for video, seconds, times in ((False, 60, 10), (True, 20, 6)):
        short = make_clip(folder / f"short-{seconds}.mp4", 2, seconds)
        long = lengthen(short, times, folder / f"long-{seconds}.mp4")
        what = "table, timeline and annotated video" if video else "table and timeline"
        for clip, length in ((short, seconds), (long, seconds * times)):
            console.print(f"{what} of {length} s: {peak_mb(clip, model, video=video):.0f} MB at most")


def lengthen(clip: Path, times: int, out: Path) -> Path:
    """The clip so many times behind itself, nothing coded anew."""
    with av.open(str(clip)) as first, av.open(str(out), "w") as to:
        track = to.add_stream_from_template(first.streams.video[0])
        shift = 0
        for _ in range(times):
            with av.open(str(clip)) as source:
                for packet in source.demux(video=0):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = track
                        to.mux(packet)
                shift += source.streams.video[0].duration or 0
    return out


def peer(python: str, clip: Path) -> tuple[str, Cost]:
    """What the same clip costs the package `fer`, in its own Python."""
    script = str(HERE / "peers" / "fer_video.py")
    done = subprocess.run([python, script, str(clip), "20"], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    name = f"{answer['name']}, {answer['faces']:.1f} faces a frame"
    return name, Cost(answer["wall_ms"], answer["cpu_ms"])


def show(console: Console, title: str, rows: Iterable[tuple[str, Cost]]) -> None:
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("", "ms a frame", "CPU ms a frame", "frames/s"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, it in rows:
        table.add_row(name, f"{it.wall_ms:.2f}", f"{it.cpu_ms:.2f}", f"{it.frames_per_s:.0f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the clips")
    parser.add_argument("--peer", help="a Python that has `fer`")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    options = parser.parse_args()
    console = Console(highlight=False, width=100)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    console.print(f"mien {mien.__version__}, {platform.machine()}, {os.cpu_count()} cores{load}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory:
            memory(console, folder, options.model)
            return
        analyzer = Analyzer(options.model, threads=1)
        for people in (1, 3):
            clip = make_clip(folder / f"{people}.mp4", people, options.seconds)
            end_to_end(clip, analyzer)  # does not count
            whole = [
                ("all, end to end", end_to_end(clip, analyzer)),
                ("the same, detector in every picture", end_to_end(clip, analyzer, detect_interval_s=0.0)),
                ("the same models, picture by picture", one_by_one(clip, analyzer, 60)),
                ("with the annotated video", end_to_end(clip, analyzer, folder / "out.mp4")),
            ]
            if options.peer:
                whole.append(peer(options.peer, clip))
            each = [(f"  {name}", it) for name, it in stages(clip, analyzer, 60).items()]
            show(console, f"\n720p, {people} {'person' if people == 1 else 'people'}", [*whole, *each])
            held = skipping(clip, analyzer)
            console.print(", ".join(f"{key} {value:.3g}" for key, value in held.items()), style="dim")


if __name__ == "__main__":
    main()
