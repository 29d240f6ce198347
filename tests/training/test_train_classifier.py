from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.table import FaceTable
from mien.emotions import FER2013, VOTES
from mien.errors import CardError, ModelError, UsageError
from mien.models.classifier import classify
from mien.probabilities import softmax
from mien.runs.recipe import Recipe, to_toml
from mien.training.classifier import TorchClassifier, load_run, logits_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "tiny-run"


@pytest.fixture
def run(trained: Path, tiny: Callable[..., Recipe], train: Callable[..., Any]) -> Path:
    """A run of one epoch whose size, 40, is not the recipe's last, 48."""
    if not trained.exists():
        train(tiny(network={"size": 48}, schedule={"epochs": 1, "sizes": [[0, 40]]}), trained)
    return trained


def test_the_network_scores_what_the_run_recorded(run: Path, few_faces: FaceTable) -> None:
    """The recorded accuracy is of the averaged weights at the epoch's own size: both must come back."""
    network, recipe, facts = load_run(run)
    faces = few_faces.split("PublicTest")
    right = logits_of(network, faces.pixels)["fer2013"].argmax(1) == faces.labels
    assert right.mean() == pytest.approx(facts["epoch"]["validation_accuracy"])
    assert (network.size, recipe.network.size, facts["heads"]) == (40, 48, ["fer2013", "votes"])
    assert not network.training


@pytest.mark.parametrize(("head", "labels"), [("fer2013", FER2013), ("votes", VOTES)])
def test_the_classifier_keeps_the_protocol_of_evaluation(
    run: Path, few_faces: FaceTable, head: str, labels: tuple[str, ...]
) -> None:
    classifier = TorchClassifier(run, head=head)
    assert (classifier.name, classifier.labels, tuple(classifier.model.heads)) == (
        "tiny-run",
        labels,
        ("fer2013", "votes"),
    )
    answers = classify(classifier, few_faces.pixels, batch_size=50)  # checks shape, finiteness and sums
    assert answers.dtype == np.float32


def test_the_size_of_a_batch_changes_nothing(run: Path, few_faces: FaceTable) -> None:
    faces = few_faces.pixels[:7]
    one, all_at_once = (TorchClassifier(run, batch_size=n).predict(faces) for n in (1, 7))
    np.testing.assert_allclose(one, all_at_once, atol=1e-6)


def test_no_faces_give_no_rows(run: Path) -> None:
    assert TorchClassifier(run, head="votes").predict(np.empty((0, 48, 48), np.uint8)).shape == (0, 10)


@pytest.mark.parametrize(
    "crops",
    [np.zeros((2, 48, 48), np.float32), np.zeros((48, 48), np.uint8), np.zeros((2, 48, 40), np.uint8)],
)
def test_crops_of_another_kind_are_refused(run: Path, crops: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"uint8 \(N, S, S\)"):
        TorchClassifier(run).predict(crops)


def test_a_head_that_was_not_trained_is_named_with_those_that_were(run: Path) -> None:
    with pytest.raises(CardError, match=r"'valence'.*fer2013, votes"):
        TorchClassifier(run, head="valence")


def test_a_batch_of_nothing_is_refused(run: Path) -> None:
    with pytest.raises(UsageError, match="batch_size"):
        TorchClassifier(run, batch_size=0)


def test_softmax_is_that_of_torch_at_any_scale() -> None:
    logits = np.array([[1e4, 1e4 - 1, -1e4], [0.1, 0.2, 0.3]], np.float32)
    np.testing.assert_allclose(softmax(logits), torch.from_numpy(logits).softmax(1), rtol=1e-6)


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no training run"):
        load_run(tmp_path)


def test_a_run_without_a_finished_epoch_says_so(tmp_path: Path, tiny: Callable[..., Recipe]) -> None:
    (tmp_path / "recipe.toml").write_text(to_toml(tiny()))
    with pytest.raises(ModelError, match="no finished epoch"):
        load_run(tmp_path)


def test_weights_of_another_recipe_are_refused(
    run: Path, tmp_path: Path, tiny: Callable[..., Recipe]
) -> None:
    (tmp_path / "recipe.toml").write_text(to_toml(tiny(network={"backbone": "test_efficientnet"})))
    (tmp_path / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes())
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_run(tmp_path)


def test_a_cut_checkpoint_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes((run / "recipe.toml").read_bytes())
    (tmp_path / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_run(tmp_path)
