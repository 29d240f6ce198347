"""BlazeFace (back camera): the detector that ships, run by ONNX Runtime.

Source: Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs"; the
weights are MediaPipe's face_detection_back, converted by scripts/convert_blazeface.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.detection import tiling
from mien.detection.face_check import LIMIT, FaceCheck
from mien.detection.postprocess import (
    SAME_FACE_IOU,
    FaceRows,
    decode,
    iou_with,
    logit,
    merge,
    no_faces,
    sigmoid,
    without_parts,
)
from mien.errors import ImageError, UsageError
from mien.geometry import Detection
from mien.images.crop import FER2013_FRAMING, face_square, on_grid, sample_square
from mien.models.registry import FOLDER, expected_hash
from mien.models.runtime import CPU, onnxruntime, open_session, run_session

WEIGHTS = FOLDER / "blazeface-back.onnx"

# The side of the input that the network was trained for.
INPUT = 256
# Beyond this size, in pixels of the input, its boxes shift and then stop growing: measured on twelve
# photos enlarged step by step, within 3 % up to 140 and 7 % off at 160.
LARGEST = 140
# At half that size only faces from here on are kept: those that are too large for the first pass.
LARGEST_AGAIN = 120
# A detection with this confidence needs no check, unless it comes from a tile.
CONFIDENT = 0.75
# The check of a face: a square of twice the box at 96 px. Of nine ways tried on 12-megapixel images, this
# one had the fewest false detections at the same recall, together with the first pass's score.
CHECK_SIDE, CHECK_SIZE = 2.0, 96
# How far below the threshold, in logits, a detection is still checked; and the weight of the first pass's
# score beside that of the check, which sees the face at 48 px and is more reliable. In 70 images with 420
# faces of low resolution this finds 327 faces; a margin of 1.1 and equal weights find 299. In 102 images
# without people it leaves 13 false detections instead of 11. It costs between 0.2 and 1 more run per image.
CHECK_MARGIN, FIRST_WEIGHT = 1.5, 0.3
# The same for detections in tiles, of which there are many more.
TILE_CHECK_MARGIN, FIRST_WEIGHT_IN_TILE = 1.1, 0.5
# How far above it, in logits, a detection in a tile must be: a large image has many more chances to err. On
# 15 images of 2 to 12 megapixels 5 of 14 false detections are left, and all 96 faces from photos.
TILE_MARGIN = 0.25
# A detection below this confidence must also be a face for the network of `mien.detection.face_check`.
SURE = 0.9


class BlazeFace:
    """Finds faces from about `min_face` pixels up, with six key points each.

    An image is searched as a whole at 256 px, and each detection of low confidence is checked by itself.
    Of 210 faces of FER2013 pasted into 35 images of 640 by 480 (tight crops, 22 to 48 px at that size) the
    check finds 167 instead of 122, and on 42 images without people it leaves 6 of 11 false detections. (At
    512 px one pass finds 202 of them, with 31 false detections, and takes four times as long.) If a face
    fills the image, or none is found, the image is searched again at half that size: the network expects
    some surroundings. If the image is so large that a face of `min_face` would vanish, it is also searched
    in finer tiles, where each detection must be confirmed by a check.

    Args:
        threads: how many tiles of a large image are searched at once; one per core for None. One pass runs
            on one thread: on two it is 2 ms faster, but costs the work around it more than that.
        threshold: on the confidence of a face, 0..1.
        min_face: side, in pixels, of the smallest faces to search for in large images; None searches
            every image as a whole only. At 640 by 480 it makes no difference.
        providers: ONNX Runtime's execution providers; the CPU for None.
        session_options: ONNX Runtime's session options, instead of one thread.
        check_faces: leave out detections below a confidence of 0.9 whose crop is no face for
            `mien.detection.face_check`.
        weights: the ONNX file, as scripts/convert_blazeface.py writes it.

    Raises:
        UsageError: an argument out of range.
    """

    def __init__(
        self,
        threads: int | None = None,
        threshold: float = 0.5,
        *,
        min_face: float | None = 40.0,
        providers: Sequence[Any] | None = None,
        session_options: onnxruntime.SessionOptions | None = None,
        check_faces: bool = True,
        weights: Path = WEIGHTS,
    ) -> None:
        if not 0 <= threshold <= 1:
            raise UsageError(f"the detector's threshold must lie in 0..1, not {threshold}.")
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}.")
        if min_face is not None and min_face <= 0:
            raise UsageError(f"min_face must be a number of pixels above 0, or None, not {min_face}.")
        self._remake = partial(
            BlazeFace,
            threads,
            threshold,
            min_face=min_face,
            providers=providers,
            session_options=session_options,
            check_faces=check_faces,
            weights=weights,
        )
        self.threads = threads or os.cpu_count() or 1
        self.threshold = threshold
        self._least = logit(threshold)
        self.min_face = min_face
        self._session = open_session(
            weights,
            threads=1,
            providers=providers or (CPU,),
            options=session_options,
            sha256=expected_hash(weights),
        )
        self._face_check = FaceCheck() if check_faces else None

    def __repr__(self) -> str:
        return f"BlazeFace(threshold={self.threshold}, min_face={self.min_face})"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._remake, ()

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[Detection]:
        """The faces in an image uint8 (H, W, 3), the most confident first; an empty list if there are none.

        Boxes are square, in pixels of the image, and may reach beyond it.

        Raises:
            ImageError: the array is not uint8 (H, W, 3).
        """
        if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
            raise ImageError(
                f"a detector takes RGB pixels, uint8 (H, W, 3), not {image_rgb.dtype} {image_rgb.shape}."
            )
        image = Image.fromarray(np.ascontiguousarray(image_rgb))
        whole, *finer = tiling.scales(image.width, image.height, INPUT, self.min_face)
        passes = [self._search_whole(image, image_rgb, whole)]
        coarser = whole
        for scale in finer:
            passes.append(self._search_tiles(image, image_rgb, scale, coarser))
            coarser = scale
        detections = [_detection(face) for face in without_parts(merge(np.concatenate(passes)))]
        return self._without_mistakes(image_rgb, detections)

    def _without_mistakes(self, image_rgb: NDArray[np.uint8], detections: list[Detection]) -> list[Detection]:
        """The detections that are confident, or whose crop is a face."""
        unsure = [each for each in detections if each.confidence < SURE]
        if self._face_check is None or not unsure:
            return detections
        crops = np.stack([face_square(image_rgb, each, FER2013_FRAMING) for each in unsure])
        is_face = self._face_check.check(crops).face >= LIMIT
        mistakes = {id(each) for each, face in zip(unsure, is_face, strict=True) if not face}
        return [each for each in detections if id(each) not in mistakes]

    def _search_whole(self, image: Image.Image, image_rgb: NDArray[np.uint8], scale: float) -> FaceRows:
        """The faces at the scale that fits the image into the input, large ones measured at half of it."""
        first = merge(self._search(image, scale, INPUT, self._least - CHECK_MARGIN))
        large = _widths(first) > LARGEST / scale
        confident = first[:, 16] >= max(CONFIDENT, self.threshold)
        checked = [
            self._check(image_rgb, face, self._least, FIRST_WEIGHT) for face in first[~large & ~confident]
        ]
        faces = np.concatenate([first[~large & confident], *checked])
        if len(faces) and not large.any():
            return faces
        # A margin of a quarter is enough around a half-size image.
        again = merge(self._search(image, scale / 2, INPUT * 3 // 4, self._least))
        again = again[_widths(again) > LARGEST_AGAIN / scale]
        alone = [face[None] for face in first[large] if not (iou_with(face, again) > SAME_FACE_IOU).any()]
        return np.concatenate([faces, again, *(face for face in alone if face[0, 16] > self.threshold)])

    def _search(self, image: Image.Image, scale: float, side: int, least: float) -> FaceRows:
        """The faces in the image, resized and placed in the middle of a black square of `side`."""
        canvas, x, y = tiling.letterbox(image, scale, side)
        return tiling.to_image(self._run(canvas, least), image, scale, (x, y))

    def _search_tiles(
        self, image: Image.Image, image_rgb: NDArray[np.uint8], scale: float, coarser: float
    ) -> FaceRows:
        """The faces that are too small for the coarser scale, each confirmed by a check."""
        level = tiling.resized(image, scale)
        largest = tiling.SMALLEST * tiling.MARGIN * scale / coarser
        tiles = tiling.tiles(level.width, level.height, largest)
        search = partial(self._search_tile, level, largest=largest)
        if self.threads > 1 and len(tiles) > 1:
            with ThreadPoolExecutor(min(self.threads, len(tiles))) as pool:
                parts = list(pool.map(search, tiles))
        else:
            parts = [search(tile) for tile in tiles]
        faces = tiling.to_image(merge(np.concatenate(parts)), image, scale, (0, 0))
        least = self._least + TILE_MARGIN
        confirmed = [self._check(image_rgb, face, least, FIRST_WEIGHT_IN_TILE) for face in faces]
        return np.concatenate([no_faces(), *confirmed])

    def _search_tile(self, level: Image.Image, tile: tiling.Tile, *, largest: float) -> FaceRows:
        """The faces of one tile in pixels of its level, without those that a tile's edge cuts."""
        faces = self._run(tile.pixels(level), self._least - TILE_CHECK_MARGIN)
        faces = faces[(_widths(faces) <= largest) & tile.contains(faces)]
        faces[:, :16] += _shift(tile.left, tile.top)
        return faces

    def _check(
        self, image_rgb: NDArray[np.uint8], face: FaceRows, least: float, first_weight: float
    ) -> FaceRows:
        """The face as detected in the middle of its own square, one row, or none if it is not confirmed.

        Its score is the weighted mean of both logits, the first with `first_weight` of 1, and must reach
        `least`.
        """
        side = on_grid(float(max(face[2] - face[0], face[3] - face[1])) * CHECK_SIDE)
        x, y = (on_grid((float(face[i] + face[i + 2]) - side) / 2) for i in (0, 1))
        square = np.asarray(sample_square(image_rgb, x, y, side, CHECK_SIZE))
        first = logit(float(face[16]))
        seen = merge(self._run(square, (least - first_weight * first) / (1 - first_weight)))
        seen[:, :16] = seen[:, :16] * (side / CHECK_SIZE) + _shift(x, y)
        seen = seen[iou_with(face, seen) > SAME_FACE_IOU][:1]
        for row in seen:
            row[16] = sigmoid(first_weight * first + (1 - first_weight) * logit(float(row[16])))
        return seen

    def _run(self, image: NDArray[np.uint8], least: float) -> FaceRows:
        """The faces above a score in an input uint8 (H, W, 3), sides multiples of 32, in its pixels."""
        boxes, scores = run_session(
            self._session, ("boxes", "scores"), {"image": image[None]}, "the detector"
        )
        return decode(boxes[0], scores[0], image.shape[:2], least)


def _widths(faces: FaceRows) -> NDArray[np.float32]:
    return np.asarray(faces[:, 2] - faces[:, 0])


def _shift(x: float, y: float) -> NDArray[np.float32]:
    """What moves the sixteen coordinates of a row by x and y."""
    return np.tile(np.array([x, y], dtype=np.float32), 8)


def _detection(face: FaceRows) -> Detection:
    left, top, right, bottom = (float(value) for value in face[:4])
    keypoints = face[4:16].reshape(6, 2).copy()
    return Detection((left, top, right - left, bottom - top), float(face[16]), keypoints)
