"""Where faces lie in FER2013's images: the framing that crops must reproduce.

    python scripts/measure_framing.py fer2013.tar.gz

Each image is enlarged and put in the middle of a gray canvas, since the detector expects some
surroundings; the box it finds is noted in fractions of the image's side. Prints the share of images
with a face and the quartiles. The medians stand in src/mien/images/crop.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.data import load
from mien.detection.blazeface import BlazeFace

CANVAS = 256  # what the detector sees at once
# Between 96 and 128 px of 256 the boxes are steady against the face, and on photos they are the same
# from 16 to 140 px; where the image fills the canvas, they shrink by a quarter.
SIDES = (96, 128, 160, 192, 224)
PADDINGS = ("mean", "edge", "black")


def on_canvas(face: NDArray[np.uint8], side: int, padding: str) -> NDArray[np.uint8]:
    """A gray face (48, 48), enlarged to `side`, in the middle of an RGB canvas (256, 256, 3)."""
    large = np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC))
    before = (CANVAS - side) // 2
    widths = (before, CANVAS - side - before)
    if padding == "edge":
        canvas = np.pad(large, widths, mode="edge")
    else:
        canvas = np.pad(large, widths, constant_values=int(face.mean()) if padding == "mean" else 0)
    return np.repeat(canvas[:, :, None], 3, axis=2)


def measure(faces: NDArray[np.uint8], side: int, padding: str) -> NDArray[np.float64]:
    """The boxes found (n, 4): x, y, width, height in fractions of the image's side.

    Of several detections in an image, the most confident one around its middle counts.
    """
    detector = BlazeFace(threads=1, min_face=None)
    boxes = []
    for face in faces:
        for found in detector.detect(on_canvas(face, side, padding)):
            x, y, width, height = found.box
            if x < CANVAS / 2 < x + width and y < CANVAS / 2 < y + height:
                before = (CANVAS - side) // 2
                boxes.append([(x - before) / side, (y - before) / side, width / side, height / side])
                break
    return np.array(boxes).reshape(-1, 4)


def main() -> None:
    """Print one line a way of padding, or the quartiles of the chosen one."""
    parser = argparse.ArgumentParser(description="Where faces lie in FER2013's images.")
    parser.add_argument("data", type=Path, help="FER2013, as `mien data info` takes it")
    parser.add_argument("--rows", type=int, default=2000, help="training images, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", type=int, default=SIDES[0], help="of the image on the canvas of 256")
    parser.add_argument("--padding", choices=PADDINGS, default=PADDINGS[0])
    parser.add_argument("--scan", action="store_true", help="compare sides and paddings instead")
    arguments = parser.parse_args()
    pixels = load(arguments.data).split("Training").pixels
    rng = np.random.default_rng(arguments.seed)
    faces = pixels[rng.choice(len(pixels), min(arguments.rows, len(pixels)), replace=False)]
    ways = [(side, padding) for side in SIDES for padding in PADDINGS]
    for side, padding in ways if arguments.scan else [(arguments.side, arguments.padding)]:
        boxes = measure(faces, side, padding)
        print(
            f"{side:3d} px, {padding}: a face in {len(boxes)} of {len(faces)} ({len(boxes) / len(faces):.1%})"
        )
        for name, column in zip(("x", "y", "width", "height"), boxes.T, strict=True):
            low, middle, high = np.percentile(column, [25, 50, 75])
            print(f"    {name:6s} median {middle:.3f}, quartiles {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
