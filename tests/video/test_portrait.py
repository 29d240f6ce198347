from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from mien.geometry import Detection
from mien.images.crop import FER2013_FRAMING, crop_face
from mien.video.tracking.people import People
from mien.video.tracking.portrait import Portrait, alike, likeness, portrait_from, portrait_of

PHOTO = Image.open(Path(__file__).parents[2] / "examples" / "astronaut.jpg").convert("RGB")
BOX = (169.0, 65.0, 106.0, 106.0)


def portrait(image: Image.Image = PHOTO, *, dx: float = 0.0, grow: float = 1.0) -> Portrait:
    x, y, width, height = BOX
    box = (x + dx * width, y, width * grow, height * grow)
    pixels = np.asarray(image)
    return portrait_of(crop_face(pixels, Detection(box, 0.9, None), FER2013_FRAMING), pixels, box)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("a box a little off", portrait(dx=0.03)),
        ("a box a little larger", portrait(grow=1.04)),
        ("less light", portrait(ImageEnhance.Brightness(PHOTO).enhance(0.85))),
        ("out of focus", portrait(PHOTO.filter(ImageFilter.GaussianBlur(0.7)))),
    ],
)
def test_one_face_in_two_frames_is_more_likely_one_person_than_two(name: str, other: Portrait) -> None:
    assert likeness(portrait(), other) > 1.5


def test_another_face_is_more_likely_another_person() -> None:
    other = ImageOps.flip(PHOTO.crop((150, 30, 300, 180))).resize((512, 512))
    assert likeness(portrait(), portrait(other)) < -2


def test_other_clothes_and_hair_speak_against_one_person() -> None:
    pixels = np.array(PHOTO)
    pixels[:60] = (30, 90, 200)
    pixels[190:] = (30, 200, 90)
    assert likeness(portrait(), portrait(Image.fromarray(pixels))) < likeness(portrait(), portrait()) - 3


def test_half_a_face_is_compared_by_the_half_that_is_seen() -> None:
    right_half = portrait(PHOTO.crop((205, 0, 512, 400)), dx=-205 / BOX[2])
    assert 18 <= right_half.seen.sum() < 36
    assert alike(portrait(), right_half) > 0.8


def test_a_face_nearly_out_of_the_frame_is_like_nobody() -> None:
    rest = portrait(PHOTO.crop((245, 0, 512, 400)), dx=-245 / BOX[2])
    assert alike(portrait(), rest) == 0


def test_a_portrait_comes_back_from_its_bytes() -> None:
    again = portrait_from(portrait().raw)
    assert alike(portrait(), again) == pytest.approx(1)
    assert likeness(portrait(), again) == pytest.approx(likeness(portrait(), portrait()))


def test_nobody_is_known_who_is_present_and_nobody_at_all_if_people_are_not_recognized() -> None:
    people, strangers = People(), People(recognize=False)
    for known in (people, strangers):
        known.learn(known.new(), portrait())
    assert people.find([portrait(dx=0.02)], set()) == 1
    assert people.find([portrait(dx=0.02)], {1}) is None
    assert people.find([], set()) is None
    assert strangers.find([portrait()], set()) is None


def test_who_may_be_either_of_two_is_neither() -> None:
    people = People()
    for _ in range(2):
        people.learn(people.new(), portrait())
    assert people.find([portrait()], set()) is None
