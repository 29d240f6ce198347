"""Faces drawn on an image: boxes, labels and bars that can be read on any background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from mien.emotions import EMOTION_COLOURS
from mien.images.decode import ImageSource, read_image
from mien.inference.face import Face

Font = FreeTypeFont | ImageFont.ImageFont
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom
LabelRow = tuple[str, float | None, str]  # text, share (None for a warning), colour

WHITE = "#FFFFFF"  # text, and what has no colour of its own
DARK = (16, 18, 22)
LEAST_FONT = 11
_PANEL = (*DARK, 220)
_TRACK = (84, 87, 92, 255)

# Below this many pixels on its shorter side an image is enlarged first, or its labels could not be read.
_LEAST_SIDE = 320
_MOST_ENLARGED = 4096  # a long strip is not enlarged beyond this many pixels on its longer side
_FONT_OF_SIDE = 1 / 32  # font size as a share of the image's shorter side
_FONT_OF_FACE = 1 / 7  # and at most this share of the face's height, so that crowds do not drown in labels
_CROWD = 6  # more faces than this get no bars, so that their labels are alike


def draw(image: ImageSource, faces: Sequence[Face], *, bars: int = 3) -> Image.Image:
    """The image with a box and a label per face and bars of its most probable emotions, as a Pillow image.

    `image` is whatever `mien.analyze` takes. An image whose shorter side is below 320 pixels is enlarged by
    a whole number. Faces too small for bars, or more than six, get a label without bars. Labels stay inside
    the image and keep clear of other faces where there is room.

        >>> import mien
        >>> mien.draw("examples/astronaut.jpg", mien.analyze("examples/astronaut.jpg")).size
        (512, 512)

    Raises:
        ImageError: the image cannot be read.
    """
    canvas = Image.fromarray(read_image(image).pixels)
    factor = _enlargement(canvas.size)
    if factor > 1:
        canvas = canvas.resize((canvas.width * factor, canvas.height * factor), Image.Resampling.BICUBIC)
    boxes = [_rectangle(face, factor, canvas.size) for face in faces]
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    width = line_width(canvas.size)
    for face, box in zip(faces, boxes, strict=True):
        draw_outline(pen, box, _colour(face), width, dark=_PANEL)
    bars = bars if len(faces) <= _CROWD else 0
    taken: list[Rectangle] = []
    for face, box in zip(faces, boxes, strict=True):
        avoid = taken + [other for other in boxes if other is not box]
        label, place = _fit(face, box, canvas.size, avoid, bars=bars, gap=2 * width)
        taken.append((*place, place[0] + label.width, place[1] + label.height))
        _label(pen, label, place)
    return Image.alpha_composite(canvas.convert("RGBA"), layer).convert("RGB")


@dataclass(frozen=True)
class _Label:
    """The text beside a face, and its size."""

    rows: tuple[LabelRow, ...]
    font: Font
    em: int  # font size
    bars: bool
    name_width: float
    width: float
    height: float


def _enlargement(size: tuple[int, int]) -> int:
    needed = -(-_LEAST_SIDE // min(size))
    return max(1, min(needed, _MOST_ENLARGED // max(size)))


def _rectangle(face: Face, factor: int, size: tuple[int, int]) -> Rectangle:
    """The face's box on the canvas, as far as it lies in it."""
    x, y, width, height = (value * factor for value in face.box)
    left, top = min(max(x, 0), size[0] - 1), min(max(y, 0), size[1] - 1)
    return (left, top, min(max(x + width, left), size[0] - 1), min(max(y + height, top), size[1] - 1))


def _colour(face: Face) -> str:
    return EMOTION_COLOURS.get(face.shown[0][0], WHITE)


def line_width(size: tuple[int, int]) -> int:
    """The width of the lines on an image of this size, in pixels."""
    return max(2, round(min(size) / 240))


def draw_outline(
    pen: ImageDraw.ImageDraw, box: Rectangle, colour: str, width: int, *, dark: tuple[int, ...] = DARK
) -> None:
    """A coloured line between two dark ones, so that it stands out from light and dark ground alike."""
    left, top, right, bottom = box
    edge = max(1, width // 2)
    outer = (left - edge, top - edge, right + edge, bottom + edge)
    radius = 3 * width
    pen.rounded_rectangle(outer, radius + edge, outline=dark, width=width + 2 * edge)
    pen.rounded_rectangle(box, radius, outline=colour, width=width)


def draw_bar(pen: ImageDraw.ImageDraw, bar: Rectangle, share: float, colour: str) -> None:
    """A bar that is filled to a share, 0..1, of its length."""
    left, top, right, bottom = bar
    pen.rectangle(bar, fill=_TRACK)
    if share * (right - left) >= 1:
        pen.rectangle((left, top, left + share * (right - left), bottom), fill=colour)


def draw_row(
    pen: ImageDraw.ImageDraw,
    row: LabelRow,
    at: Rectangle,
    font: Font,
    *,
    first: bool,
    bar: Rectangle | None,
) -> None:
    """A row of a label: text at the left, share at the right, and a bar between; the first row is coloured.

    `at` is the row's left, top, right and bottom; `bar` is None for a row without a bar. A row without a
    share is text alone.
    """
    text, share, colour = row
    left, top, right, bottom = at
    middle = (top + bottom) / 2
    pen.text((left, middle), text, fill=colour if first else WHITE, font=font, anchor="lm")
    if share is None:
        return
    pen.text((right, middle), f"{share:.0%}", fill=WHITE, font=font, anchor="rm")
    if bar is not None:
        draw_bar(pen, bar, share, colour)


def label_rows(
    ranked: Sequence[tuple[str, float]], count: int, *, uncertain: bool, warnings: Sequence[str] = ()
) -> tuple[LabelRow, ...]:
    """The rows of a label: the first `count` names, at least one, then one row per warning of the face.

    A question mark stands behind an uncertain name.
    """
    names = (
        (name + ("?" if uncertain and i == 0 else ""), share, EMOTION_COLOURS.get(name, WHITE))
        for i, (name, share) in enumerate(ranked[: max(count, 1)])
    )
    return (*names, *((warning, None, WHITE) for warning in warnings))


def label_places(
    box: Rectangle,
    label: tuple[float, float],
    size: tuple[int, int],
    *,
    gap: float,
    aside: float,
    margin: float,
) -> list[Rectangle]:
    """Where a label of this size could be: right of the box, left, below, above, inside at its bottom or top.

    Each is moved into the image, `margin` from its edges; `aside` is the distance at the sides of the box.
    """
    left, top, right, bottom = box
    wide, tall = label
    corners = [
        (right + aside, top),
        (left - aside - wide, top),
        (left, bottom + gap),
        (left, top - gap - tall),
        (left, bottom - tall),
        (left, top),
    ]
    places = []
    for x, y in corners:
        x = max(margin, min(x, size[0] - wide - margin))
        y = max(margin, min(y, size[1] - tall - margin))
        places.append((x, y, x + wide, y + tall))
    return places


def overlap(a: Rectangle, b: Rectangle) -> float:
    """The area that two rectangles share, in square pixels."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    tall = min(a[3], b[3]) - max(a[1], b[1])
    return max(0, wide) * max(0, tall)


def _fit(
    face: Face, box: Rectangle, size: tuple[int, int], avoid: Sequence[Rectangle], *, bars: int, gap: float
) -> tuple[_Label, tuple[float, float]]:
    """The fullest label that has room, and its place; in a crowd the emotion's name alone."""
    label = _layout(face, box, size, bars)
    place, covered = _place(label, box, size, avoid, gap)
    if covered and label.bars:
        label = _layout(face, box, size, 0)
        place, _ = _place(label, box, size, avoid, gap)
    return label, place


def _layout(face: Face, box: Rectangle, size: tuple[int, int], bars: int) -> _Label:
    """The label of a face, in a font that suits the image and the face."""
    tall = box[3] - box[1]
    em = max(LEAST_FONT, round(min(min(size) * _FONT_OF_SIDE, tall * _FONT_OF_FACE)))
    font = ImageFont.load_default(em)
    with_bars = bars > 0 and bars * 1.4 * em <= tall
    count = bars if with_bars else 1
    rows = label_rows(face.shown, count, uncertain=face.uncertain, warnings=face.warnings)
    name_width = max(font.getbbox(text)[2] for text, _, _ in rows)
    bar_width = 4 * em if with_bars else 0
    width = name_width + bar_width + font.getbbox("100 %")[2] + (2.0 if with_bars else 1.5) * em
    return _Label(rows, font, em, with_bars, name_width, width, len(rows) * 1.4 * em + 0.9 * em)


def _place(
    label: _Label, box: Rectangle, size: tuple[int, int], avoid: Sequence[Rectangle], gap: float
) -> tuple[tuple[float, float], float]:
    """Where the label covers least, as its left and top, and how much it covers there of `avoid`."""
    aside = gap + 0.15 * (box[2] - box[0])  # beside the head, which is wider than its face
    places = label_places(box, (label.width, label.height), size, gap=gap, aside=aside, margin=gap)
    covered = [sum(overlap(place, other) for other in avoid) for place in places]
    # Rather its own face than another's, or another label.
    costs = [overlap(place, box) + 2 * others for place, others in zip(places, covered, strict=True)]
    best = costs.index(min(costs))
    return places[best][:2], covered[best]


def _label(pen: ImageDraw.ImageDraw, label: _Label, place: tuple[float, float]) -> None:
    left, top = place
    right, bottom = left + label.width, top + label.height
    pen.rounded_rectangle((left, top, right, bottom), 0.35 * label.em, fill=_PANEL)
    row_height, padding = 1.4 * label.em, 0.45 * label.em
    start, half = left + padding + label.name_width + 0.5 * label.em, 0.22 * label.em
    for i, row in enumerate(label.rows):
        y = top + padding + i * row_height
        at = (left + padding, y, right - padding, y + row_height)
        middle = y + row_height / 2
        bar = (start, middle - half, start + 4 * label.em, middle + half) if label.bars else None
        draw_row(pen, row, at, label.font, first=i == 0, bar=bar)
