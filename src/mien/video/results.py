"""The results of a clip: the faces of each frame, with stable identities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mien.emotions import column_name
from mien.geometry import Box
from mien.inference.face import Face
from mien.inference.sinks import warnings_cell
from mien.video.frame import Frame


@dataclass(frozen=True)
class TrackedFace:
    """A face in one frame of a clip, of a person who keeps their number while they are tracked.

    Attributes:
        id: the person's number, from 1; it links the frames of a clip and identifies nobody.
        face: box and apparent expression, smoothed over time: what should be shown.
        raw: the same from this frame alone.
        detected: whether the detector ran on this frame; otherwise the box is interpolated.
        change: by how many gray levels the face differs from when it appeared, on 8 x 8 pixels.
        corrected: whether a person set the emotion, see `mien.apply_corrections`.
    """

    id: int
    face: Face
    raw: Face
    detected: bool = True
    change: float = 0.0
    corrected: bool = False

    @property
    def box(self) -> Box:
        """(x, y, width, height) in pixels of the frame."""
        return self.face.box

    @property
    def top(self) -> tuple[str, float]:
        """The most probable emotion, smoothed over time, and its probability."""
        return self.face.top

    def to_dict(self) -> dict[str, Any]:
        """The face as plain values for JSON: as `Face.to_dict`, with those of this frame alone."""
        return {
            "face_id": self.id,
            **self.face.to_dict(),
            "detected": self.detected,
            "change": self.change,
            "raw": {"emotions": dict(self.raw.emotions), "abstentions": dict(self.raw.abstentions)},
        }

    def row(self) -> dict[str, Any]:
        """The face as a row of a table: smoothed, then with ``raw_`` those of this frame alone."""
        row = self.face.to_row()
        shares = (self.raw.emotions | self.raw.abstentions).items()
        raw = {column_name(name): round(share, 6) for name, share in shares}
        smooth = [name for name in (*raw, "valence") if name in row]
        row |= {name: round(row[name], 6) for name in smooth} | {f"raw_{n}": p for n, p in raw.items()}
        if row["confidence"] is not None:
            row["confidence"] = round(row["confidence"], 4)
        row |= {"detected": self.detected, "change": round(self.change, 2)}
        return {"face_id": self.id, **row, "warnings": warnings_cell(self.face)}


@dataclass(frozen=True)
class FrameResult:
    """A frame of a clip and the faces in it (none is a result too), the largest first.

    Attributes:
        source: the clip.
        frame: the frame's number in it, from 0.
        time_s: when it is shown, in seconds since the clip's beginning.
        faces: those that were tracked for long enough to be confirmed.
    """

    source: str
    frame: int
    time_s: float
    faces: tuple[TrackedFace, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values for JSON."""
        return {
            "source": self.source,
            "frame": self.frame,
            "time_s": self.time_s,
            "faces": [face.to_dict() for face in self.faces],
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row per face; one row without a face where there is none. Probabilities have six decimals."""
        place = {"source": self.source, "frame": self.frame, "time_s": round(self.time_s, 6)}
        if not self.faces:
            yield place
        for face in self.faces:
            yield place | face.row()


@dataclass(frozen=True, eq=False)
class AnalyzedFrame:
    """A result with what drawing needs besides.

    Attributes:
        result: what users get.
        frame: the frame itself, where `keep_frames` keeps it.
        others: boxes of all other faces, confirmed or not, and of those that vanished a moment ago.
        thumbnails: face number to a small JPEG of it, now and then.
    """

    result: FrameResult
    frame: Frame | None
    others: tuple[Box, ...]
    thumbnails: dict[int, bytes]
