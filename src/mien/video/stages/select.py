"""The faces of a clip that are reported: all, or the biggest, without hopping from one to another."""

from __future__ import annotations

from collections.abc import Sequence

from mien.errors import UsageError
from mien.video.options.clips import FaceSelection
from mien.video.results import TrackedFace

# Somebody else becomes the biggest when their box has so many times the area, for so long, or at once when
# the one who was it has been gone for that long.
_BIGGER, _FOR_S, _GONE_S = 1.3, 0.5, 1.0


class FaceSelector:
    """Selects the faces to report, one frame after another.

    Raises:
        UsageError: `which` is neither ``"all"`` nor ``"biggest"``.
    """

    def __init__(self, which: FaceSelection = "all") -> None:
        if which not in ("all", "biggest"):
            raise UsageError(f"faces must be all or biggest, not {which!r}.")
        self._all = which == "all"
        self._person: int | None = None
        self._seen_s = 0.0
        self._rival: tuple[int, float] | None = None

    @property
    def person(self) -> int | None:
        """Whose face is the biggest now; None where all are reported, or nobody was seen yet."""
        return self._person

    def choose(self, time_s: float, faces: Sequence[TrackedFace]) -> list[TrackedFace]:
        """Those of a frame's faces, the largest first, that are reported."""
        if self._all:
            return list(faces)
        if faces:
            self._follow(time_s, faces)
        return [face for face in faces if face.id == self._person]

    def _follow(self, time_s: float, faces: Sequence[TrackedFace]) -> None:
        largest = faces[0]
        mine = next((face for face in faces if face.id == self._person), None)
        if mine is None:
            if self._person is None or time_s - self._seen_s > _GONE_S:
                self._turn_to(largest, time_s)
            return
        self._seen_s = time_s
        if _area(largest) < _BIGGER * _area(mine):
            self._rival = None
        elif self._rival is None or self._rival[0] != largest.id:
            self._rival = (largest.id, time_s)
        elif time_s - self._rival[1] >= _FOR_S:
            self._turn_to(largest, time_s)

    def _turn_to(self, face: TrackedFace, time_s: float) -> None:
        self._person, self._seen_s, self._rival = face.id, time_s, None


def _area(face: TrackedFace) -> float:
    return face.box[2] * face.box[3]
