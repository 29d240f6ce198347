"""The measured framing frames a real face as FER2013's are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.detection.blazeface import BlazeFace
from mien.images.crop import FER2013_FRAMING, crop_box, crop_face
from mien.images.decode import read_image

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


def test_a_crop_reaches_from_the_forehead_to_the_chin_with_the_eyes_in_its_upper_half() -> None:
    """In FER2013 the eyes' median height is 0.40 of the side, the mouth's 0.78, by the same detector."""
    (face,) = BlazeFace(threads=1).detect(read_image(PHOTO).pixels)
    x, y, side = crop_box(face, FER2013_FRAMING)
    assert face.keypoints is not None
    eyes = (face.keypoints[0] + face.keypoints[1]) / 2
    mouth = face.keypoints[3]
    assert abs((eyes[0] - x) / side - 0.5) < 0.05
    assert abs((eyes[1] - y) / side - 0.40) < 0.05
    assert abs((mouth[1] - y) / side - 0.78) < 0.05


def test_a_crop_of_a_crop_keeps_the_face_where_it_is() -> None:
    """An image framed as FER2013's, enlarged and found again, gives nearly the same square."""
    picture = read_image(PHOTO).pixels
    detector = BlazeFace(threads=1)
    (face,) = detector.detect(picture)
    close = crop_face(picture, face, FER2013_FRAMING, size=192)
    canvas = np.full((400, 400, 3), int(close.mean()), np.uint8)
    canvas[104:296, 104:296] = close[:, :, None]
    (again,) = detector.detect(canvas)
    x, y, side = crop_box(again, FER2013_FRAMING)
    assert abs(side / 192 - 1) < 0.1
    assert abs(x + side / 2 - 200) < 0.08 * 192
    assert abs(y + side / 2 - 200) < 0.08 * 192
