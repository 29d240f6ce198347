"""Anchors, decoding and the merging of finds, against plain loops written from MediaPipe's description."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.detection.postprocess import (
    anchors,
    decode,
    iou_with,
    logit,
    merge,
    no_faces,
    sigmoid,
    without_parts,
)


def row(x: float, y: float, width: float, height: float, confidence: float) -> NDArray[np.float32]:
    """A face whose key points all lie at the box's corner."""
    return np.array([x, y, x + width, y + height, *([x, y] * 6), confidence], dtype=np.float32)


def test_the_input_of_256_has_896_anchors_in_the_order_of_the_feature_maps() -> None:
    found = anchors(256, 256)
    assert found.shape == (896, 2)
    expected = []
    for stride, per_cell in ((16, 2), (32, 6)):
        for y in range(256 // stride):
            for x in range(256 // stride):
                expected += [((x + 0.5) * stride, (y + 0.5) * stride)] * per_cell
    assert (found == np.array(expected, np.float32)).all()


def test_other_inputs_have_anchors_in_proportion() -> None:
    assert len(anchors(512, 320)) == 896 * (512 * 320) // 256**2
    assert anchors(96, 160).max(axis=0).tolist() == [152, 88]


def test_decoding_adds_the_anchor_to_centre_and_key_points() -> None:
    boxes = np.zeros((896, 16), np.float32)
    scores = np.full((896, 1), -50, np.float32)
    chosen = 700
    boxes[chosen] = [3, -2, 40, 20, *range(12)]
    scores[chosen] = 2.0
    (face,) = decode(boxes, scores, (256, 256), logit(0.5))
    x, y = anchors(256, 256)[chosen]
    assert face[:4].tolist() == [x + 3 - 20, y - 2 - 10, x + 3 + 20, y - 2 + 10]
    assert (face[4:16].reshape(6, 2) - np.array([x, y]) == np.arange(12).reshape(6, 2)).all()
    assert face[16] == pytest.approx(1 / (1 + math.exp(-2)))


def test_decoding_drops_boxes_without_area_and_scores_below_the_least() -> None:
    boxes = np.tile(np.float32([0, 0, 10, 10] + [0] * 12), (896, 1))
    scores = np.full((896, 1), -1.0, np.float32)
    assert decode(boxes, scores, (256, 256), logit(0.5)).shape == (0, 17)
    scores[:3] = 1.0
    boxes[1, 2] = -4
    assert len(decode(boxes, scores, (256, 256), logit(0.5))) == 2


def test_scores_of_any_size_become_confidences_without_overflow() -> None:
    scores = np.array([-1e30, -300, 0, 300, 1e30], np.float32)
    assert sigmoid(scores).tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert [logit(p) for p in (0.0, 0.5, 1.0)] == [-math.inf, 0, math.inf]
    assert logit(float(sigmoid(1.5))) == pytest.approx(1.5, abs=1e-6)


def test_overlap_is_intersection_over_union() -> None:
    faces = np.stack([row(0, 0, 10, 10, 1), row(5, 0, 10, 10, 1), row(20, 0, 5, 5, 1), row(2, 2, 5, 5, 1)])
    assert iou_with(faces[0], faces).tolist() == pytest.approx([1, 50 / 150, 0, 0.25])


def test_detections_of_one_face_are_averaged_by_confidence_and_keep_the_best_one() -> None:
    faces = np.stack([row(0, 0, 10, 10, 0.6), row(1, 0, 10, 10, 0.9), row(50, 50, 10, 10, 0.7)])
    first, second = merge(faces)
    assert first[16] == np.float32(0.9)
    assert first[0] == pytest.approx((0.6 * 0 + 0.9 * 1) / 1.5)
    assert (second == faces[2]).all()


def test_no_detections_merge_to_no_faces() -> None:
    assert merge(no_faces()).shape == (0, 17)
    assert without_parts(no_faces()).shape == (0, 17)


def loops(faces: list[NDArray[np.float32]]) -> list[tuple[float, ...]]:
    """Weighted suppression, one pair at a time."""
    left = sorted(faces, key=lambda face: -face[16])
    kept = []
    while left:
        best, group, rest = left[0], [], []
        for face in left:
            width = min(best[2], face[2]) - max(best[0], face[0])
            height = min(best[3], face[3]) - max(best[1], face[1])
            shared = max(width, 0) * max(height, 0)
            union = (best[2] - best[0]) * (best[3] - best[1]) + (face[2] - face[0]) * (face[3] - face[1])
            same = face is best or shared / (union - shared) > 0.3
            (group if same else rest).append(face)
        total = sum(float(face[16]) for face in group)
        mean = [sum(float(face[16]) * float(face[i]) for face in group) / total for i in range(16)]
        kept.append((*mean, float(best[16])))
        left = rest
    return kept


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_merging_equals_the_loops_on_random_boxes(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    faces = np.stack(
        [row(*rng.uniform(0, 60, 2), *rng.uniform(5, 40, 2), p) for p in rng.uniform(0.1, 1, count)]
    )
    assert np.allclose(merge(faces), np.array(loops(list(faces))), atol=1e-3)


def test_a_part_of_a_surer_and_larger_face_is_dropped() -> None:
    face, eye = row(0, 0, 100, 100, 0.8), row(20, 20, 30, 30, 0.6)
    assert len(without_parts(np.stack([face, eye]))) == 1
    surer_inside = row(20, 20, 30, 30, 0.9)
    beside = row(85, 20, 30, 30, 0.6)
    assert len(without_parts(np.stack([face, surer_inside]))) == 2
    assert len(without_parts(np.stack([face, beside]))) == 2
