"""A small network that checks crops of detected faces: is it a face, is a part of it covered, is it moved?

It was trained by scripts/train_face_check.py, on the crops that the emotion models see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.geometry import Detection
from mien.images.crop import FER2013_FRAMING, face_square
from mien.images.quality import Quality
from mien.models.card import Framing
from mien.models.registry import FOLDER, expected_hash
from mien.models.runtime import open_session, run_session

WEIGHTS = FOLDER / "face-check.onnx"
# The side of the crops, in the framing of FER2013.
SIDE = 48
# Each output is shifted so that its limit is 0.5. Of FER2013's PublicTest, 99.8 % count as faces, 1 % as
# covered and 1 % as moved; face-check.json has what is found.
LIMIT = 0.5
LIMITS = {"covered": (None, LIMIT), "moved": (None, LIMIT)}


@dataclass(frozen=True, eq=False)
class Checks:
    """What the network predicts for N crops; each float32 (N,), 0..1, with the limit at `LIMIT`.

    Attributes:
        face: that there is a human face.
        covered: that a part of the face is covered, by a mask, a hand, sunglasses or another object.
        moved: that the face is smeared by motion.
    """

    face: NDArray[np.float32]
    covered: NDArray[np.float32]
    moved: NDArray[np.float32]


class FaceCheck:
    """Checks face crops; a thousand take about half a second on one core.

    Raises:
        CardError: the network's file or the JSON beside it is damaged.
    """

    def __init__(self) -> None:
        self._session = open_session(WEIGHTS, threads=1, sha256=expected_hash(WEIGHTS))

    def check(self, crops: NDArray[np.uint8]) -> Checks:
        """Checks of gray crops, uint8 (N, 48, 48), as `mien.images.crop.face_square` cuts them.

        Raises:
            UsageError: crops of another type or shape.
            ModelError: ONNX Runtime fails.
        """
        if crops.dtype != np.uint8 or crops.ndim != 3 or crops.shape[1:] != (SIDE, SIDE):
            raise UsageError(
                f"the face check takes crops uint8 (N, {SIDE}, {SIDE}), not {crops.dtype} {crops.shape}."
            )
        if not len(crops):
            none = np.empty(0, np.float32)
            return Checks(none, none, none)
        (values,) = run_session(self._session, ("checks",), {"pixels": crops}, "the face check")
        return Checks(values[:, 0], values[:, 1], values[:, 2])

    def complete(
        self, qualities: Sequence[Quality], crops: Sequence[NDArray[np.uint8]]
    ) -> tuple[Quality, ...]:
        """The qualities with `covered` and `moved`; crops as for `check`, one per quality.

        Raises:
            UsageError, ModelError: as `check`.
        """
        if not qualities:
            return ()
        checks = self.check(np.stack(crops))
        pairs = zip(qualities, checks.covered.tolist(), checks.moved.tolist(), strict=True)
        return tuple(replace(quality, covered=covered, moved=moved) for quality, covered, moved in pairs)


def check_crops(
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    squares: Sequence[NDArray[np.uint8]],
    framing: Framing,
) -> Sequence[NDArray[np.uint8]]:
    """The crops of faces as `FaceCheck.check` takes them, from an image RGB (H, W, 3) or gray (H, W).

    `squares` are the model's crops in `framing`, before they are made brighter; they serve if size and
    framing are the same.
    """
    if framing == FER2013_FRAMING and all(square.shape == (SIDE, SIDE) for square in squares):
        return squares
    return [face_square(image, detection, FER2013_FRAMING, size=SIDE) for detection in detections]
