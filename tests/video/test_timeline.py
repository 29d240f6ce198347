from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from mien.emotions import EMOTION_COLOURS, FERPLUS
from mien.inference.face import Face
from mien.video.output.timeline import Timeline
from mien.video.results import AnalyzedFrame, FrameResult, TrackedFace


def _magenta() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (72, 72), (255, 0, 255)).save(file, "JPEG", quality=90)
    return file.getvalue()


MAGENTA = _magenta()


def result(i: int, tops: dict[int, str], *, rate: float = 10, pictured: bool = False) -> AnalyzedFrame:
    faces = []
    for person, top in tops.items():
        face = Face((0, 0, 9, 9), 0.9, {name: float(name == top) for name in FERPLUS})
        faces.append(TrackedFace(person, face, face))
    thumbnails = {person: MAGENTA for person in tops if pictured}
    return AnalyzedFrame(FrameResult("a", i, i / rate, tuple(faces)), None, (), thumbnails)


def drawn(timeline: Timeline, path: Path) -> np.ndarray:
    assert timeline.draw(path, "a clip")
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def spans(pixels: np.ndarray, emotion: str) -> list[tuple[int, int]]:
    """The spans of columns where an emotion fills a panel's height."""
    near = np.abs(pixels - np.array(ImageColor.getrgb(EMOTION_COLOURS[emotion]))).max(axis=2) <= 2
    full = np.flatnonzero(np.diff(np.concatenate([[0], near.sum(axis=0) > 80, [0]])))
    return [(int(a), int(b)) for a, b in full.reshape(-1, 2)]


def test_emotions_stand_at_their_times_and_gaps_stay_empty(tmp_path: Path) -> None:
    timeline = Timeline(FERPLUS)
    for i in range(100):
        top = "happy" if i < 25 else "sad" if i < 50 else "happy"
        timeline.write(result(i, {} if 50 <= i < 75 else {1: top}))
    pixels = drawn(timeline, tmp_path / "t.png")
    (sad,), happy = spans(pixels, "sad"), spans(pixels, "happy")
    assert len(happy) == 2
    quarter = happy[0][1] - happy[0][0]
    assert sad[0] - happy[0][0] == pytest.approx(quarter, abs=4)
    assert sad[1] - happy[0][0] == pytest.approx(2 * quarter, abs=8)
    assert happy[1][0] - happy[0][0] == pytest.approx(3 * quarter, abs=12)


def test_frames_far_apart_leave_no_gaps(tmp_path: Path) -> None:
    timeline = Timeline(FERPLUS)
    for i in range(20):
        timeline.write(result(i, {1: "happy"}, rate=0.5))
    assert len(spans(drawn(timeline, tmp_path / "t.png"), "happy")) == 1


def test_each_person_has_a_panel_with_thumbnails_above(tmp_path: Path) -> None:
    heights = []
    for people in (1, 3):
        timeline = Timeline(FERPLUS)
        for i in range(50):
            timeline.write(result(i, dict.fromkeys(range(1, people + 1), "happy"), pictured=i % 10 == 0))
        pixels = drawn(timeline, tmp_path / "t.png")
        heights.append(len(pixels))
        magenta = (np.abs(pixels - [255, 0, 255]).max(axis=2) <= 2).sum()
        assert magenta > people * 3000
    assert heights[1] > 2 * heights[0]


def test_nobody_gives_no_figure(tmp_path: Path) -> None:
    timeline = Timeline(FERPLUS)
    timeline.write(result(0, {}))
    assert not timeline.draw(tmp_path / "t.png", "a clip")
    assert not (tmp_path / "t.png").exists()


def test_memory_does_not_grow_with_the_clip() -> None:
    sizes = []
    for minutes in (10, 120):
        timeline = Timeline(FERPLUS)
        for i in range(minutes * 60):  # one frame a second, somebody new every half minute
            timeline.write(result(i, {1: "happy", 2 + i // 30: "sad"}, rate=1, pictured=True))
        sizes.append(len(pickle.dumps(timeline)))
    assert sizes[1] < 3 * sizes[0]
    assert sizes[1] < 30_000_000
