"""How long the viewer of a long clip takes: to read the log, to correct, for a timeline, to save all tables.

    python benchmarks/viewer.py --minutes 10

The clip's log is made: a photo of one person, twice side by side and moving, is analyzed for two seconds, and
the log's frames are repeated. CPU time, since other programs may be running.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.inference.analyzer import Analyzer
from mien.serve.viewer.faces import frames_of, timeline_of
from mien.serve.viewer.session import Session
from mien.testing.clips import Actor, play, write_clip
from mien.video.batch import predict_clips
from mien.video.options.clips import ClipOptions
from mien.video.options.study import StudyOptions
from mien.video.study.rewrite import rewrite

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
RATE, SECONDS = 25, 2


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        make_study(Path(folder), study)
        frames = lengthen(study / "two" / "log.jsonl", round(minutes * 60 / SECONDS))
        _, written_s = timed(lambda: rewrite(study))
        session = Session(study)
        clip, open_s = timed(lambda: session.clip("two"))
        _, again_s = timed(lambda: Session(study).clip("two"))
        end_s = clip["to_s"]
        split = {"clip": "two", "kind": "split", "person": 1, "at_s": end_s / 2, "new": 9}
        _, correct_s = timed(lambda: session.add(split))
        _, shown_s = timed(lambda: session.clip("two"))
        faces = session.faces("two")
        _, timeline_s = timed(lambda: timeline_of(faces, 0, end_s, 600))
        _, frames_s = timed(lambda: frames_of(faces, 60, 80))
        _, save_s = timed(session.save)
        faces_count = len(faces.people)
    print(f"{minutes:g} minutes, {frames:,} frames, {faces_count:,} faces; CPU seconds")
    rows = {
        "open the clip (log, people, events)": open_s,
        "open it again": again_s,
        "check and write a correction": correct_s,
        "people and events after it": shown_s,
        "a timeline of the whole clip": timeline_s,
        "20 s of frames": frames_s,
        "all tables, first": written_s,
        "save all tables with the correction": save_s,
    }
    for name, seconds in rows.items():
        print(f"{name:40} {seconds:8.2f}")
    print(f"{'most memory, MB':40} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.0f}")


def make_study(folder: Path, study: Path) -> None:
    """A study of a short clip with two people."""
    with Image.open(PHOTO) as image:
        person = np.asarray(image.convert("RGB").crop((130, 0, 330, 260)))
    scene = [
        Actor(person, lambda t: (160 + 20 * t, 180, 220)),
        Actor(person[:, ::-1], lambda t: (480 - 20 * t, 180, 220)),
    ]
    clip = write_clip(folder / "two.mp4", play(scene, SECONDS, rate=RATE), rate=RATE)
    predict_clips([str(clip)], Analyzer(threads=1), ClipOptions(out=study, study=StudyOptions()))


def lengthen(log: Path, times: int) -> int:
    """Repeat the frames of a log forwards and backwards, so that nobody jumps; returns their number."""
    header, *lines = log.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    both = [*records, *records[::-1]]
    with log.open("w") as file:
        file.write(header + "\n")
        for i in range(times * len(records)):
            record = both[i % len(both)] | {"frame": i, "time_s": i / RATE, "pts": i}
            file.write(json.dumps(record) + "\n")
    return times * len(records)


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """What an action returns, and its CPU seconds."""
    begun = time.process_time()
    result = action()
    return result, time.process_time() - begun


if __name__ == "__main__":
    main()
