"""A run may learn one yes-or-no question: its head, its faces and its figures are those of the question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.emotions import FER2013, binary_task
from mien.errors import DataError, RecipeError
from mien.runs.recipe import Recipe, from_dict
from mien.runs.recipe_sections import DataRecipe
from mien.training.classifier import TorchClassifier, load_run
from mien.training.data.splits import rows_of
from mien.training.data.targets import heads_of, targets_of
from mien.training.network.model import head_labels

CPU = torch.device("cpu")


def test_one_emotion_against_the_rest_is_a_head_of_two(few_faces: FaceTable) -> None:
    spec = DataRecipe(binary="joy")
    assert heads_of(few_faces, spec) == ("happy",)
    assert head_labels("happy") == ("not happy", "happy")
    (target,) = targets_of(few_faces, ("happy",), CPU).values()
    happy = few_faces.labels == FER2013.index("happy")
    np.testing.assert_array_equal(target.numpy(), np.stack([~happy, happy], axis=1).astype(np.float32))


def test_negative_against_positive_leaves_out_what_is_neither(few_faces: FaceTable) -> None:
    notes: list[str] = []
    train, validation = rows_of(few_faces, DataRecipe(binary="negative"), notes.append)
    names = {FER2013[label] for part in (train, validation) for label in part.labels}
    assert names <= {"angry", "disgust", "fear", "sad", "happy"}
    neither = np.isin(
        few_faces.split("Training").labels, [FER2013.index("surprise"), FER2013.index("neutral")]
    )
    said = f"{neither.sum()} faces of Training are neither positive nor negative (neutral, surprise)"
    assert notes[0] == f"{said}, and are left out."
    (target,) = targets_of(train, ("negative",), CPU).values()
    happy = train.labels == FER2013.index("happy")
    assert target.sum(1).tolist() == [1] * len(train)
    np.testing.assert_array_equal(target[:, 0].numpy() == 1, happy)


def test_a_question_that_the_faces_cannot_answer_is_refused(few_faces: FaceTable) -> None:
    with pytest.raises(DataError, match="no face to learn from is contempt"):
        rows_of(few_faces, DataRecipe(binary="contempt"), lambda text: None)
    with pytest.raises(RecipeError, match=r"data\.binary: there is no binary task 'bored'"):
        from_dict({"data": {"binary": "bored"}})


def test_a_framed_run_is_trained_and_answers_its_question(
    tiny: Callable[..., Recipe], train: Callable[..., object], tmp_path: Path, few_faces: FaceTable
) -> None:
    """Mixed batches and all: what is measured is the accuracy of two answers, and so is what can be asked."""
    result, trainer = train(tiny(data={"binary": "happy"}, schedule={"epochs": 1}), tmp_path)  # type: ignore[misc]
    assert trainer.loader.heads == ("happy",)
    classifier = TorchClassifier(tmp_path, head="happy")
    assert classifier.labels == binary_task("happy").classes
    held = few_faces.split("PublicTest")
    answers = classifier.predict(held.pixels)
    assert answers.shape == (12, 2)
    truth = (held.labels == FER2013.index("happy")).astype(int)
    assert result.best.validation_accuracy == pytest.approx(np.mean(answers.argmax(1) == truth))
    loss = functional.nll_loss(torch.from_numpy(np.log(answers)), torch.from_numpy(truth))
    assert result.best.validation_loss == pytest.approx(float(loss), rel=1e-4)
    assert result.best.votes_loss is None


def test_a_framed_run_begins_from_one_that_knows_all_emotions(
    tiny: Callable[..., Recipe], train: Callable[..., object], whole: Callable[[Recipe], Path], tmp_path: Path
) -> None:
    first = whole(tiny(schedule={"epochs": 1}))
    recipe = tiny(
        data={"binary": "negative"},
        schedule={"epochs": 1},
        network={"init": str(first)},
        optimizer={"lr": 0.0},
    )
    _, trainer = train(recipe, tmp_path)  # type: ignore[misc]
    stem = trainer.learner.network.backbone.conv_stem.weight
    torch.testing.assert_close(stem, load_run(first).network.backbone.conv_stem.weight)
    assert list(trainer.learner.network.heads) == ["negative"]


def test_all_faces_on_one_side_are_refused() -> None:
    table = faces(30)
    only = table.take(table.labels == FER2013.index("happy"))
    only = replace(only, splits=np.array(["Training"] * len(only)))
    with pytest.raises(DataError, match="no face to learn from is not happy"):
        rows_of(only, DataRecipe(binary="happy", validation="Training"), lambda text: None)
