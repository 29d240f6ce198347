"""Accuracy on faces that are turned in the image plane, as a share of the accuracy on the same faces upright.

    python benchmarks/turned.py fer2013.csv --votes fer2013new.csv

Faces of PublicTest are enlarged, put in the middle of a gray canvas and turned with it. Each canvas is
analyzed as a photo: detection, crop, model. A face that is not detected counts as wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mien
from mien.data.votes import majority
from mien.emotions import FERPLUS
from mien.models.registry import DEFAULT

ANGLES = (0, 15, 30, 45, 60, 90, 135, 180)
SIDE, CANVAS = 200, 420


def main() -> None:
    """Print one row per angle, without and with `align`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="FER2013")
    parser.add_argument("--votes", type=Path, required=True, help="FER+'s fer2013new.csv")
    parser.add_argument(
        "--faces", type=int, default=300, help="faces of PublicTest with a majority, at random"
    )
    parser.add_argument("--model", default=DEFAULT)
    options = parser.parse_args()
    table = mien.load(options.data, votes=options.votes).split("PublicTest")
    truth = majority(table.votes)
    known = np.flatnonzero(truth >= 0)
    rows = np.random.default_rng(0).choice(known, min(options.faces, len(known)), replace=False)
    names = [FERPLUS[truth[row]] for row in rows]
    print(f"{options.model}, {len(rows)} faces of PublicTest against the FER+ majority\n")
    print("| turned by | detected | right | of upright | with align | of upright |")
    print("|---|---|---|---|---|---|")
    upright: list[float] = []
    for angle in ANGLES:
        shares = []
        for align in (False, True):
            analyzer = mien.Analyzer(options.model, labels="ferplus", align=align)
            found = [analyzer.analyze(canvas(table.pixels[row], angle)) for row in rows]
            right = sum(
                bool(faces) and faces[0].top[0] == name for faces, name in zip(found, names, strict=True)
            )
            shares.append(right / len(rows))
            detected = sum(map(bool, found)) / len(rows)
        upright = upright or shares
        of = [share / start for share, start in zip(shares, upright, strict=True)]
        print(
            f"| {angle}° | {detected:.1%} | {shares[0]:.1%} | {of[0]:.2f} | {shares[1]:.1%} | {of[1]:.2f} |"
        )


def canvas(face: NDArray[np.uint8], degrees: float) -> Image.Image:
    """The face (48, 48) enlarged on a canvas of its own mean gray, turned clockwise by an angle."""
    image = Image.new("L", (CANVAS, CANVAS), int(face.mean()))
    corner = (CANVAS - SIDE) // 2
    image.paste(Image.fromarray(face).resize((SIDE, SIDE), Image.Resampling.BICUBIC), (corner, corner))
    turned = image.rotate(-degrees, Image.Resampling.BICUBIC, fillcolor=int(face.mean()))
    return turned.convert("RGB")


if __name__ == "__main__":
    main()
