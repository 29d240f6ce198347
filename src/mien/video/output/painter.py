"""Boxes, names and bars on a clip's pictures: steady from picture to picture, and quick to draw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from mien.geometry import Box
from mien.inference.annotate import COLOURS
from mien.video.results import TrackedFace

Font = FreeTypeFont | ImageFont.ImageFont
Rectangle = tuple[int, int, int, int]  # left, top, right, bottom

_DARK, _WHITE, _TRACK = (16, 18, 22), (255, 255, 255), (84, 87, 92)
_OPACITY = 0.86
_FONT_OF_SIDE = 1 / 34  # font size as a share of the picture's shorter side
_LEAST_FONT = 11
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
        """The picture, uint8 (H, W, 3), with its faces drawn, as a new array of the same size."""
        picture = Image.fromarray(image_rgb)
        if self._blur_others:
            for box in others:  # where faces overlap, hiding comes before showing
                _blur(picture, box)
        pen = ImageDraw.Draw(picture)
        line = max(2, round(min(picture.size) / 240))
        em = max(_LEAST_FONT, round(min(picture.size) * _FONT_OF_SIDE))
        for face in faces:
            _frame(pen, face, line)
            _badge(pen, face, em)
        taken = [_corners(face.box) for face in faces]
        for face in faces:
            taken.append(self._label(picture, face, em, taken))
        alive = {face.id for face in faces}
        self._sides = {person: side for person, side in self._sides.items() if person in alive}
        return np.asarray(picture)

    def _label(
        self, picture: Image.Image, face: TrackedFace, em: int, taken: Sequence[Rectangle]
    ) -> Rectangle:
        """Draws a face's label where it covers least; gives the rectangle that it takes."""
        bars = _BARS if face.box[3] >= _BARS * 1.4 * em else 0
        panel = _panel(face, em, bars)
        places = _places(_corners(face.box), panel.size, picture.size)
        costs = [sum(_overlap(place, other) for other in taken) for place in places]
        before = self._sides.get(face.id)
        side = before if before is not None and costs[before] == 0 else costs.index(min(costs))
        self._sides[face.id] = side
        place = places[side]
        ground = picture.crop(place)
        picture.paste(Image.blend(ground, Image.new("RGB", ground.size, _DARK), _OPACITY), place[:2])
        picture.paste(panel, place[:2], panel)
        return place


def _panel(face: TrackedFace, em: int, bars: int) -> Image.Image:
    """A label's text and bars on transparent ground, the most probable emotion first."""
    font, row = _font(em), round(1.4 * em)
    ranked = sorted(face.face.emotions.items(), key=lambda item: -item[1])[: max(bars, 1)]
    size = (round((12 if bars else 9) * em), row * len(ranked) + round(0.6 * em))
    panel = Image.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(panel)
    left, right = round(0.45 * em), size[0] - round(0.45 * em)
    for i, (emotion, share) in enumerate(ranked):
        y = round(0.3 * em) + (i + 0.5) * row
        colour = COLOURS.get(emotion, "#FFFFFF")
        mark = "?" if i == 0 and face.face.uncertain else ""
        pen.text((left, y), emotion + mark, fill=colour if i == 0 else _WHITE, font=font, anchor="lm")
        pen.text((right, y), f"{share:.0%}", fill=_WHITE, font=font, anchor="rm")
        if bars:
            start, end = left + 5.1 * em, right - 2.7 * em
            pen.rectangle((start, y - 0.24 * em, end, y + 0.24 * em), fill=_TRACK)
            if share * (end - start) >= 1:
                full = start + share * (end - start)
                pen.rectangle((start, y - 0.24 * em, full, y + 0.24 * em), fill=colour)
    return panel


def _badge(pen: ImageDraw.ImageDraw, face: TrackedFace, em: int) -> None:
    """The person's number, on the box's upper left corner."""
    text = str(face.id)
    left, top, *_ = _corners(face.box)
    left, top = max(left - em // 3, 0), max(top - em // 3, 0)
    right = left + round((0.6 + 0.6 * len(text)) * em)
    pen.rectangle((left, top, right, top + round(1.2 * em)), fill=COLOURS.get(face.top[0], _WHITE))
    pen.text(((left + right) / 2, top + 0.6 * em), text, fill=_DARK, font=_font(em), anchor="mm")


@lru_cache(maxsize=8)
def _font(em: int) -> Font:
    return ImageFont.load_default(em)


def _places(box: Rectangle, label: tuple[int, int], picture: tuple[int, int]) -> list[Rectangle]:
    """Where a label could be, moved into the picture: right, left, below, above, inside at the bottom."""
    left, top, right, bottom = box
    gap = max(4, label[1] // 16)
    corners = [
        (right + gap, top),
        (left - gap - label[0], top),
        (left, bottom + gap),
        (left, top - gap - label[1]),
        (left, bottom - label[1]),
    ]
    places = []
    for x, y in corners:
        x = max(0, min(x, picture[0] - label[0]))
        y = max(0, min(y, picture[1] - label[1]))
        places.append((x, y, x + label[0], y + label[1]))
    return places


def _frame(pen: ImageDraw.ImageDraw, face: TrackedFace, line: int) -> None:
    """A coloured line between two dark ones, so that it stands out from light and dark ground alike."""
    left, top, right, bottom = _corners(face.box)
    right, bottom = max(right, left + 2), max(bottom, top + 2)
    edge = max(1, line // 2)
    outer = (left - edge, top - edge, right + edge, bottom + edge)
    pen.rounded_rectangle(outer, 3 * line + edge, outline=_DARK, width=line + 2 * edge)
    pen.rounded_rectangle(
        (left, top, right, bottom), 3 * line, outline=COLOURS.get(face.top[0], "#FFFFFF"), width=line
    )


def _blur(picture: Image.Image, box: Box) -> None:
    """Make a face unrecognisable, for good: only a few averages of it are left."""
    x, y, width, height = box
    extra_x, extra_y = width * (_BLUR_AROUND - 1) / 2, height * (_BLUR_AROUND - 1) / 2
    left, top, right, bottom = _corners((x - extra_x, y - extra_y, width + 2 * extra_x, height + 2 * extra_y))
    left, top, right, bottom = (
        max(left, 0),
        max(top, 0),
        min(right, picture.width),
        min(bottom, picture.height),
    )
    if right <= left or bottom <= top:
        return
    few = picture.crop((left, top, right, bottom)).resize((_BLUR_PIXELS, _BLUR_PIXELS), Image.Resampling.BOX)
    picture.paste(few.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))


def _corners(box: Box) -> Rectangle:
    x, y, width, height = box
    return round(x), round(y), round(x + width), round(y + height)


def _overlap(a: Rectangle, b: Rectangle) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
