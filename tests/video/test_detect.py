from __future__ import annotations

from collections.abc import Callable, Sequence

import av
import numpy as np
import pytest

from mien.geometry import Box, Detection
from mien.video.frame import VideoFrame
from mien.video.stages.detect import DetectedFrame, DetectStage

RATE = 30
Scene = Callable[[int], Sequence[Box]]


class Scripted:
    """A detector that reads a picture's number from its first pixel, and finds what the scene has there."""

    def __init__(self, scene: Scene, *, scale: float = 1.0) -> None:
        self.asked: list[int] = []
        self._scene, self._scale = scene, scale

    def detect(self, image_rgb: np.ndarray) -> list[Detection]:
        number = int(image_rgb[0, 0, 0])
        self.asked.append(number)
        points = np.arange(12, dtype=np.float32).reshape(6, 2) + number
        boxes = [tuple(value * self._scale for value in box) for box in self._scene(number)]
        return [Detection(box, 0.5 + number / 200, points) for box in boxes]  # type: ignore[arg-type]


def frame(number: int, *, scene: int = 0, rate: float = RATE) -> VideoFrame:
    pixels = np.full((36, 64, 3), 100, np.uint8)
    pixels[:2, :2] = number
    native = av.VideoFrame.from_ndarray(pixels, "rgb24")
    return VideoFrame(number, number / rate, number, native, scene=scene)


def find(
    scene: Scene, count: int, *, interval_s: float = 0.1, scenes: Callable[[int], int] = lambda _: 0
) -> tuple[list[DetectedFrame], list[int]]:
    detector = Scripted(scene)
    finder = DetectStage(detector, interval_s=interval_s, detector_size=64)
    found = [done for i in range(count) for done in finder.feed(frame(i, scene=scenes(i)))]
    return found + finder.finish(), detector.asked


def sliding(number: int) -> list[Box]:
    return [(10 + number * 0.5, 5, 12, 12)]


def test_every_frame_comes_out_once_and_in_order() -> None:
    found, _ = find(sliding, 20)
    assert [it.frame.index for it in found] == list(range(20))


def test_a_steady_face_is_detected_in_one_frame_of_three_and_lies_between_in_the_others() -> None:
    found, asked = find(sliding, 31)
    assert asked == list(range(0, 31, 3))
    assert [it.detected for it in found[:4]] == [True, False, False, True]
    for it in found:
        (face,) = it.detections
        assert face.box == pytest.approx(sliding(it.frame.index)[0])
        assert face.confidence == pytest.approx(0.5 + it.frame.index / 200)
        assert face.keypoints == pytest.approx(np.arange(12).reshape(6, 2) + it.frame.index)


@pytest.mark.parametrize(
    ("name", "scene"),
    [
        ("comes", lambda i: [(5, 5, 10, 10)] + [(40, 5, 10, 10)] * (i >= 16)),
        ("leaves", lambda i: [(5, 5, 10, 10)] * (i < 16)),
        ("jumps", lambda i: [(5, 5, 10, 10) if i < 16 else (25, 5, 10, 10)]),
        ("comes near", lambda i: [(10, 5, 10, 10), (17 if 15 <= i <= 18 else 40, 5, 10, 10)]),
    ],
)
def test_where_a_face_changes_every_frame_gets_the_detector(name: str, scene: Scene) -> None:
    found, asked = find(scene, 31)
    assert {16, 17} <= set(asked)
    for it in found[15:19]:
        assert [face.box for face in it.detections] == [tuple(box) for box in scene(it.frame.index)]
    assert len(asked) < 20


def test_the_detector_runs_on_both_sides_of_a_cut() -> None:
    found, _ = find(
        lambda i: [(5, 5, 10, 10) if i < 17 else (6, 6, 10, 10)], 31, scenes=lambda i: int(i >= 17)
    )
    assert [it.frame.index for it in found if it.cut] == [17]
    assert found[16].detected
    assert found[17].detected
    assert found[16].detections[0].box == (5, 5, 10, 10)


def test_only_where_the_detector_ran_is_a_reduced_frame_kept() -> None:
    found, _ = find(sliding, 7)
    assert [it.reduced is not None for it in found] == [it.detected for it in found]


def test_without_skipping_each_frame_is_given_back_at_once() -> None:
    finder = DetectStage(Scripted(sliding), interval_s=0.0)
    assert all(len(finder.feed(frame(i))) == 1 for i in range(10))


def test_at_few_frames_a_second_none_is_skipped() -> None:
    detector = Scripted(sliding)
    finder = DetectStage(detector)
    for i in range(10):
        finder.feed(frame(i, rate=5))
    assert detector.asked == list(range(10))


def test_boxes_of_a_reduced_frame_are_in_pixels_of_the_whole() -> None:
    finder = DetectStage(Scripted(lambda _: [(20, 10, 12, 12)], scale=0.5), detector_size=32)
    (found,) = finder.feed(frame(0))
    assert found.detections[0].box == pytest.approx((20, 10, 12, 12))
    assert found.detections[0].keypoints == pytest.approx(2 * np.arange(12).reshape(6, 2))


@pytest.mark.parametrize("name", ["slides", "comes", "is cut"])
def test_a_stage_resumes_behind_any_settled_frame(name: str) -> None:
    scene = {"comes": lambda i: [(5, 5, 10, 10)] + [(40, 5, 10, 10)] * (i >= 16)}.get(name, sliding)
    scenes = {"is cut": lambda i: int(i >= 17)}.get(name, lambda _: 0)
    whole, _ = find(scene, 31, scenes=scenes)
    for end in (it for it in whole[:-1] if it.settled):
        number = end.frame.position.index
        stage = DetectStage(Scripted(scene), detector_size=64)
        stage.resume(end.frame, end.detections)
        rest = [it for i in range(number + 1, 31) for it in stage.feed(frame(i, scene=scenes(i)))]
        facts = [
            [(it.detected, it.cut, it.settled, [face.box for face in it.detections]) for it in frames]
            for frames in (rest + stage.finish(), whole[number + 1 :])
        ]
        assert facts[0] == facts[1]
