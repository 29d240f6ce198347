"""Damage to pictures, and what is left of the accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mien.data.synthetic.faces import faces as synthetic_faces
from mien.data.table import FaceTable
from mien.emotions import FER2013
from mien.evaluation import corruptions
from mien.evaluation.corruptions import CORRUPTIONS, Corruption
from mien.evaluation.predictions import Predictions, predict_split
from mien.evaluation.robustness import measure_robustness
from mien.testing.fakes import FakeClassifier


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.asarray(synthetic_faces(28).pixels)


def rng() -> np.random.Generator:
    return np.random.default_rng(2)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda each: each.name)
def test_each_has_five_strengths_that_do_more_and_more_damage(corruption: Corruption, faces) -> None:
    damage = []
    for level in corruption.levels:
        changed = corruption.apply(faces, level, rng())
        assert changed.shape == faces.shape
        assert changed.dtype == np.uint8
        damage.append(np.abs(changed.astype(float) - faces).mean())
    assert len(damage) == 5
    assert damage[0] > 0
    assert damage == sorted(damage)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda each: each.name)
def test_the_same_seed_gives_the_same_damage_and_no_face_is_changed_in_place(corruption, faces) -> None:
    before = faces.copy()
    first, second = (corruption.apply(faces, corruption.levels[2], rng()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(faces, before)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda each: each.name)
def test_no_faces_and_faces_of_another_size_can_be_damaged(corruption, faces) -> None:
    assert len(corruption.apply(faces[:0], corruption.levels[4], rng())) == 0
    large = np.repeat(np.repeat(faces[:2], 2, axis=1), 2, axis=2)
    assert corruption.apply(large, corruption.levels[4], rng()).shape == (2, 96, 96)


def test_blur_is_scipys(faces) -> None:
    expected = ndimage.gaussian_filter(faces.astype(float), sigma=(0, 1.5, 1.5), mode="reflect")
    np.testing.assert_allclose(corruptions.blur(faces, 1.5, rng()), expected, atol=0.51)


def test_noise_has_the_promised_spread() -> None:
    gray = np.full((20, 48, 48), 128, np.uint8)
    assert corruptions.noise(gray, 10, rng()).std() == pytest.approx(10, rel=0.02)


def test_contrast_is_scaled_around_the_mean(faces) -> None:
    half = corruptions.contrast(faces, 0.5, rng()).astype(float)
    np.testing.assert_allclose(half.mean(axis=(1, 2)), faces.mean(axis=(1, 2)), atol=0.5)
    np.testing.assert_allclose(half.std(axis=(1, 2)), faces.std(axis=(1, 2)) / 2, rtol=0.02)


def test_the_occluding_square_has_the_promised_size(faces) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (10, 48, 48)).astype(np.uint8)
    hidden = corruptions.occlusion(noisy, 0.25, rng())
    for face, before in zip(hidden, noisy, strict=True):
        rows, columns = np.nonzero(face != before)
        assert 11 <= np.ptp(rows) + 1 <= 12
        assert 11 <= np.ptp(columns) + 1 <= 12


def test_a_shifted_crop_is_moved_by_the_level_and_by_nothing_else(faces) -> None:
    for before, after in zip(faces, corruptions.shift(faces, 4, rng()), strict=True):
        moves = [
            (y, x)
            for y in (-4, 0, 4)
            for x in (-4, 0, 4)
            if (after[8:40, 8:40] == before[8 + y : 40 + y, 8 + x : 40 + x]).all()
        ]
        assert moves
        assert (0, 0) not in moves


def test_rotation_turns_about_the_middle() -> None:
    dot = np.zeros((30, 49, 49), np.uint8)
    dot[:, 24, 30:33] = 255  # seven pixels from the middle, so that what is reflected stays out of view
    ends = [ndimage.center_of_mass(face) for face in corruptions.rotation(dot, 45, rng())]
    turned = {(round(y - 24), round(x - 24)) for y, x in ends}
    assert turned == {(-5, 5), (5, 5)}


def brightness_judge(faces: np.ndarray) -> np.ndarray:
    """Happy where the middle of the face is light, else sad."""
    light = faces[:, 16:32, 16:32].mean(axis=(1, 2)) > 127
    return np.eye(7, dtype=np.float32)[np.where(light, 3, 4)]


@pytest.fixture
def judged() -> tuple[FakeClassifier, Predictions]:
    truth = np.array([3, 4] * 30)
    pixels = np.where(truth == 3, 150, 100).astype(np.uint8)[:, None, None].repeat(48, 1).repeat(48, 2)
    table = FaceTable(pixels, truth, np.full(60, "PublicTest"), np.arange(60), FER2013)
    classifier = FakeClassifier(brightness_judge)
    return classifier, predict_split(classifier, table, "PublicTest", head="fer2013")


def test_what_a_model_does_not_look_at_costs_it_nothing_and_what_it_looks_at_does(judged) -> None:
    classifier, predictions = judged
    told: list[int] = []
    found = measure_robustness(classifier, predictions, progress=told.append)
    scores = {each.name: each for each in found.corruptions}
    assert found.clean == 1
    assert sum(told) == 60 * 45
    assert scores["shift of the crop"].accuracy == (1, 1, 1, 1, 1)
    assert scores["shift of the crop"].relative == 1
    assert scores["brightness"].accuracy[0] == 1
    # Half of the faces of each kind are pushed over the border between dark and light.
    assert 0.3 < scores["brightness"].accuracy[4] < 0.7
    everything = [value for each in found.corruptions for value in each.accuracy]
    assert found.relative == pytest.approx(np.mean(everything))
    assert [each.name for each in found.corruptions] == [each.name for each in CORRUPTIONS]


def test_the_same_seed_gives_the_same_numbers_whatever_else_is_measured(judged) -> None:
    classifier, predictions = judged
    whole = measure_robustness(classifier, predictions, seed=5)
    alone = measure_robustness(classifier, predictions, seed=5, corruptions=CORRUPTIONS[3:4])
    other = measure_robustness(classifier, predictions, seed=6, corruptions=CORRUPTIONS[3:4])
    assert alone.corruptions[0] == whole.corruptions[3]
    assert other.corruptions[0].accuracy != alone.corruptions[0].accuracy


def test_a_random_part_of_the_faces_can_be_asked_about(judged) -> None:
    classifier, predictions = judged
    told: list[int] = []
    found = measure_robustness(classifier, predictions, faces=20, progress=told.append)
    assert (found.n, sum(told)) == (20, 20 * 45)
    assert found == measure_robustness(classifier, predictions, faces=20)
    assert measure_robustness(classifier, predictions, faces=500).n == 60
