from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from mien.emotions import ABSTAIN, FER2013, FERPLUS, VOTES
from mien.errors import CardError
from mien.evaluation.calibration.conformal import prediction_set
from mien.images.quality import Quality
from mien.inference.face import Face, face_columns, read_face
from mien.models.card import Head

SEVEN = Head("fer2013", FER2013)
TEN = Head("votes", VOTES, ABSTAIN, conformal={"0.90": 0.75, "0.80": 0.35}, certain_margin=0.25)


def probabilities(labels: tuple[str, ...], **given: float) -> np.ndarray:
    row = np.zeros(len(labels), np.float32)
    for name, value in given.items():
        row[labels.index(name.replace("_", " "))] = value
    return row


def face(head: Head, **given: float) -> Face:
    return read_face(probabilities(head.labels, **given), head, box=(1, 2, 3, 4))


def test_top_and_second_are_the_two_most_probable() -> None:
    some = face(SEVEN, sad=0.25, happy=0.5, fear=0.125, angry=0.125)
    assert (some.top, some.second) == (("happy", 0.5), ("sad", 0.25))


def test_emotions_keep_the_order_of_the_card_and_full_precision() -> None:
    row = np.random.default_rng(0).dirichlet(np.ones(7)).astype(np.float32)
    some = read_face(row, SEVEN, box=(0, 0, 1, 1))
    assert tuple(some.emotions) == FER2013
    assert list(some.emotions.values()) == [float(value) for value in row]


def test_votes_are_shared_out_among_the_emotions_and_abstentions_kept_apart() -> None:
    some = face(TEN, happy=0.4, neutral=0.2, unknown=0.3, not_a_face=0.1)
    assert tuple(some.emotions) == FERPLUS
    assert some.emotions["happy"] == pytest.approx(2 / 3)
    assert sum(some.emotions.values()) == pytest.approx(1)
    assert some.abstentions == pytest.approx({"unknown": 0.3, "not a face": 0.1})
    assert some.abstain == pytest.approx(0.4)


def test_a_model_that_cannot_abstain_has_no_abstentions() -> None:
    assert face(SEVEN, happy=1.0).abstain == 0


def test_all_votes_for_not_a_face_leave_the_emotions_even() -> None:
    some = face(TEN, not_a_face=1.0)
    assert set(some.emotions.values()) == {1 / 8}
    assert some.uncertain


def test_the_set_grows_until_it_has_more_than_the_threshold_most_probable_first() -> None:
    some = face(TEN, sad=0.3, happy=0.4, fear=0.25, angry=0.05)
    assert some.set(0.9) == ("happy", "sad", "fear")  # 0.70 above fear, 0.95 above angry
    assert some.set(0.8) == ("happy",)


def test_a_confident_face_has_one_emotion_and_a_flat_one_has_many() -> None:
    assert face(TEN, happy=0.9, sad=0.1).set(0.9) == ("happy",)
    even = read_face(np.full(10, 0.1, np.float32), TEN, box=(0, 0, 1, 1))
    assert len(even.set(0.9)) == 7  # 6/8 above the seventh, 7/8 above the eighth


def test_the_set_is_that_of_the_fitted_threshold() -> None:
    for row in np.random.default_rng(3).dirichlet(np.full(7, 0.6), 200).astype(np.float32):
        some = read_face(row, Head("fer2013", FER2013, conformal={"0.90": 0.62}), box=(0, 0, 1, 1))
        members = prediction_set(row[None].astype(np.float64), 0.62)[0]
        assert set(some.set(0.9)) == {name for name, inside in zip(FER2013, members, strict=True) if inside}


def test_a_coverage_that_was_not_measured_is_refused_with_those_that_were() -> None:
    with pytest.raises(CardError, match=r"0\.95; it has: 0\.90, 0\.80"):
        face(TEN, happy=1.0).set(0.95)
    with pytest.raises(CardError, match="none"):
        face(SEVEN, happy=1.0).set()


def test_a_face_is_uncertain_where_two_emotions_are_nearly_as_probable() -> None:
    some = face(TEN, happy=0.65, sad=0.35)
    assert (some.margin, some.uncertain) == (pytest.approx(0.3), False)
    assert face(TEN, happy=0.6, sad=0.4).uncertain
    assert face(TEN, happy=0.4, sad=0.35, fear=0.25).uncertain


def test_a_face_is_uncertain_where_abstaining_wins() -> None:
    assert not face(TEN, happy=0.55, unknown=0.45).uncertain
    assert face(TEN, happy=0.45, unknown=0.3, not_a_face=0.25).uncertain


def test_what_is_shown_are_the_emotions_or_all_votes_where_the_model_abstains() -> None:
    assert face(TEN, happy=0.5, sad=0.25, unknown=0.25).shown[:2] == [("happy", 2 / 3), ("sad", 1 / 3)]
    abstaining = face(TEN, happy=0.25, not_a_face=0.625, unknown=0.125)
    assert abstaining.abstains
    assert abstaining.shown[:3] == [("not a face", 0.625), ("happy", 0.25), ("unknown", 0.125)]
    assert sum(share for _, share in abstaining.shown) == pytest.approx(1)
    assert abstaining.top[0] == "happy"


def test_without_a_margin_a_face_is_uncertain_where_no_emotion_has_more_than_half() -> None:
    assert not face(SEVEN, happy=0.51, sad=0.49).uncertain
    assert face(SEVEN, happy=0.4, sad=0.3, fear=0.3).uncertain


def test_a_face_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        face(SEVEN, happy=1.0).confidence = 0.5  # type: ignore[misc]


def test_a_face_shows_what_matters_in_its_repr() -> None:
    some = read_face(probabilities(SEVEN.labels, happy=0.5, sad=0.3, fear=0.2), SEVEN, box=(1.4, 2, 3, 4))
    assert repr(some) == "<Face happy 0.50, sad 0.30, fear 0.20; uncertain; box=(1, 2, 3, 4)>"
    sure = read_face(probabilities(SEVEN.labels, happy=1), SEVEN, box=(1, 2, 3, 4), confidence=0.876)
    assert repr(sure).endswith("box=(1, 2, 3, 4), confidence=0.88>")


@pytest.mark.parametrize("head", [SEVEN, TEN])
def test_a_row_of_a_table_has_the_columns_of_the_head(head: Head) -> None:
    some = face(head, happy=0.75, sad=0.25)
    row = some.to_row()
    assert list(row) == face_columns(head)
    assert (row["x"], row["box_height"], row["top"], row["happy"]) == (1, 4, "happy", 0.75)


def test_the_dictionary_survives_json_and_keeps_probabilities_exact() -> None:
    row = np.random.default_rng(3).dirichlet(np.ones(7)).astype(np.float32)
    points = np.arange(12, dtype=np.float32).reshape(6, 2) / 3
    some = read_face(row, SEVEN, box=(1 / 3, 2, 3, 4), confidence=np.float32(0.5), keypoints=points)  # type: ignore[arg-type]
    back = json.loads(json.dumps(some.to_dict()))
    assert back["emotions"] == some.emotions
    assert back["top"] == some.top[0]
    assert back["box"] == [0.33, 2, 3, 4]
    assert back["confidence"] == 0.5
    assert back["keypoints"][5] == [3.33, 3.67]


def test_a_face_beyond_the_limits_has_warnings_and_is_uncertain() -> None:
    quality = Quality(size=12.0, sharpness=0.4, light=0.5, cut_off=0.3)
    row = probabilities(FER2013, happy=1.0)
    limits = {"size": (17.0, None), "cut_off": (None, 0.22)}
    some = read_face(row, SEVEN, box=(0, 0, 12, 12), quality=quality, limits=limits)
    assert some.warnings == ("small", "cut off")
    assert some.uncertain
    assert "small; cut off" in repr(some)
    assert some.to_dict()["warnings"] == ["small", "cut off"]
    assert some.to_dict()["quality"]["size"] == 12.0
    clear = read_face(row, SEVEN, box=(0, 0, 12, 12), quality=quality, limits={})
    assert (clear.warnings, clear.uncertain) == ((), False)
    assert "quality" not in read_face(row, SEVEN, box=(0, 0, 12, 12)).to_dict()
