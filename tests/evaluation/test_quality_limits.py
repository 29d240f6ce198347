"""Limits of a model: found where a model that is known loses a tenth of what it gets right."""

from __future__ import annotations

import numpy as np
import pytest

from mien.evaluation.quality import measure_quality
from mien.geometry import Detection
from mien.images.quality import sharpness_of


class Whole:
    """A detector that finds the whole face, its nose further to the side from face to face."""

    def __init__(self, yaws: list[float]) -> None:
        self._yaws = iter(yaws)

    def detect(self, image_rgb: np.ndarray) -> list[Detection]:
        yaw = np.radians(next(self._yaws))
        side = image_rgb.shape[0]
        eyes, nose = np.cos(yaw) * 20, np.sin(yaw) * 0.42 * 40
        points = np.zeros((6, 2), np.float32)
        points[:3] = [[100 - eyes, 100], [100 + eyes, 100], [100 + nose, 100 + 0.61 * 40 * np.cos(yaw)]]
        return [Detection((0, 0, side, side), 1.0, points)]


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (120, 48, 48), dtype=np.uint8)


def test_limits_are_where_a_tenth_is_lost(faces: np.ndarray) -> None:
    """A model that is right as long as a crop is sharp enough and the face not turned by more than 40."""
    yaws = list(np.linspace(-70, 70, len(faces)))

    def right(crops: np.ndarray, rows: np.ndarray) -> np.ndarray:
        sharp = np.array([sharpness_of(crop) for crop in crops]) > 0.7
        return sharp & (np.abs(np.array(yaws)[rows]) < 40)

    found = measure_quality(right, faces, Whole(yaws), np.random.default_rng(1), most=100)
    assert found.n == 100
    assert found.n_found == 120
    least, most = found.limits["sharpness"]
    assert most is None
    assert least is not None
    assert 0.6 < least < 1.3
    assert found.limits["yaw"][1] is not None
    # The rest beyond it is read badly as a whole, so the limit lies before the 40 degrees.
    assert 12 <= found.limits["yaw"][1] <= 41
    assert found.turned["yaw"]["accuracy"] < 0.9 * found.accuracy
    assert found.curves["blur"].flagged[0] == 0
    assert found.curves["blur"].flagged[-1] == 1
    assert found.curves["blur"].accuracy[-1] == 0


def test_a_model_that_loses_nothing_has_no_limits(faces: np.ndarray) -> None:
    def right(crops: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.ones(len(crops), bool)

    found = measure_quality(right, faces, Whole([0.0] * len(faces)), np.random.default_rng(1), most=50)
    assert all(pair == (None, None) for pair in found.limits.values())
    assert found.flagged == {}
    assert found.accuracy == 1
