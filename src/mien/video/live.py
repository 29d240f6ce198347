"""Frames of a stream in, followed faces out: one reader a stream, asked one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.geometry import Box, Detection
from mien.images.crop import FER2013_FRAMING, crop_face
from mien.images.decode import read_image
from mien.inference.analyzer import Analyzer
from mien.inference.face import read_face
from mien.serve.images.uploads import Upload
from mien.video.results import TrackedFace
from mien.video.smoothing import CausalSmoother, Smoothing
from mien.video.tracker import Track, Tracker, appearance_of

# So long the place of a face that is not seen any more stays hidden where others are to be blurred.
_HIDE_UNSEEN_S = 1.0


@dataclass(frozen=True)
class LiveResult:
    """What one frame shows.

    Attributes:
        width, height: of the frame, in pixels.
        faces: those followed, by their number.
        unconfirmed: boxes where a face may be: just found, or lost a moment ago. They are blurred too.
    """

    width: int
    height: int
    faces: tuple[TrackedFace, ...]
    unconfirmed: tuple[Box, ...]

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values for JSON."""
        return {
            "width": self.width,
            "height": self.height,
            "faces": [_plain(face) for face in self.faces],
            "unconfirmed": [[round(value, 1) for value in box] for box in self.unconfirmed],
        }


class LivePipeline:
    """Reads the frames of one stream and remembers who was where.

    Args:
        max_pixels: of a frame, by its header.
        smoothing: of each face's probabilities over time.
    """

    def __init__(self, *, max_pixels: int, smoothing: Smoothing | None = None) -> None:
        self._max_pixels = max_pixels
        self._smoothing = smoothing or Smoothing()
        self._head: str | None = None
        self._tracker = Tracker()
        self._smoothed: dict[int, CausalSmoother] = {}
        self._last_s: float | None = None

    def read(self, frame: bytes, time_s: float, analyzer: Analyzer) -> LiveResult:
        """The faces in a frame (JPEG or another format of pictures) taken at a time, in seconds.

        Time that runs backward, as when a clip is wound back, begins a new scene; so does another label set.

        Raises:
            ImageError: the frame cannot be read.
        """
        pixels = read_image(Upload(frame, "the frame"), max_pixels=self._max_pixels).pixels
        head = analyzer.classifier.head
        if self._last_s is not None and time_s < self._last_s:
            self._forget()
        if head.name != self._head:
            self._smoothed, self._head = {}, head.name
        self._last_s = time_s
        detections = analyzer.detector.detect(pixels)
        crops = _crops(pixels, detections, analyzer)
        tracks = self._tracker.update(
            time_s, [found.box for found in detections], [appearance_of(crop) for crop in crops]
        )
        rows = analyzer.classifier.predict(np.stack(crops)) if crops else ()
        faces, unconfirmed = [], list(self._tracker.unseen(time_s, _HIDE_UNSEEN_S).values())
        for track, found, row in zip(tracks, detections, rows, strict=True):
            smoothed = self._smooth(track, time_s, row)
            if track.face_id is None:
                unconfirmed.append(found.box)
                continue
            face = read_face(
                smoothed, head, box=found.box, confidence=found.confidence, keypoints=found.keypoints
            )
            faces.append(TrackedFace(track.face_id, face, read_face(row, head, box=found.box)))
        self._prune()
        height, width = pixels.shape[:2]
        return LiveResult(width, height, tuple(sorted(faces, key=lambda face: face.id)), tuple(unconfirmed))

    def _forget(self) -> None:
        self._tracker, self._smoothed, self._last_s = Tracker(), {}, None

    def _smooth(self, track: Track, time_s: float, row: NDArray[np.float32]) -> NDArray[np.float32]:
        causal = self._smoothed.setdefault(track.number, CausalSmoother(self._smoothing))
        return causal.step(time_s, row)

    def _prune(self) -> None:
        """Forget the rows of faces that the tracker gave up, so that a stream may last for days."""
        followed = {track.number for track in self._tracker.tracks}
        self._smoothed = {number: rows for number, rows in self._smoothed.items() if number in followed}


def _crops(
    pixels: NDArray[np.uint8], detections: list[Detection], analyzer: Analyzer
) -> list[NDArray[np.uint8]]:
    card = analyzer.classifier.card
    framing = card.framing or FER2013_FRAMING
    return [
        crop_face(pixels, found, framing, size=card.input_size, align=analyzer.align) for found in detections
    ]


def _plain(face: TrackedFace) -> dict[str, Any]:
    """As `TrackedFace.to_dict` without key points, and with four digits, which is what a screen needs."""
    values = face.face.to_dict()
    return {
        "face_id": face.id,
        "box": values["box"],
        "confidence": round(values["confidence"], 4),
        "top": values["top"],
        "uncertain": values["uncertain"],
        "emotions": _rounded(values["emotions"]),
        "abstentions": _rounded(values["abstentions"]),
        "raw": {"emotions": _rounded(face.raw.emotions), "abstentions": _rounded(face.raw.abstentions)},
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
