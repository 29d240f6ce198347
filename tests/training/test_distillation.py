"""Teachers: what they answer, and how it enters the targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.table import FaceTable
from mien.errors import ModelError, RecipeError, UnknownModel
from mien.models.tta import TtaCrops
from mien.runs.recipe import Recipe
from mien.runs.recipe_sections import DistilRecipe, LoopRecipe
from mien.training.classifier import load_run
from mien.training.data.distillation import Teachers
from mien.training.data.loader import BatchLoader
from mien.training.data.targets import targets_of
from mien.training.distributed import World
from mien.training.network.model import as_input

CPU = torch.device("cpu")
BOTH = ("fer2013", "votes")


@pytest.fixture
def runs(whole: Callable[[Recipe], Path], tiny: Callable[..., Recipe]) -> list[Path]:
    """Two small finished runs that differ."""
    return [whole(tiny(schedule={"epochs": 1}, loop={"seed": seed})) for seed in (0, 1)]


def teachers(runs: list[Path], **changes: Any) -> Teachers:
    return Teachers(DistilRecipe(teachers=tuple(map(str, runs)), **changes), BOTH, CPU, LoopRecipe())


def test_teachers_answer_with_the_mean_of_their_probabilities(runs: list[Path], few_faces: FaceTable) -> None:
    pixels = as_input(torch.from_numpy(few_faces.pixels[:5].copy()))
    with torch.no_grad():
        each = [load_run(run).network(pixels)["votes"].softmax(1) for run in runs]
    assert not torch.allclose(each[0], each[1])
    torch.testing.assert_close(teachers(runs).predict(pixels)["votes"], (each[0] + each[1]) / 2)


def test_a_higher_temperature_makes_softer_answers(runs: list[Path], few_faces: FaceTable) -> None:
    pixels = as_input(torch.from_numpy(few_faces.pixels[:8].copy()))
    sharp, soft = (teachers(runs[:1], temperature=t).predict(pixels)["fer2013"] for t in (0.5, 4.0))
    assert (soft.amax(1) < sharp.amax(1)).all()


@pytest.mark.parametrize("source", ["faces", "crops"])
def test_teacher_at_leisure_a_mirrored_face_gets_the_same_answer(
    runs: list[Path], few_faces: FaceTable, source: str
) -> None:
    faces = torch.from_numpy(few_faces.pixels[:5].copy())
    teacher = teachers(runs, input=source)
    plain, mirrored = (teacher.predict_faces(x, batch=2)["fer2013"] for x in (faces, faces.flip(-1)))
    torch.testing.assert_close(plain, mirrored)
    assert plain.shape == (5, 7)


def test_the_crops_are_those_of_test_time_augmentation(
    runs: list[Path], few_faces: FaceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TrainOptions by what depends on the very pixels; networks of a few steps hardly do."""
    faces = few_faces.pixels[:5]
    teacher = teachers(runs, input="crops")
    monkeypatch.setattr(teacher, "predict", lambda pixels: dict.fromkeys(BOTH, pixels[:, 0, 0]))
    expected = torch.from_numpy(
        np.mean([view[:, 0] / np.float32(255) for view in TtaCrops().of(faces)], axis=0)
    )
    found = teacher.predict_faces(torch.from_numpy(faces.copy()), batch=2)["votes"]
    torch.testing.assert_close(found, expected)


def test_targets_are_blended_and_faces_without_votes_take_the_answer() -> None:
    blend = Teachers(DistilRecipe(weight=0.25), BOTH, CPU, LoopRecipe()).blend
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    answer = torch.tensor([[0.6, 0.4], [0.2, 0.8]])
    blended = blend({"votes": target}, {"votes": answer})["votes"]
    torch.testing.assert_close(blended, torch.tensor([[0.9, 0.1], [0.2, 0.8]]))


@pytest.mark.parametrize("source", ["batch", "faces", "crops"])
def test_batches_hold_blended_targets_and_the_labels_as_they_are(
    runs: list[Path], tiny: Callable[..., Recipe], few_faces: FaceTable, source: str
) -> None:
    plain = replace(
        tiny(augment={"mixup": 0.0, "cutmix": 0.0}),
        distil=DistilRecipe(teachers=(str(runs[0]),), weight=0.5, input=source),  # type: ignore[arg-type]
    )
    loader = BatchLoader(plain, few_faces, device=CPU, world=World(), note=lambda text: None)
    order = loader.order(0)
    batch = loader.batch_at(order, 0, 1)
    train = few_faces.split("Training")
    index = order[8:16]
    truth = {name: target[index] for name, target in targets_of(train, BOTH, CPU).items()}
    assert torch.equal(batch.labels, truth["fer2013"])
    faces = torch.from_numpy(train.pixels.copy())[index]
    teacher = teachers(runs[:1], input=source)
    answer = teacher.predict(batch.pixels) if source == "batch" else teacher.predict_faces(faces)
    for name in BOTH:
        torch.testing.assert_close(batch.targets[name], (truth[name] + answer[name]) / 2)


def test_a_teacher_without_the_head_is_named(
    whole: Callable[[Recipe], Path], tiny: Callable[..., Recipe]
) -> None:
    mute = whole(tiny(data={"votes": False}, schedule={"epochs": 1}))
    with pytest.raises(RecipeError, match="votes"):
        teachers([mute])


@pytest.mark.parametrize("wrong", ["nothing-here", "mien-none"])
def test_a_teacher_that_is_not_there_is_an_error(wrong: str) -> None:
    with pytest.raises((UnknownModel, ModelError), match=wrong):
        teachers([Path(wrong)])
