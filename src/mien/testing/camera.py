"""A fake camera: frames in a Y4M file, which Chromium uses as its camera."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Chromium's flags: no sandbox since tests may run as root, nothing in the background, a camera from a file.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_CAMERA_FLAGS = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


def find_chromium() -> str | None:
    """The path of Chromium: that in ``MIEN_CHROMIUM``, or an installed one; None if there is none."""
    if named := os.environ.get("MIEN_CHROMIUM"):
        return named
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


def chromium_flags(camera: Path | None = None) -> list[str]:
    """Arguments for Chromium in tests; a Y4M file becomes its camera, played in a loop."""
    if camera is None:
        return list(_FLAGS)
    return [*_FLAGS, *_CAMERA_FLAGS, f"--use-file-for-fake-video-capture={camera}"]


def write_y4m(path: Path, frames: Iterable[NDArray[np.uint8]], *, rate: int = 15) -> Path:
    """Write frames, uint8 RGB (H, W, 3) of even sides and one size, as a Y4M file; returns its path.

    4:2:0 with centred chroma; BT.601 in limited range, which Chromium assumes for Y4M: a page gets each
    frame within about one grey level.
    """
    with path.open("wb") as file:
        for number, frame in enumerate(frames):
            height, width = frame.shape[:2]
            if number == 0:
                file.write(b"YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420jpeg\n" % (width, height, rate))
            file.write(b"FRAME\n")
            for plane in _planes(frame):
                file.write(plane.tobytes())
    return path


def pan(image: NDArray[np.uint8], size: tuple[int, int], *, frames: int) -> Iterable[NDArray[np.uint8]]:
    """Yields views (width, height of `size`) that go once around an image in a small circle.

    The image is enlarged first, so that its middle two thirds stay in view: a face there is never cut.
    """
    width, height = size
    scale = 1.25 * max(width / image.shape[1], height / image.shape[0])
    large = Image.fromarray(image).resize(
        (round(image.shape[1] * scale), round(image.shape[0] * scale)), Image.Resampling.BICUBIC
    )
    room = ((large.width - width) / 2, (large.height - height) / 2)
    for number in range(frames):
        angle = 2 * np.pi * number / frames
        left = room[0] + min(room[0], 40) * np.cos(angle)
        top = room[1] * 0.3 + min(room[1] * 0.3, 20) * np.sin(angle)
        yield np.asarray(large.crop((round(left), round(top), round(left) + width, round(top) + height)))


def _planes(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Y, Cb and Cr. Source: ITU-R BT.601-7, 2.5.1 to 2.5.3."""
    rgb = frame.astype(np.float32) / 255
    luma = np.asarray(rgb @ np.array([0.299, 0.587, 0.114]), dtype=np.float32)
    blue = np.asarray((rgb[..., 2] - luma) / 1.772, dtype=np.float32)
    red = np.asarray((rgb[..., 0] - luma) / 1.402, dtype=np.float32)
    halves = (_halved(blue), _halved(red))
    return (
        np.round(16 + 219 * luma).astype(np.uint8),
        np.round(128 + 224 * halves[0]).astype(np.uint8),
        np.round(128 + 224 * halves[1]).astype(np.uint8),
    )


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = plane[::2] + plane[1::2]
    return np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4, dtype=np.float32)
