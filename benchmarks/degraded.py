"""Changes to faces in photos (masks, dark, blur, turning): how many faces are found again, and how many
get another emotion that is not marked uncertain.

    python benchmarks/degraded.py PHOTO [PHOTO ...]

The photos show clear, upright faces. Each face is cut out with its surroundings, changed and analyzed again.
It is compared with the same face in the untouched photo. The row "none" is the control.
`--unchanged` counts the faces with a warning only, in any photos.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

import mien
from mien.models.registry import DEFAULT

Point = tuple[float, float]
Colour = tuple[int, int, int]

# Side of a cut-out, in widths of its face.
SURROUNDINGS = 3


@dataclass(frozen=True)
class CutOut:
    """A square of a photo around one face.

    Attributes:
        image: the square, RGB; black where it reaches beyond the photo.
        width: the width of the face's box in pixels.
        points: the face's keypoints in pixels of the square: the two eyes, nose, mouth, the two ears.
    """

    image: Image.Image
    width: float
    points: tuple[Point, ...]


Change = Callable[[CutOut], Image.Image]


def main() -> None:
    """Print one row per change."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="with clear, upright faces")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--labels", help="combined, ferplus or fer2013; the model's default")
    parser.add_argument("--unchanged", action="store_true", help="count warnings in the photos only")
    options = parser.parse_args()
    analyzer = mien.Analyzer(options.model, threads=1, labels=options.labels)
    faces = [pair for photo in options.photos for pair in cut_out(analyzer, photo)]
    warned = [face.warnings for _, face in faces if face.warnings]
    print(
        f"{options.model}, {len(faces)} faces of {len(options.photos)} photos, {len(warned)} with a warning\n"
    )
    if options.unchanged:
        return
    print("| change | faces | found | same emotion | another emotion, not uncertain |")
    print("|---|---|---|---|---|")
    for name, change in changes(np.random.default_rng(0)).items():
        found, same, other = count(analyzer, faces, change)
        print(f"| {name} | {len(faces)} | {found} | {same} | {other} |", flush=True)


def cut_out(analyzer: mien.Analyzer, photo: Path) -> Iterator[tuple[CutOut, mien.Face]]:
    """Each face of a photo, cut out with its surroundings, and its analysis in the whole photo."""
    with Image.open(photo) as file:
        image = file.convert("RGB")
    for face in analyzer.analyze(image):
        x, y, width, height = face.box
        side = int(SURROUNDINGS * width)
        left, top = int(x + width / 2 - side / 2), int(y + height / 2 - side / 2)
        points = tuple((a - left, b - top) for a, b in face.keypoints or ())
        yield CutOut(image.crop((left, top, left + side, top + side)), width, points), face


def count(
    analyzer: mien.Analyzer, faces: list[tuple[CutOut, mien.Face]], change: Change
) -> tuple[int, int, int]:
    """Faces found after a change, those with the same emotion, and those with another, not uncertain."""
    found = same = other = 0
    for cut, before in faces:
        after = central(analyzer.analyze(change(cut)), cut)
        if after is None:
            continue
        found += 1
        same += after.top[0] == before.top[0]
        other += after.top[0] != before.top[0] and not after.uncertain
    return found, same, other


def central(faces: list[mien.Face], cut: CutOut) -> mien.Face | None:
    """The face nearest to the middle of a cut-out, of about the same size; None if there is none."""

    def distance(face: mien.Face) -> float:
        x, y, width, height = face.box
        middle = cut.image.width / 2
        return math.hypot(x + width / 2 - middle, y + height / 2 - middle)

    near = [f for f in faces if distance(f) < 0.35 * cut.width and 0.5 < f.box[2] / cut.width < 2]
    return min(near, key=distance, default=None)


def changes(generator: np.random.Generator) -> dict[str, Change]:
    """Name to change, in the order of the table. Noise is drawn from the generator."""
    return {
        "none": lambda cut: cut.image,
        "gamma 2.2": toned(lambda value: 255 * (value / 255) ** 2.2),
        "light x0.25": toned(lambda value: value * 0.25),
        "light x0.12 + noise": noisy(0.12, 6, generator),
        "light x0.25 + noise": noisy(0.25, 15, generator),
        "light x3": toned(lambda value: value * 3),
        "backlight": backlit,
        "blur 2 % of the face": blurred(0.02),
        "blur 4 %": blurred(0.04),
        "blur 7 %": blurred(0.07),
        "motion 10 %": moved(0.1),
        "motion 20 %": moved(0.2),
        "JPEG quality 10": compressed(10),
        "white mask": masked((235, 235, 235)),
        "black mask": masked((20, 20, 20)),
        "sunglasses": with_glasses((10, 10, 10)),
        "glasses": with_glasses(None),
        "hand on mouth": with_hand,
        **{f"turned {degrees}": turned(degrees) for degrees in (30, 45, 60, 90, 180)},
    }


def toned(curve: Callable[[int], float]) -> Change:
    """Every value 0..255 of every channel through a curve."""
    table = [int(max(0, min(255, curve(value)))) for value in range(256)] * 3
    return lambda cut: cut.image.point(table)


def noisy(gain: float, sigma: float, generator: np.random.Generator) -> Change:
    """Less light and Gaussian noise of a standard deviation, of 255."""

    def change(cut: CutOut) -> Image.Image:
        pixels = floats(cut.image) * gain
        noise = generator.normal(0, sigma, pixels.shape)
        return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))

    return change


def backlit(cut: CutOut) -> Image.Image:
    """A dark face in front of white; between them a soft edge."""
    pixels = floats(cut.image)
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2)
    white = np.clip(distance / (0.5 * cut.width) - 0.9, 0, 1)[..., None]
    return Image.fromarray((pixels * 0.25 * (1 - white) + 255 * white).astype(np.uint8))


def blurred(share: float) -> Change:
    """Gaussian blur; its radius is a share of the face's width."""
    return lambda cut: cut.image.filter(ImageFilter.GaussianBlur(share * cut.width))


def moved(share: float) -> Change:
    """Blur of a sideways motion over a share of the face's width."""

    def change(cut: CutOut) -> Image.Image:
        steps = max(1, int(share * cut.width))
        pixels = floats(cut.image)
        shifted = [np.roll(pixels, step - steps // 2, 1) for step in range(steps)]
        return Image.fromarray(np.mean(shifted, 0).astype(np.uint8))

    return change


def compressed(quality: int) -> Change:
    """Written as JPEG and read again."""

    def change(cut: CutOut) -> Image.Image:
        buffer = io.BytesIO()
        cut.image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def masked(colour: Colour) -> Change:
    """A mask of one colour from the nose to below the mouth."""

    def change(cut: CutOut) -> Image.Image:
        image, width = cut.image.copy(), cut.width
        nose, mouth = cut.points[2:4]
        corners = [
            (nose[0] - 0.45 * width, nose[1]),
            (nose[0] + 0.45 * width, nose[1]),
            (mouth[0] + 0.35 * width, mouth[1] + 0.25 * width),
            (mouth[0] - 0.35 * width, mouth[1] + 0.25 * width),
        ]
        ImageDraw.Draw(image).polygon(corners, fill=colour)
        return image

    return change


def with_glasses(lenses: Colour | None) -> Change:
    """Round glasses with a dark frame; the lenses are clear if they have no colour."""

    def change(cut: CutOut) -> Image.Image:
        image, width = cut.image.copy(), cut.width
        draw = ImageDraw.Draw(image)
        for x, y in cut.points[:2]:
            box = (x - 0.19 * width, y - 0.14 * width, x + 0.19 * width, y + 0.14 * width)
            draw.ellipse(box, fill=lenses, outline=(20, 20, 20), width=max(1, int(0.03 * width)))
        return image

    return change


def with_hand(cut: CutOut) -> Image.Image:
    """A disc in the colour of skin over the mouth."""
    image, width = cut.image.copy(), cut.width
    x, y = cut.points[3]
    box = (x - 0.3 * width, y - 0.2 * width, x + 0.3 * width, y + 0.3 * width)
    ImageDraw.Draw(image).ellipse(box, fill=(200, 150, 120))
    return image


def turned(degrees: float) -> Change:
    """Turned anticlockwise about the middle; black in the corners."""
    return lambda cut: cut.image.rotate(degrees, Image.Resampling.BICUBIC)


def floats(image: Image.Image) -> NDArray[np.floating[Any]]:
    """Pixels (height, width, 3), RGB, 0..255."""
    return np.asarray(image).astype(float)


if __name__ == "__main__":
    main()
