"""Decoded images of a stream in, tracked faces out: one pipeline per stream, one image at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.geometry import Box
from mien.inference.analyzer import Analyzer
from mien.video.frame import FramePosition, ImageFrame, image_thumbnail
from mien.video.results import TrackedFace
from mien.video.smoothing import Smoothing
from mien.video.stages.pipeline import Pipeline
from mien.video.tracking.cuts import PAGE_LEVELS, SceneCounter
from mien.video.tracking.people import People


@dataclass(frozen=True)
class LiveResult:
    """What one frame shows.

    Attributes:
        width, height: of the frame, in pixels.
        faces: the tracked faces, by their person's number.
        unconfirmed: boxes where a face may be: just found, or lost a moment ago. They are blurred too.
    """

    width: int
    height: int
    faces: tuple[TrackedFace, ...]
    unconfirmed: tuple[Box, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values for JSON."""
        return {
            "width": self.width,
            "height": self.height,
            "faces": [_plain(face) for face in self.faces],
            "unconfirmed": [[round(value, 1) for value in box] for box in self.unconfirmed],
        }


class LivePipeline:
    """Analyzes the images of one stream and remembers who was where.

    Args:
        smoothing: of each face's probabilities over time.
    """

    def __init__(self, *, smoothing: Smoothing | None = None) -> None:
        self._smoothing = smoothing
        self._pipeline: Pipeline | None = None
        self._kind = ("", False)
        self._last = FramePosition(-1, 0.0, None)
        self._scenes = SceneCounter(PAGE_LEVELS)
        # Nobody gets a number twice: "this is me" on the page must not pass on to somebody else.
        self._people = People(recognize=False)

    def read(self, image_rgb: NDArray[np.uint8], time_s: float, analyzer: Analyzer) -> LiveResult:
        """The faces in an image, uint8 RGB (H, W, 3), taken at a time in seconds.

        Time that runs backward, as when a clip is wound back, begins a new scene. Another label set, or
        movements from now on, begin smoothing anew.
        """
        kind = (analyzer.classifier.head.name, analyzer.mesh is not None)
        if self._pipeline is None or time_s < self._last.time_s:
            self._pipeline = Pipeline(
                "live", analyzer, live=True, smoothing=self._smoothing, people=self._people
            )
        elif kind != self._kind:
            self._pipeline.use(analyzer)
        self._kind, self._last = kind, FramePosition(self._last.index + 1, time_s, None)
        scene = self._scenes.feed(image_thumbnail(image_rgb))
        pipeline, frame = self._pipeline, ImageFrame(self._last, image_rgb, scene)
        (analyzed,) = [
            result
            for tracked in pipeline.track(frame)
            for classified in pipeline.classifier.feed(tracked)
            for result in pipeline.smoother.feed(classified)
        ]
        faces = tuple(sorted(analyzed.result.faces, key=lambda face: face.id))
        return LiveResult(*frame.size, faces, analyzed.others)


def _plain(face: TrackedFace) -> dict[str, Any]:
    """As `TrackedFace.to_dict` without key points, and with four digits, which is what a screen needs."""
    values = face.to_dict()
    del values["keypoints"], values["detected"], values["change"]
    return {name: _rounded(value) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value
