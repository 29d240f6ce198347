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

from mien.detection import tiling as pyramid
from mien.detection.postprocess import (
    SAME_FACE_IOU,
    Faces,
    decode,
    logit,
    merge,
    no_faces,
    overlap,
    sigmoid,
    without_parts,
)
from mien.errors import ImageError, UsageError
from mien.geometry import Detection
from mien.images.crop import sample_square
from mien.models.registry import FOLDER
from mien.models.runtime import CPU, onnxruntime, open_session

WEIGHTS = FOLDER / "blazeface-back.onnx"

# The side of the input that the network was trained for.
INPUT = 256
# Beyond this size, in pixels of the input, its boxes shift and then stop growing: measured on twelve
# photos enlarged step by step, within 3 % up to 140 and 7 % off at 160.
LARGEST = 140
# At half that size only faces are taken from here on that the first look is not to be trusted with.
LARGEST_AGAIN = 120
# A find as sure as this needs no second look, unless it comes from a tile.
SURE = 0.75
# The second look at a face: a square of twice the box at 96 px. Of nine ways tried on 12-megapixel
# pictures, the one with the fewest false finds at the same recall, together with the first look's score.
LOOK_SIDE, LOOK_SIZE = 2.0, 96
# How far below the threshold, in logits, a find is still worth a second look; and what the first look then
# weighs beside the second, which sees the face at 48 px and knows better. In 70 pictures with 420 faces of
# low resolution this finds 327 where a margin of 1.1 and equal weights find 299; in 102 pictures without
# people it leaves 13 false finds in place of 11, and it costs from a fifth of a look to one more a picture.
LOOK_MARGIN, FIRST_LOOK = 1.5, 0.3
# The same for finds in tiles, of which there are many more.
TILE_LOOK_MARGIN, FIRST_LOOK_IN_TILE = 1.1, 0.5
# How far above it, in logits, a find in a tile must be: a large picture has many more places to err. On
# 15 pictures of 2 to 12 megapixels 5 of 14 false finds are left, and all 96 faces from photos.
TILE_MARGIN = 0.25


class BlazeFace:
    """Finds faces from about `min_face` pixels up, with six key points each.

    A picture is looked at as a whole, at 256 px, and each find that is not sure once more by itself: of
    210 faces of FER2013 pasted into 35 pictures of 640 by 480, tight crops that are 22 to 48 px at that
    size, that finds 167 in place of 122, and on 42 pictures without people it leaves 6 of 11 false
    finds. (At 512 px a single look finds 202 of them, with 31 false finds, and takes four times as long.)
    If a face fills the picture, or none is found, it is looked at once more at half that size: the
    network expects some surroundings. If the picture is so large that a face of `min_face` would vanish,
    it is also searched in finer tiles, where each find must be confirmed by a look of its own.

    Args:
        threads: how many tiles of a large picture are searched at once; one a core for None. A single
            look runs on one thread: on two it is 2 ms faster, but idle threads of ONNX Runtime
            spin and take more than that from the work around it.
        threshold: on the confidence of a face, 0..1.
        min_face: side, in pixels, of the smallest faces to look for in large pictures; None looks at
            every picture as a whole only. At 640 by 480 it makes no difference.
        providers: ONNX Runtime's execution providers; the CPU for None.
        session_options: ONNX Runtime's session options, in place of one quiet thread.
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
            weights=weights,
        )
        self.threads = threads or os.cpu_count() or 1
        self.threshold = threshold
        self._least = logit(threshold)
        self.min_face = min_face
        self._session = open_session(
            weights, threads=1, providers=providers or (CPU,), options=session_options
        )

    def __repr__(self) -> str:
        return f"BlazeFace(threshold={self.threshold}, min_face={self.min_face})"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._remake, ()

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[Detection]:
        """The faces in a picture uint8 (H, W, 3), the surest first; an empty list where there are none.

        Boxes are square, in pixels of the picture, and may reach beyond it.

        Raises:
            ImageError: the array is not uint8 (H, W, 3).
        """
        if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
            raise ImageError(
                f"a detector takes RGB pixels, uint8 (H, W, 3), not {image_rgb.dtype} {image_rgb.shape}."
            )
        picture = Image.fromarray(np.ascontiguousarray(image_rgb))
        whole, *finer = pyramid.scales(picture.width, picture.height, INPUT, self.min_face)
        found = [self._look_at_whole(picture, image_rgb, whole)]
        coarser = whole
        for scale in finer:
            found.append(self._search_tiles(picture, image_rgb, scale, coarser))
            coarser = scale
        return [_detection(face) for face in without_parts(merge(np.concatenate(found)))]

    def _look_at_whole(self, picture: Image.Image, image_rgb: NDArray[np.uint8], scale: float) -> Faces:
        """The faces at the scale that fits the picture into the input, large ones measured at half of it."""
        found = merge(self._look(picture, scale, INPUT, self._least - LOOK_MARGIN))
        large = _widths(found) > LARGEST / scale
        sure = found[:, 16] >= max(SURE, self.threshold)
        unsure = [
            self._look_again(image_rgb, face, self._least, FIRST_LOOK) for face in found[~large & ~sure]
        ]
        faces = np.concatenate([found[~large & sure], *unsure])
        if len(faces) and not large.any():
            return faces
        # A margin of a quarter is enough around a half-size picture.
        again = merge(self._look(picture, scale / 2, INPUT * 3 // 4, self._least))
        again = again[_widths(again) > LARGEST_AGAIN / scale]
        alone = [face[None] for face in found[large] if not (overlap(face, again) > SAME_FACE_IOU).any()]
        return np.concatenate([faces, again, *(face for face in alone if face[0, 16] > self.threshold)])

    def _look(self, picture: Image.Image, scale: float, side: int, least: float) -> Faces:
        """The faces in the picture, resized and put in the middle of a black square of `side`."""
        canvas, x, y = pyramid.letterbox(picture, scale, side)
        return pyramid.to_picture(self._run(canvas, least), picture, scale, (x, y))

    def _search_tiles(
        self, picture: Image.Image, image_rgb: NDArray[np.uint8], scale: float, coarser: float
    ) -> Faces:
        """The faces that the coarser scale could not see, each confirmed by a second look."""
        level = pyramid.resized(picture, scale)
        largest = pyramid.SMALLEST * pyramid.MARGIN * scale / coarser
        tiles = pyramid.tiles(level.width, level.height, largest)
        search = partial(self._search_tile, level, largest=largest)
        if self.threads > 1 and len(tiles) > 1:
            with ThreadPoolExecutor(min(self.threads, len(tiles))) as pool:
                parts = list(pool.map(search, tiles))
        else:
            parts = [search(tile) for tile in tiles]
        faces = pyramid.to_picture(merge(np.concatenate(parts)), picture, scale, (0, 0))
        least = self._least + TILE_MARGIN
        confirmed = [self._look_again(image_rgb, face, least, FIRST_LOOK_IN_TILE) for face in faces]
        return np.concatenate([no_faces(), *confirmed])

    def _search_tile(self, level: Image.Image, tile: pyramid.Tile, *, largest: float) -> Faces:
        """The faces of one tile in pixels of its level, without those that a tile's edge cuts."""
        faces = self._run(tile.pixels(level), self._least - TILE_LOOK_MARGIN)
        faces = faces[(_widths(faces) <= largest) & tile.holds(faces)]
        faces[:, :16] += _shift(tile.left, tile.top)
        return faces

    def _look_again(
        self, image_rgb: NDArray[np.uint8], face: Faces, least: float, first_weight: float
    ) -> Faces:
        """The face as seen in the middle of its own square, one row, or none where it is not confirmed.

        Its score is the mean of both looks' logits, the first weighing `first_weight` of 1, and must reach
        `least`.
        """
        side = float(max(face[2] - face[0], face[3] - face[1])) * LOOK_SIDE
        x, y = (float(face[0] + face[2]) - side) / 2, (float(face[1] + face[3]) - side) / 2
        square = np.asarray(sample_square(image_rgb, x, y, side, LOOK_SIZE))
        first = logit(float(face[16]))
        seen = merge(self._run(square, (least - first_weight * first) / (1 - first_weight)))
        seen[:, :16] = seen[:, :16] * (side / LOOK_SIZE) + _shift(x, y)
        seen = seen[overlap(face, seen) > SAME_FACE_IOU][:1]
        for row in seen:
            row[16] = sigmoid(first_weight * first + (1 - first_weight) * logit(float(row[16])))
        return seen

    def _run(self, image: NDArray[np.uint8], least: float) -> Faces:
        """The faces above a score in an input uint8 (H, W, 3), sides multiples of 32, in its pixels."""
        boxes, scores = self._session.run(["boxes", "scores"], {"image": image[None]})
        return decode(boxes[0], scores[0], image.shape[:2], least)


def _widths(faces: Faces) -> NDArray[np.float32]:
    return np.asarray(faces[:, 2] - faces[:, 0])


def _shift(x: float, y: float) -> NDArray[np.float32]:
    """What moves the sixteen coordinates of a row by x and y."""
    return np.tile(np.array([x, y], dtype=np.float32), 8)


def _detection(face: Faces) -> Detection:
    left, top, right, bottom = (float(value) for value in face[:4])
    keypoints = face[4:16].reshape(6, 2).copy()
    return Detection((left, top, right - left, bottom - top), float(face[16]), keypoints)
