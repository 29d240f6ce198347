"""Names of emotions, and the two sides of a binary framing."""

from __future__ import annotations

import pytest

from mien.emotions import FER2013, FERPLUS, NEGATIVE, NEITHER, POSITIVE, VOTES, binary_task
from mien.errors import UsageError


def test_one_emotion_stands_against_all_others() -> None:
    framing = binary_task("happy")
    assert framing.classes == ("not happy", "happy")
    assert framing.sides(FER2013) == (0, 0, 0, 1, 0, 0, 0)
    assert framing.sides(FERPLUS) == (0, 0, 0, 1, 0, 0, 0, 0)


def test_grounds_to_abstain_are_on_neither_side() -> None:
    for name in ("happy", "negative"):
        assert binary_task(name).sides(VOTES)[-2:] == (NEITHER, NEITHER)


def test_surprise_and_neutral_are_neither_negative_nor_positive() -> None:
    sides = dict(zip(FERPLUS, binary_task("negative").sides(FERPLUS), strict=True))
    assert sides == {
        **dict.fromkeys(("angry", "disgust", "fear", "sad", "contempt"), 1),
        "happy": 0,
        "surprise": NEITHER,
        "neutral": NEITHER,
    }


def test_no_emotion_is_on_both_sides() -> None:
    assert not set(NEGATIVE) & set(POSITIVE)
    for name in (*FERPLUS, "negative"):
        others, asked = binary_task(name).members
        assert asked
        assert not set(others) & set(asked)


def test_other_spellings_are_understood() -> None:
    assert binary_task("Happiness") == binary_task("happy")
    assert binary_task("happy").sides(("Joy", "anger")) == (1, 0)


@pytest.mark.parametrize("name", ["cat", "not a face", "unknown", ""])
def test_what_is_no_framing_is_named_with_those_that_are(name: str) -> None:
    with pytest.raises(UsageError, match="negative, or one emotion"):
        binary_task(name)
