"""Maps of heat are averaged, ordered and tried as they are said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.emotions import FER2013
from mien.errors import UsageError
from mien.evaluation.attribution import Attributions, deletion_test, mean_attributions, paint_over
from mien.plotting import new_figure
from mien.reports.attribution import sections
from mien.testing.fakes import overhang


@pytest.fixture
def explained() -> Attributions:
    """Eight faces: 0 to 2 happy and right, 3 happy and called sad, the others sad and right, 7 surest."""
    generator = np.random.default_rng(0)
    return Attributions(
        model="made up",
        classes=FER2013,
        crops=generator.integers(0, 256, (8, 16, 16), dtype=np.uint8),
        rows=np.arange(30, 38),
        truth=np.array([3, 3, 3, 3, 4, 4, 4, 4]),
        predicted=np.array([3, 3, 3, 4, 4, 4, 4, 4]),
        confidence=np.linspace(0.5, 0.9, 8, dtype=np.float32),
        maps=generator.random((8, 16, 16), dtype=np.float32),
        layer="blocks.4",
        cells=6,
    )


def test_the_mean_is_over_the_right_answers_of_each_emotion(explained: Attributions) -> None:
    found = mean_attributions(explained)
    assert {name: mean.faces for name, mean in found.items()} == {"happy": 3, "sad": 4}
    np.testing.assert_allclose(found["happy"].heat, explained.maps[:3].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["sad"].face, explained.crops[4:].mean(axis=0))
    heat = np.zeros((8, 16, 16), np.float32)
    heat[:, 2, 5], heat[:, 10, 3] = 3, 1
    assert mean_attributions(replace(explained, maps=heat))["happy"].upper == pytest.approx(0.75)


def test_a_fifth_of_each_face_is_painted_where_the_map_is_highest(explained: Attributions) -> None:
    changed = paint_over(explained.crops, explained.maps, share=0.25)
    for before, after, heat in zip(explained.crops, changed, explained.maps, strict=True):
        chosen = heat >= np.sort(heat.ravel())[-64]
        assert set(np.unique(after[chosen])) == {round(float(before.mean()))}
        np.testing.assert_array_equal(after[~chosen], before[~chosen])


def test_correct_maps_cost_most_where_they_are_hottest() -> None:
    """A classifier that looks at one corner, and maps that say so, beside maps that say something else."""
    generator = np.random.default_rng(1)
    crops = generator.integers(0, 60, (20, 16, 16), dtype=np.uint8)
    corner = np.arange(20) % 4
    heat = np.zeros((20, 16, 16), np.float32)
    for face, where in enumerate(corner):
        y, x = where // 2 * 8, where % 2 * 8
        crops[face, y : y + 7, x : x + 7] = 255
        heat[face, y : y + 7, x : x + 7] = 1

    def ask(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        light = 10 * (faces > 200).reshape(len(faces), 2, 8, 2, 8).mean(axis=(2, 4)).reshape(len(faces), 4)
        powers = np.exp(light - light.max(axis=1, keepdims=True))
        return np.float32(powers / powers.sum(axis=1, keepdims=True))

    explained = Attributions(
        "corners", ("a", "b", "c", "d"), crops, np.arange(20), corner, corner,
        np.ones(20, np.float32), heat, "none", 16,
    )  # fmt: skip
    true = deletion_test(explained, ask)
    assert true.hottest < 0.5 < 0.95 < true.coldest
    assert true.hottest < true.other
    lying = deletion_test(replace(explained, maps=1 - heat), ask)
    assert lying.hottest > 0.95 > 0.5 > lying.coldest


def test_one_face_is_too_few_for_the_deletion_test(explained: Attributions) -> None:
    one = replace(explained, crops=explained.crops[:1])
    with pytest.raises(UsageError, match="two faces"):
        deletion_test(one, lambda faces: np.ones((len(faces), 7), np.float32))


def test_the_most_confident_come_first_and_no_text_is_clipped(explained: Attributions) -> None:
    tried = deletion_test(explained, lambda faces: np.full((len(faces), 7), 1 / 7, np.float32))
    drawn = {section.name: section for section in sections(explained, tried)}
    assert [each["row"] for each in drawn["attribution_examples"].numbers] == [32, 31, 30, 37, 36, 35, 34]
    assert [each["row"] for each in drawn["attribution_mistakes"].numbers] == [33]
    for section in drawn.values():
        figure, axes = new_figure(*section.size)
        section.draw(axes)
        assert overhang(figure) <= 0.01, section.name
