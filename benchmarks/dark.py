"""Accuracy on dark faces, with and without the crops made brighter.

    python benchmarks/dark.py fer2013.csv

The gray values of faces of PublicTest are multiplied by a factor, Gaussian noise is added, and the result is
rounded to whole gray values, as a camera does.
"""

from __future__ import annotations

import argparse

import numpy as np

import mien
from mien.images.crop import brightened
from mien.models.onnx import OnnxClassifier
from mien.models.registry import DEFAULT

# The share of the light that is left, and the standard deviation of the noise in gray values of 255.
LIGHT = ((1.0, 0.0), (0.5, 0.0), (0.25, 0.0), (0.12, 0.0), (0.06, 0.0), (0.25, 5.0), (0.12, 1.5), (0.12, 3.0))


def main() -> None:
    """Print one row per light."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="FER2013")
    parser.add_argument("--faces", type=int, default=800, help="faces of PublicTest, at random")
    parser.add_argument("--model", default=DEFAULT)
    options = parser.parse_args()
    table = mien.load(options.data).split("PublicTest")
    generator = np.random.default_rng(0)
    rows = generator.choice(len(table), min(options.faces, len(table)), replace=False)
    pixels, labels = table.pixels[rows].astype(float), table.labels[rows]
    classifier = OnnxClassifier(options.model, head="fer2013", threads=1)
    names = [classifier.labels.index(name) for name in table.classes]
    print(f"{options.model}, {len(rows)} faces of PublicTest against FER2013's labels\n")
    print("| light | noise | right as it is | right made brighter |")
    print("|---|---|---|---|")
    for light, noise in LIGHT:
        dark = pixels * light + generator.normal(0, 1, pixels.shape) * noise
        crops = np.clip(dark, 0, 255).round().astype(np.uint8)
        brighter = np.stack([brightened(crop) for crop in crops])
        right = [
            (classifier.predict(each).argmax(axis=1) == np.array(names)[labels]).mean()
            for each in (crops, brighter)
        ]
        print(f"| {light} | {noise} | {right[0]:.1%} | {right[1]:.1%} |", flush=True)


if __name__ == "__main__":
    main()
