"""Where a clip is cut from one scene to another, found on small copies of every decoded frame."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

# The size of the small copies: width, height.
THUMBNAIL = (32, 18)
# At a cut the copy changes by some levels on average, and so many times as much as in the frames before
# (a pan changes as much from frame to frame, but no frame much more than the last), and so large a share of
# it changes by so many levels (somebody who walks by close to the camera changes a part of it).
_TIMES, _STILL, _SHARE, _CHANGED = 3.0, 2.0, 0.5, 4.0
# So many levels in a clip, and on a page that sends few frames a second, between which more moves.
CLIP_LEVELS, PAGE_LEVELS = 6.0, 18.0
_BEFORE = 3  # so many changes before it are compared
_BLACK = 24  # what is darker in both frames is a border and does not count


class SceneCounter:
    """Numbers the scenes of a clip; feed it every frame, in order.

    Args:
        levels: the least change at a cut, in gray levels.
    """

    def __init__(self, levels: float = CLIP_LEVELS) -> None:
        self._levels, self._scene = levels, 0
        self._thumbnail: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=_BEFORE)

    def feed(self, thumbnail: NDArray[np.uint8]) -> int:
        """The scene, from 0, to which a frame belongs; `thumbnail` is its RGB copy, uint8 (18, 32, 3)."""
        now, before = thumbnail.astype(np.float32), self._thumbnail
        self._thumbnail = now
        if before is None:
            return self._scene
        lit = np.maximum(now, before).max(axis=2) > _BLACK
        difference = np.abs(now - before).max(axis=2)[lit]
        change = float(difference.mean()) if lit.any() else 0.0
        share = float((difference > _CHANGED).mean()) if lit.any() else 0.0
        usual = max(self._changes, default=0.0)
        known = bool(self._changes)  # the first change of all may be of a pan that goes on
        self._scene += (
            known and change > self._levels and change > _TIMES * (usual + _STILL) and share > _SHARE
        )
        self._changes.append(change)
        return self._scene
