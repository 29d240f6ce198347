from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

import mien
from mien.emotions import EMOTION_COLOURS, FERPLUS
from mien.geometry import Box
from mien.images.decode import read_image
from mien.inference.annotate import draw
from mien.inference.face import Face


def face(box: Box, top: str = "happy", probability: float = 0.9) -> Face:
    rest = (1 - probability) / 7
    return Face(box, 0.9, {name: probability if name == top else rest for name in FERPLUS})


def changed(before: np.ndarray, faces: list[Face]) -> np.ndarray:
    """A mask (H, W) of the pixels that drawing changed."""
    after = np.asarray(draw(before, faces))
    assert after.shape == before.shape
    return (after != before).any(axis=2)


def white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def test_an_image_is_drawn_on_whatever_its_source_and_can_be_saved(tmp_path: Path) -> None:
    pixels = np.full((400, 500, 3), 90, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    faces = [face((200, 100, 150, 200))]
    mien.draw(tmp_path / "in.png", faces).save(tmp_path / "out.png")
    assert (read_image(tmp_path / "out.png").pixels == np.asarray(mien.draw(pixels, faces))).all()


def test_an_image_without_faces_stays_as_it_is() -> None:
    assert not changed(white(400, 500), []).any()


def test_the_box_is_drawn_where_the_face_is_in_the_emotions_colour() -> None:
    drawn = np.asarray(draw(white(480, 640), [face((200, 100, 150, 200), "sad")]))
    assert tuple(drawn[200, 200]) == ImageColor.getrgb(EMOTION_COLOURS["sad"])
    assert tuple(drawn[200, 350]) == ImageColor.getrgb(EMOTION_COLOURS["sad"])


def test_the_face_itself_is_not_covered_where_there_is_room() -> None:
    assert not changed(white(480, 640), [face((200, 100, 150, 200))])[110:290, 210:340].any()


@pytest.mark.parametrize(
    "box",
    [(0, 0, 120, 120), (520, 360, 120, 120), (-40, -40, 160, 160), (580, 200, 120, 120), (0, 0, 640, 480)],
    ids=["top left", "bottom right", "beyond the top left", "beyond the right", "the whole picture"],
)
def test_a_label_at_the_edge_is_not_cut(box: Box) -> None:
    """As many pixels of white text and bars as in a label with room all around; the ground is gray."""
    gray = np.full((480, 640, 3), 128, np.uint8)

    def text_pixels(box: Box) -> int:
        return int((np.asarray(draw(gray, [face(box)])).min(axis=2) > 200).sum())

    assert text_pixels((250, 150, 120, 120)) > 300
    assert text_pixels(box) == pytest.approx(text_pixels((250, 150, 120, 120)), rel=0.03)


def test_labels_of_neighbours_do_not_cover_each_others_faces() -> None:
    boxes = [(20.0 + 150 * i, 100.0, 100.0, 120.0) for i in range(4)]
    mask = changed(white(480, 640), [face(box) for box in boxes])
    for x, y, width, height in boxes:
        assert not mask[int(y) + 8 : int(y + height) - 8, int(x) + 8 : int(x + width) - 8].any()


def test_a_small_image_is_enlarged_until_its_label_can_be_read() -> None:
    drawn = draw(white(48, 48), [face((0, 0, 48, 48))])
    assert drawn.size == (336, 336)


def test_a_long_strip_is_not_enlarged_without_end() -> None:
    assert draw(white(4, 3000), [face((0, 0, 4, 4))]).size == (3000, 4)


def test_an_unsure_face_is_marked() -> None:
    sure, unsure = (
        np.asarray(draw(white(480, 640), [face((200, 100, 150, 200), probability=p)])) for p in (0.51, 0.5)
    )
    assert (sure != unsure).any()


def test_a_face_that_is_hard_to_see_has_the_words_in_its_label() -> None:
    ground, plain = white(480, 640), face((200, 100, 150, 200))
    warned = replace(plain, warnings=("covered", "looking down"))
    heights = [changed(ground, [it])[:, 400:].any(axis=1).sum() for it in (plain, warned)]
    assert heights[1] > heights[0] + 2 * 15


def test_colours_contrast_with_the_panel_and_differ_from_each_other() -> None:
    """Contrast of 4.5:1, what WCAG 2.2 asks of text; and no two colours alike."""

    def luminance(colour: tuple[int, ...]) -> float:
        parts = np.array(colour) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    panel_on_white = (49, 50, 54)
    for colour in EMOTION_COLOURS.values():
        assert (luminance(ImageColor.getrgb(colour)) + 0.05) / (luminance(panel_on_white) + 0.05) >= 4.5
    assert set(EMOTION_COLOURS) == set(FERPLUS)
    assert len(set(EMOTION_COLOURS.values())) == len(EMOTION_COLOURS)
