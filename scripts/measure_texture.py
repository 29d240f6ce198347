"""Measure what the textures of all faces share, and write it to src/mien/video/tracking/mean_texture.npy.

    python scripts/measure_texture.py fer2013.csv

`mien.video.tracking.portrait` compares two faces by how they differ from this mean. It is of every tenth
face of FER2013's Training split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import mien
from mien.video.tracking.portrait import texture_roots

OUT = Path(__file__).parents[1] / "src" / "mien" / "video" / "tracking" / "mean_texture.npy"


def main() -> None:
    """Write the mean, as uint8."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="FER2013")
    faces = mien.load(parser.parse_args().data).split("Training").pixels[::10]
    mean = np.mean([texture_roots(face) for face in faces], axis=0)
    np.save(OUT, np.round(255 * mean).astype(np.uint8))
    print(f"{OUT}: the mean of {len(faces)} faces")


if __name__ == "__main__":
    main()
