from __future__ import annotations

import numpy as np
from PIL import Image

from mien.video.frame import image_thumbnail
from mien.video.tracking.cuts import SceneCounter

RNG = np.random.default_rng(0)


def landscape(seed: int) -> np.ndarray:
    """Something with large and small parts, uint8 RGB (360, 1280, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 32, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((1280, 360), Image.Resampling.BICUBIC))


def scenes(frames: list[np.ndarray]) -> list[int]:
    counter = SceneCounter()
    return [counter.feed(image_thumbnail(frame)) for frame in frames]


def noisy(frame: np.ndarray) -> np.ndarray:
    return (frame + RNG.normal(0, 4, frame.shape)).clip(0, 255).astype(np.uint8)


def test_a_hard_cut_begins_a_scene() -> None:
    one, other = landscape(1)[:, :640], landscape(2)[:, :640]
    assert scenes([noisy(one)] * 5 + [noisy(other)] * 5 + [noisy(one)] * 5) == [0] * 5 + [1] * 5 + [2] * 5


def test_a_cut_between_two_shots_between_black_borders_is_one() -> None:
    def narrow(seed: int) -> np.ndarray:
        frame = np.zeros((360, 640, 3), np.uint8)
        frame[:, 220:420] = landscape(seed)[:, :200] // 3 + 80
        return frame

    assert scenes([narrow(1)] * 3 + [narrow(2)] * 3) == [0] * 3 + [1] * 3


def test_a_pan_however_fast_is_no_cut() -> None:
    """Frames that were far apart in time, as with a sampling interval, counted as cuts."""
    still, wide = [landscape(1)[:, :640]] * 5, landscape(1)
    faster = np.cumsum(np.minimum(np.arange(30) * 2, 40))
    pan = [wide[:, x : x + 640] for x in faster if x + 640 <= 1280]
    assert set(scenes(still + pan)) == {0}


def test_a_slow_change_of_light_is_no_cut() -> None:
    frame = landscape(1)[:, :640].astype(int)
    assert set(scenes([(frame // 2 + 3 * i).clip(0, 255).astype(np.uint8) for i in range(40)])) == {0}


def test_somebody_who_walks_by_close_to_the_camera_is_no_cut() -> None:
    frames = []
    for i in range(20):
        frame = landscape(1)[:, :640].copy()
        frame[:, max(0, 60 * i - 300) : 60 * i] = 40
        frames.append(frame)
    assert set(scenes(frames)) == {0}


def test_a_shot_of_black_frames_is_a_scene_at_most_and_no_error() -> None:
    black = np.zeros((360, 640, 3), np.uint8)
    assert scenes([black, black, landscape(1)[:, :640], black])[-1] <= 2
