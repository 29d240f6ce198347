"""Boxes, names and bars on a clip's frames: steady from frame to frame, and quick to draw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mien.emotions import EMOTION_COLOURS
from mien.geometry import Box
from mien.inference.annotate import (
    DARK,
    LEAST_FONT,
    WHITE,
    Font,
    draw_outline,
    draw_row,
    label_places,
    label_rows,
    line_width,
    overlap,
)
from mien.video.results import TrackedFace

Corners = tuple[int, int, int, int]  # left, top, right, bottom

_OPACITY = 0.86
_FONT_OF_SIDE = 1 / 34  # font size as a share of the frame's shorter side
_BARS = 3
# A blurred face is brought down to so many pixels across, with so much around its box.
_BLUR_PIXELS, _BLUR_AROUND = 6, 1.3


class ClipPainter:
    """Draws the faces of one clip. A label keeps to its side of the face while it has room there.

    Args:
        blur_others: make all faces unrecognisable that are not among the results.
    """

    def __init__(self, *, blur_others: bool = False) -> None:
        self._blur_others = blur_others
        self._sides: dict[int, int] = {}

    def paint(
        self, image_rgb: NDArray[np.uint8], faces: Sequence[TrackedFace], others: Sequence[Box] = ()
    ) -> NDArray[np.uint8]:
        """The frame, uint8 (H, W, 3), with its faces drawn, as a new array of the same size."""
        image = Image.fromarray(image_rgb)
        if self._blur_others:
            for box in others:  # where faces overlap, hiding comes before showing
                _blur(image, box)
        pen, em = ImageDraw.Draw(image), _em(image.size)
        for face in faces:
            left, top, right, bottom = _corners(face.box)
            box_on_image = (left, top, max(right, left + 2), max(bottom, top + 2))
            draw_outline(pen, box_on_image, _colour(face), line_width(image.size))
            _badge(pen, face, em)
        for face, place in zip(faces, self.layout(faces, image.size), strict=True):
            ground, panel = image.crop(place), _panel(face, em)
            image.paste(Image.blend(ground, Image.new("RGB", ground.size, DARK), _OPACITY), place[:2])
            image.paste(panel, place[:2], panel)
        return np.asarray(image)

    def layout(self, faces: Sequence[TrackedFace], size: tuple[int, int]) -> list[Corners]:
        """Where each face's label stands on a frame of this size: where it covers least."""
        em = _em(size)
        taken = [_corners(face.box) for face in faces]
        labels = []
        for face in faces:
            panel = _panel_size(face, em)
            gap = max(4, panel[1] // 16)
            options = label_places(_corners(face.box), panel, size, gap=gap, aside=gap, margin=0)
            places = [
                (round(left), round(top), round(right), round(low)) for left, top, right, low in options
            ]
            costs = [sum(overlap(place, other) for other in taken) for place in places]
            before = self._sides.get(face.id)
            side = before if before is not None and costs[before] == 0 else costs.index(min(costs))
            self._sides[face.id] = side
            labels.append(places[side])
            taken.append(places[side])
        alive = {face.id for face in faces}
        self._sides = {person: side for person, side in self._sides.items() if person in alive}
        return labels


def _em(size: tuple[int, int]) -> int:
    """The font size on a frame of this size."""
    return max(LEAST_FONT, round(min(size) * _FONT_OF_SIDE))


def _bars(face: TrackedFace, em: int) -> int:
    return _BARS if face.box[3] >= _BARS * 1.4 * em else 0


def _panel_size(face: TrackedFace, em: int) -> tuple[int, int]:
    bars = _bars(face, em)
    rows = min(max(bars, 1), len(face.face.emotions)) + len(face.face.warnings)
    return round((12 if bars else 9) * em), round(1.4 * em) * rows + round(0.6 * em)


def _panel(face: TrackedFace, em: int) -> Image.Image:
    """A label's text and bars on transparent ground, the most probable emotion first."""
    bars, size, font, row = _bars(face, em), _panel_size(face, em), _font(em), round(1.4 * em)
    ranked = sorted(face.face.emotions.items(), key=lambda item: -item[1])
    panel = Image.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(panel)
    left, right = round(0.45 * em), size[0] - round(0.45 * em)
    rows = label_rows(ranked, bars, uncertain=face.face.uncertain, warnings=face.face.warnings)
    for i, text in enumerate(rows):
        top = round(0.3 * em) + i * row
        y = top + row / 2
        bar = (left + 5.1 * em, y - 0.24 * em, right - 2.7 * em, y + 0.24 * em) if bars else None
        draw_row(pen, text, (left, top, right, top + row), font, first=i == 0, bar=bar)
    return panel


def _badge(pen: ImageDraw.ImageDraw, face: TrackedFace, em: int) -> None:
    """The person's number, on the box's upper left corner."""
    text = str(face.id)
    left, top, *_ = _corners(face.box)
    left, top = max(left - em // 3, 0), max(top - em // 3, 0)
    right = left + round((0.6 + 0.6 * len(text)) * em)
    pen.rectangle((left, top, right, top + round(1.2 * em)), fill=_colour(face))
    pen.text(((left + right) / 2, top + 0.6 * em), text, fill=DARK, font=_font(em), anchor="mm")


def _colour(face: TrackedFace) -> str:
    return EMOTION_COLOURS.get(face.top[0], WHITE)


@lru_cache(maxsize=8)
def _font(em: int) -> Font:
    return ImageFont.load_default(em)


def _blur(image: Image.Image, box: Box) -> None:
    """Make a face unrecognisable, for good: only a few averages of it are left."""
    x, y, width, height = box
    extra_x, extra_y = width * (_BLUR_AROUND - 1) / 2, height * (_BLUR_AROUND - 1) / 2
    left, top, right, bottom = _corners((x - extra_x, y - extra_y, width + 2 * extra_x, height + 2 * extra_y))
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, image.width), min(bottom, image.height)
    if right <= left or bottom <= top:
        return
    few = image.crop((left, top, right, bottom)).resize((_BLUR_PIXELS, _BLUR_PIXELS), Image.Resampling.BOX)
    image.paste(few.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))


def _corners(box: Box) -> Corners:
    x, y, width, height = box
    return round(x), round(y), round(x + width), round(y + height)
