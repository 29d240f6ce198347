"""Frames of a clip through the TypeScript package: the persons, boxes and expressions of Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from mien import Analyzer
from mien.testing.clips import Actor, play
from mien.video.frame import FramePosition, ImageFrame, image_thumbnail
from mien.video.results import AnalyzedFrame
from mien.video.stages.pipeline import Pipeline
from mien.video.stages.track import TrackedFrame
from mien.video.tracking.cuts import CLIP_LEVELS, PAGE_LEVELS, SceneCounter
from mien.video.tracking.people import People

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
RATE, SIZE = 12.5, (480, 300)
RUNS: list[dict[str, Any]] = [{"live": True}]


@pytest.fixture(scope="module")
def frames() -> list[tuple[float, NDArray[np.uint8]]]:
    """Two who cross; then a cut, behind which one of them returns."""
    photo = Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260))
    other = np.asarray(ImageEnhance.Color(ImageOps.mirror(photo)).enhance(0.1)) * [0.75, 0.85, 1.1]
    anna, bert = np.asarray(photo), other.clip(0, 255).astype(np.uint8)
    crossing = [
        Actor(anna, lambda t: (110 + 90 * t, 150.0, 200.0)),
        Actor(bert, lambda t: (370 - 90 * t, 150.0, 170.0)),
    ]
    images = list(play(crossing, 2.4, size=SIZE, rate=RATE))
    returned = Actor(anna, lambda t: (330 - 20 * t, 160.0, 230.0))
    ground = Actor(np.full((SIZE[1], SIZE[0], 3), (200, 170, 140), np.uint8), lambda t: (240.0, 150.0, 300.0))
    images += play([ground, returned], 1.2, size=SIZE, rate=RATE)
    return [(i / RATE, image) for i, image in enumerate(images)]


def in_python(frames: list[tuple[float, NDArray[np.uint8]]], live: bool) -> list[AnalyzedFrame]:
    analyzer = Analyzer("mien-tiny", threads=1)
    pipeline = Pipeline("frames", analyzer, live=live, people=People(recognize=not live))
    scenes = SceneCounter(PAGE_LEVELS if live else CLIP_LEVELS)
    classified: list[TrackedFrame] = []
    done: list[AnalyzedFrame] = []
    for i, (time_s, image) in enumerate(frames):
        frame = ImageFrame(FramePosition(i, time_s, None), image, scenes.feed(image_thumbnail(image)))
        for tracked in pipeline.track(frame):
            classified += pipeline.classifier.feed(tracked)
    for tracked in pipeline.finish_tracking():
        classified += pipeline.classifier.feed(tracked)
    for one in [*classified, *pipeline.classifier.finish()]:
        done += pipeline.smoother.feed(one)
    return done + pipeline.smoother.finish(pipeline.tracker.finish())


def test_streams_have_python_s_persons(
    web_package: Path, frames: list[tuple[float, NDArray[np.uint8]]], tmp_path: Path
) -> None:
    entries = []
    for i, (time_s, image) in enumerate(frames):
        (tmp_path / f"{i}.rgb").write_bytes(image.tobytes())
        entry = {"file": str(tmp_path / f"{i}.rgb"), "width": SIZE[0], "height": SIZE[1], "time_s": time_s}
        entries.append(entry)
    (tmp_path / "list.json").write_text(json.dumps({"model": "mien-tiny", "runs": RUNS, "frames": entries}))
    command = ["node", str(web_package / "tests" / "analyze_frames.mjs"), str(tmp_path / "list.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    given = json.loads(done.stdout)
    assert given["late"] == []
    persons = []
    for run, results in zip(RUNS, given["results"], strict=True):
        expected = in_python(frames, run["live"])
        assert [result["frame"] for result in results] == list(range(len(frames)))
        for ours, theirs in zip(expected, results, strict=True):
            plain = ours.result.to_dict()
            assert theirs["time_s"] == plain["time_s"]
            assert [face["face_id"] for face in theirs["faces"]] == [
                face["face_id"] for face in plain["faces"]
            ]
            assert len(theirs["others"]) == len(ours.others)
            for a, b in zip(plain["faces"], theirs["faces"], strict=True):
                assert a["detected"] == b["detected"]
                assert a["change"] == pytest.approx(b["change"], abs=0.5)
                assert a["box"] == pytest.approx(b["box"], abs=0.5)
                assert a["quality"]["sharpness"] == pytest.approx(b["quality"]["sharpness"], abs=2e-2)
                assert a["quality"]["covered"] == pytest.approx(b["quality"]["covered"], abs=5e-2)
                assert a["warnings"] == b["warnings"]
                assert list(a["emotions"]) == list(b["emotions"])
                assert list(a["raw"]["emotions"].values()) == pytest.approx(
                    list(b["raw"]["emotions"].values()), abs=2e-2
                )
                assert list(a["emotions"].values()) == pytest.approx(list(b["emotions"].values()), abs=2e-2)
        persons.append({face["face_id"] for result in results for face in result["faces"]})
    assert len(persons[0]) > 2  # in a stream, who returns behind a cut is somebody new
