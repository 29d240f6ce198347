"""The face of the example photo, its landmarks, and the same skin on the canonical face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.detection.blazeface import BlazeFace
from mien.geometry import Detection
from mien.images.decode import read_image
from mien.movements.facemesh import FaceMesh
from mien.movements.pose import HeadPose, canonical_face, canonical_triangles, rotation_of
from mien.testing.mesh import draw_mesh

# Of the camera from the canonical face, in cm, and the canvas in pixels.
DISTANCE, CANVAS, SCALE = 100, 320, 9
Pixels = NDArray[np.uint8]
Draw = Callable[[HeadPose], Pixels]


@pytest.fixture(scope="session")
def photo() -> Pixels:
    return read_image(Path(__file__).parents[2] / "examples" / "astronaut.jpg").pixels


@pytest.fixture(scope="session")
def detector() -> BlazeFace:
    return BlazeFace(threads=1, min_face=None)


@pytest.fixture(scope="session")
def mesh() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="session")
def detection(photo: Pixels, detector: BlazeFace) -> Detection:
    return detector.detect(photo)[0]


@pytest.fixture(scope="session")
def landmarks(photo: Pixels, detection: Detection, mesh: FaceMesh) -> NDArray[np.float32]:
    found = mesh.landmarks(photo, detection)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def draw(photo: Pixels, landmarks: NDArray[np.float32]) -> Draw:
    """Draws the canonical face with the photo's skin, turned, as a camera sees it."""

    def drawn(pose: HeadPose) -> Pixels:
        turned = canonical_face() @ rotation_of(pose).T
        seen = turned[:, :2] * (DISTANCE / (DISTANCE - turned[:, 2:])) * (SCALE, -SCALE) + CANVAS / 2
        points = np.column_stack([seen, -turned[:, 2] * SCALE])
        canvas = np.full((CANVAS, CANVAS, 3), 110, np.uint8)
        return draw_mesh(canvas, points, canonical_triangles(), photo, landmarks)

    return drawn
