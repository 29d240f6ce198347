"""Which wrong answers are shown first."""

from __future__ import annotations

import numpy as np

from mien.data.table import FaceTable
from mien.emotions import FER2013
from mien.evaluation.mistakes import confident_mistakes, confused_pairs
from mien.evaluation.predictions import Predictions
from mien.testing.fakes import numbered_faces


def judged(numbers: list[int], truth: list[int], answer: list[int], confidence: list[float]) -> Predictions:
    n = len(truth)
    probabilities = np.array([np.full(7, (1 - sure) / 6) for sure in confidence], np.float32)
    probabilities[np.arange(n), answer] = confidence
    labels = np.array(truth)
    table = FaceTable(numbered_faces(numbers), labels, np.full(n, "PublicTest"), np.arange(50, 50 + n))
    return Predictions(
        FER2013, probabilities, labels, "m", "fer2013", table, "PublicTest", "fer2013", None, {}
    )


def test_the_most_confident_mistake_comes_first_and_right_answers_never() -> None:
    p = judged([0, 1, 2, 3], [3, 4, 0, 6], [3, 0, 4, 4], [0.99, 0.5, 0.9, 0.7])
    found = confident_mistakes(p)
    assert [each.row for each in found] == [52, 53, 51]
    assert (found[0].truth, found[0].predicted) == ("angry", "sad")
    assert np.isclose(found[0].confidence, 0.9)
    assert np.isclose(found[0].truth_probability, 0.1 / 6)
    assert len(confident_mistakes(p, most=2)) == 2


def test_the_same_picture_is_shown_once() -> None:
    p = judged([5, 5, 6], [3, 3, 3], [0, 0, 0], [0.9, 0.9, 0.8])
    assert [each.index for each in confident_mistakes(p)] == [0, 2]


def test_the_most_frequent_confusion_comes_first_with_its_examples() -> None:
    truth, answer = [2, 2, 2, 4, 4, 0, 0], [4, 4, 2, 6, 4, 0, 0]
    p = judged(list(range(7)), truth, answer, [0.5, 0.8, 0.9, 0.7, 0.6, 0.9, 0.9])
    first, second = confused_pairs(p)
    assert (first.truth, first.predicted, first.faces) == ("fear", "sad", 2)
    assert first.share == 2 / 3
    assert [each.index for each in first.examples] == [1, 0]
    assert (second.truth, second.predicted, second.faces) == ("sad", "neutral", 1)


def test_a_model_without_mistakes_has_none_to_show() -> None:
    p = judged([0, 1], [3, 4], [3, 4], [0.9, 0.9])
    assert confident_mistakes(p) == confused_pairs(p) == ()
