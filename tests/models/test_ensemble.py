"""An ensemble against the mean of what its members say."""

from __future__ import annotations

import numpy as np
import pytest

from mien.emotions import FER2013, FERPLUS
from mien.errors import UsageError
from mien.models.classifier import classify
from mien.models.ensemble import Ensemble
from mien.testing.fakes import FakeClassifier, numbered_faces


def test_the_answer_is_the_plain_mean_of_the_members_in_any_batches() -> None:
    generator = np.random.default_rng(0)
    rows = [generator.dirichlet(np.ones(7), 10).astype(np.float32) for _ in range(3)]
    ensemble = Ensemble(tuple(FakeClassifier.from_table(each) for each in rows))
    answers = classify(ensemble, numbered_faces(list(range(10))), batch_size=4)
    np.testing.assert_allclose(answers, np.mean(rows, axis=0), atol=1e-6)
    assert ensemble.labels == FER2013


def test_two_unsure_members_overrule_one_that_is_sure_of_another() -> None:
    """What the mean of probabilities does, and neither a vote nor a mean of logits of 0 and 1 would."""
    sure = FakeClassifier.predicting("happy", confidence=0.55)
    unsure = FakeClassifier.predicting("sad", confidence=0.45)
    answer = Ensemble((sure, unsure, unsure)).predict(numbered_faces([0]))[0]
    assert FER2013[int(answer.argmax())] == "sad"
    assert answer.sum() == pytest.approx(1)


def test_members_that_answer_other_questions_are_refused() -> None:
    other = FakeClassifier.predicting("happy", labels=FERPLUS)
    with pytest.raises(UsageError, match="contempt"):
        Ensemble((FakeClassifier.predicting("happy"), other))
    with pytest.raises(UsageError, match="needs a member"):
        Ensemble(())
