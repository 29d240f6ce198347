"""Named movements change as the face is moved, and only so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.detection.blazeface import BlazeFace
from mien.geometry import Detection
from mien.movements.facemesh import FaceMesh
from mien.movements.measures import EYE_DEPTH, IRIS_UP, NAMES, Movements, movements_of
from mien.movements.pose import DEPTH, HeadPose, canonical_face, canonical_triangles, rotation_of
from mien.testing.mesh import draw_eye, draw_mesh

# The edges of the lids, upper above lower, of the right eye and of the left.
UPPER_LIDS = ((246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398))
LOWER_LIDS = ((7, 163, 144, 145, 153, 154, 155), (249, 390, 373, 374, 380, 381, 382))
OUTLINES = tuple(
    (outer, *upper, inner, *reversed(lower))
    for outer, upper, inner, lower in zip((33, 263), UPPER_LIDS, (133, 362), LOWER_LIDS, strict=True)
)
LENGTHS = tuple(name for name in NAMES if not name.startswith(("head_", "gaze_", "blink_")))


def canonical(pose: HeadPose | None = None, scale: float = 10.0) -> NDArray[np.float64]:
    """Landmarks (478, 3) of the canonical face, with irises in the middle of its eyes."""
    face = canonical_face()
    irises = np.repeat([face[[33, 133]].mean(axis=0), face[[263, 362]].mean(axis=0)], 5, axis=0)
    turned = np.concatenate([face, irises]) @ rotation_of(pose or HeadPose(0, 0, 0)).T
    return turned * scale * (1, -1, -1 / DEPTH)


def with_lids(
    landmarks: NDArray[np.floating], closed: float, *, eyes: tuple[int, ...] = (0, 1)
) -> NDArray[np.float64]:
    """The landmarks with the upper lids moved down by a share of the way to the lower ones."""
    moved = np.array(landmarks, float)
    for eye in eyes:
        upper, lower = list(UPPER_LIDS[eye]), list(LOWER_LIDS[eye])
        moved[upper] += closed * (moved[lower] - moved[upper])
    return moved


def values(movements: Movements) -> NDArray[np.float64]:
    return np.array([getattr(movements, name) for name in LENGTHS])


def test_the_measures_do_not_change_with_size_place_or_pose() -> None:
    plain = movements_of(canonical())
    for pose in (HeadPose(40, 0, 0), HeadPose(-30, 20, 60), HeadPose(0, -35, -10)):
        moved = movements_of(canonical(pose, scale=73.0) + np.array([500, -40, 9]))
        assert values(moved) == pytest.approx(values(plain), abs=1e-9)
        assert (moved.gaze_x, moved.gaze_y) == pytest.approx((plain.gaze_x, plain.gaze_y), abs=1e-9)


def test_the_formulas_are_those_of_the_documentation() -> None:
    face = canonical_face() / np.linalg.norm(canonical_face()[263] - canonical_face()[33])
    found = movements_of(canonical())
    width = np.hypot(*(face[33] - face[133])[:2])
    lids = [np.hypot(*(face[a] - face[b])[:2]) for a, b in ((160, 144), (159, 145), (158, 153))]
    assert found.eye_open_right == pytest.approx(np.mean(lids) / width)
    assert found.mouth_open == pytest.approx(np.hypot(*(face[13] - face[14])[:2]))
    assert found.mouth_width == pytest.approx(np.hypot(*(face[61] - face[291])[:2]))
    assert found.lip_corner_left == pytest.approx(face[291, 1] - face[2, 1])
    brow = face[[300, 293, 334, 296, 336], 1].mean() - face[[263, 362], 1].mean()
    assert found.brow_left == pytest.approx(brow)


def test_each_measure_follows_its_own_movement() -> None:
    plain, unit = canonical(), 10 * float(np.linalg.norm(canonical_face()[263] - canonical_face()[33]))
    rest = movements_of(plain)

    def moved(points: tuple[int, ...], x: float, y: float) -> Movements:
        other = plain.copy()
        other[list(points), :2] += np.array([x, y]) * unit
        return movements_of(other)

    assert moved((14,), 0, 0.1).mouth_open == pytest.approx(rest.mouth_open + 0.1)
    smile = moved((61,), 0, -0.05)
    assert smile.lip_corner_right == pytest.approx(rest.lip_corner_right + 0.05)
    assert smile.lip_corner_left == rest.lip_corner_left
    raised = moved((300, 293, 334, 296, 336), 0, -0.04)
    assert raised.brow_left == pytest.approx(rest.brow_left + 0.04)
    assert raised.brow_right == rest.brow_right
    aside = moved((468, 473), 0.03, 0.02)
    assert rest.gaze_x is not None
    assert rest.gaze_y is not None
    assert aside.gaze_x is not None
    assert aside.gaze_y is not None
    assert aside.gaze_x > rest.gaze_x + 0.1
    assert aside.gaze_y > rest.gaze_y + 0.1


@pytest.mark.parametrize("pose", [HeadPose(0, 0, 0), HeadPose(30, -15, 20), HeadPose(-25, 20, -40)])
@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (25.0, 5.0), (-40.0, -20.0)])
def test_the_gaze_is_where_eyeballs_look_in_the_room_whatever_the_pose_of_the_head(
    pose: HeadPose, yaw: float, pitch: float
) -> None:
    """The oracle is geometry: balls of 24 mm, turned, whose irises of 11.7 mm are seen from afar."""
    rotation, face, points = rotation_of(pose), canonical_face(), canonical(pose)
    look = np.array([np.sin(np.radians(yaw)), 0, np.cos(np.radians(yaw))]) * np.cos(np.radians(pitch))
    look[1] = -np.sin(np.radians(pitch))
    for iris, corners in ((468, [33, 133]), (473, [263, 362])):
        ball = rotation @ (face[corners].mean(axis=0) - (0, -IRIS_UP, EYE_DEPTH))
        centre = ball + np.sqrt(1.2**2 - 0.585**2) * look
        points[iris] = centre * 10.0 * (1, -1, -1 / DEPTH)
    found = movements_of(points)
    assert found.gaze_yaw == pytest.approx(yaw, abs=1e-4)
    assert found.gaze_pitch == pytest.approx(pitch, abs=1e-4)


def test_drawn_eyes_that_turn_are_measured(
    draw: Callable[[HeadPose], NDArray[np.uint8]], detector: BlazeFace, mesh: FaceMesh
) -> None:
    """Eyeballs drawn between the lids of a head that is turned; docs/movements.md has more of them."""
    pose = HeadPose(15, 0, 0)
    image, face = draw(pose), canonical_face() @ rotation_of(pose).T
    truth, found = np.array([-25.0, -10.0, 5.0, 20.0, 35.0]), []
    for yaw in np.radians(truth):
        eyes = image
        for outline, corners in zip(OUTLINES, ([33, 133], [263, 362]), strict=True):
            seen = face[list(outline), :2] * (9, -9) + 160  # as the fixture draws, but from afar
            ball = canonical_face()[corners].mean(axis=0) - (0, 0, EYE_DEPTH)
            x, y, _ = rotation_of(pose) @ ball
            look = np.array([np.sin(yaw), 0, np.cos(yaw)])
            eyes = draw_eye(eyes, seen, (x * 9 + 160, 160 - y * 9), 1.2 * 9, look, 0.585 / 1.2)
        landmarks = mesh.landmarks(eyes, detector.detect(eyes)[0])
        assert landmarks is not None
        found.append(movements_of(landmarks).gaze_yaw)
    errors = np.subtract(found, truth)
    assert (np.diff(found) > 5).all()
    assert np.abs(errors).mean() < 6
    assert np.abs(errors).max() < 12


def test_a_closed_eye_blinks_and_has_no_gaze() -> None:
    wink = movements_of(with_lids(canonical(), 1.0, eyes=(0,)))
    assert wink.blink_right == 1
    assert wink.blink_left < 1
    assert wink.gaze_x is not None  # of the other eye
    both = movements_of(with_lids(canonical(), 1.0))
    assert (both.blink_right, both.blink_left) == (1, 1)
    assert both.gaze_x is both.gaze_yaw is both.gaze_pitch is None
    assert both.to_dict()["gaze_y"] is None


def test_lids_that_are_drawn_closing_are_measured(
    photo: NDArray[np.uint8], landmarks: NDArray[np.float32], detector: BlazeFace, mesh: FaceMesh
) -> None:
    """The example photo with its upper lids drawn down in five steps."""
    opened, blinks, others = [], [], []
    for closed in (0.0, 0.25, 0.5, 0.75, 1.0):
        points = with_lids(landmarks, closed)[:468]
        image = draw_mesh(photo, points, canonical_triangles(), photo, landmarks)
        found = mesh.landmarks(image, detector.detect(image)[0])
        assert found is not None
        movements = movements_of(found)
        opened.append((movements.eye_open_right + movements.eye_open_left) / 2)
        blinks.append((movements.blink_right + movements.blink_left) / 2)
        others.append(movements.mouth_open)
    assert (np.diff(opened) < 0).all()
    assert opened[-1] < 0.65 * opened[0]
    assert blinks[0] == 0
    assert blinks[-1] > 0.3
    assert np.ptp(others) < 0.01


def test_a_mirrored_photo_swaps_right_and_left(
    draw: Callable[[HeadPose], NDArray[np.uint8]], detector: BlazeFace, mesh: FaceMesh
) -> None:
    image = draw(HeadPose(0, 0, 0))
    mirrored = np.ascontiguousarray(image[:, ::-1])
    found, other = (mesh.landmarks(each, detector.detect(each)[0]) for each in (image, mirrored))
    assert found is not None
    assert other is not None
    one, two = movements_of(found), movements_of(other)
    for right, left in (("lip_corner_right", "lip_corner_left"), ("brow_right", "brow_left")):
        assert getattr(two, right) == pytest.approx(getattr(one, left), abs=0.03)
        assert getattr(two, left) == pytest.approx(getattr(one, right), abs=0.03)
    assert one.gaze_x is not None
    assert two.gaze_x == pytest.approx(-one.gaze_x, abs=0.15)


def test_the_values_for_json_leave_the_landmarks_out(
    landmarks: NDArray[np.float32], detection: Detection
) -> None:
    movements = movements_of(landmarks)
    assert tuple(movements.to_dict()) == NAMES
    assert movements == replace(movements, landmarks=None)
    assert "array" not in repr(movements)
    assert detection.confidence > 0.5
