"""Names of emotions, and the two sides of a binary framing."""

from __future__ import annotations

import pytest

from mien.emotions import FER2013, FERPLUS, NEGATIVE, NEITHER, POSITIVE, VOTES, binary_framing
from mien.errors import UsageError


def test_one_emotion_stands_against_all_others() -> None:
    framing = binary_framing("happy")
    assert framing.classes == ("not happy", "happy")
    assert framing.sides(FER2013) == (0, 0, 0, 1, 0, 0, 0)
    assert framing.sides(FERPLUS) == (0, 0, 0, 1, 0, 0, 0, 0)


def test_grounds_to_abstain_are_on_neither_side() -> None:
    for name in ("happy", "negative"):
        assert binary_framing(name).sides(VOTES)[-2:] == (NEITHER, NEITHER)


def test_surprise_and_neutral_are_neither_negative_nor_positive() -> None:
    sides = dict(zip(FERPLUS, binary_framing("negative").sides(FERPLUS), strict=True))
    assert sides == {
        **dict.fromkeys(("angry", "disgust", "fear", "sad", "contempt"), 1),
        "happy": 0,
        "surprise": NEITHER,
        "neutral": NEITHER,
    }


def test_no_emotion_is_on_both_sides() -> None:
    assert not set(NEGATIVE) & set(POSITIVE)
    for name in (*FERPLUS, "negative"):
        others, asked = binary_framing(name).members
        assert asked
        assert not set(others) & set(asked)


def test_other_spellings_are_understood() -> None:
    assert binary_framing("Happiness") == binary_framing("happy")
    assert binary_framing("happy").sides(("Joy", "anger")) == (1, 0)


@pytest.mark.parametrize("name", ["cat", "not a face", "unknown", ""])
def test_what_is_no_framing_is_named_with_those_that_are(name: str) -> None:
    with pytest.raises(UsageError, match="negative, or one emotion"):
        binary_framing(name)
