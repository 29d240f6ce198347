"""Clips made on the spot, for tests and benchmarks; needs the extra `video`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SOUND_RATE = 48_000


def write_clip(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    rate: Fraction | int = 25,
    stamps: Sequence[int] | None = None,
    rotation: int = 0,
    tone_hz: float | None = None,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames, uint8 RGB (H, W, 3), as a clip; returns its path.

    `stamps` are the frames' times in milliseconds, for a variable rate; `rotation` is by how many degrees a
    player must turn them counterclockwise; `tone_hz` adds sound of the same length; `options` go to the
    container.
    """
    import av

    with av.open(str(path), "w", options=options or {}) as out:
        video: Any = out.add_stream(codec, rate=Fraction(rate))
        video.pix_fmt = pixels
        tick = 1 / Fraction(rate) if stamps is None else Fraction(1, 1000)
        video.codec_context.time_base = tick
        if codec == "mpeg4":
            video.codec_context.qmin = video.codec_context.qmax = 3
        if rotation:
            video.set_display_rotation(rotation)
        sound: Any = out.add_stream("aac", rate=_SOUND_RATE, layout="mono") if tone_hz else None
        count = 0
        for pixels_rgb in frames:
            if count == 0:
                video.height, video.width = pixels_rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels_rgb), "rgb24")
            frame.time_base = tick
            frame.pts = count if stamps is None else stamps[count]
            out.mux(video.encode(frame))
            count += 1
        out.mux(video.encode())
        if sound is not None and tone_hz:
            for samples in _tone(tone_hz, count / Fraction(rate)):
                out.mux(sound.encode(samples))
            out.mux(sound.encode())
    return path


def _tone(hertz: float, seconds: Fraction) -> Iterable[Any]:
    import av

    size = 1024  # samples of one AAC frame
    for start in range(0, int(seconds * _SOUND_RATE), size):
        wave = np.sin(2 * np.pi * hertz * (np.arange(size) + start) / _SOUND_RATE).astype(np.float32) / 4
        frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = _SOUND_RATE, start, Fraction(1, _SOUND_RATE)
        yield frame


@dataclass(frozen=True)
class Actor:
    """An image that moves through a scene.

    Attributes:
        pixels: uint8 RGB (H, W, 3).
        where: from the time in seconds to its centre and height in pixels, (x, y, height); None while it
            is not in the scene.
    """

    pixels: NDArray[np.uint8]
    where: Callable[[float], tuple[float, float, float] | None]


def play(
    actors: Sequence[Actor], seconds: float, *, size: tuple[int, int] = (640, 360), rate: float = 25
) -> Iterator[NDArray[np.uint8]]:
    """Yields the frames of a scene, uint8 RGB; later actors hide earlier ones."""
    ground = np.linspace(60, 110, size[1]).astype(np.uint8)[:, None, None].repeat(size[0], 1).repeat(3, 2)
    for i in range(round(seconds * rate)):
        frame = Image.fromarray(ground)
        for actor in actors:
            if (place := actor.where(i / rate)) is not None:
                x, y, height = place
                image = Image.fromarray(actor.pixels)
                width = height * image.width / image.height
                small = image.resize((round(width), round(height)), Image.Resampling.BILINEAR)
                frame.paste(small, (round(x - width / 2), round(y - height / 2)))
        yield np.asarray(frame)
