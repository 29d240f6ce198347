from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from mien.emotions import ABSTAIN, FER2013, VOTES
from mien.errors import CardError, ModelError, UnknownModel, UsageError
from mien.models.card import Head
from mien.models.onnx import OnnxClassifier, OnnxModel, _providers
from mien.testing.fakes import banded_face, write_band_model

HEADS = (Head("fer2013", FER2013, temperature=2.0), Head("votes", VOTES, ABSTAIN))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_band_model(tmp_path_factory.mktemp("model"), heads=HEADS)


def edit_card(model: Path, folder: Path, **changes: object) -> Path:
    """A copy of the model whose card says something else."""
    copy = folder / model.name
    copy.write_bytes(model.read_bytes())
    card = json.loads(model.with_suffix(".json").read_text())
    copy.with_suffix(".json").write_text(json.dumps({**card, **changes}))
    return copy


def test_each_label_wins_where_its_band_is_bright(model: Path) -> None:
    faces = np.stack([banded_face(i, len(FER2013)) for i in range(len(FER2013))])
    assert OnnxClassifier(model).predict(faces).argmax(axis=1).tolist() == list(range(len(FER2013)))


def test_probabilities_are_the_softmax_of_logits_over_the_cards_temperature(model: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    bands = faces[:, : 48 // 7 * 7].reshape(5, 7, 48 // 7, 48).astype(np.float64).mean(axis=(2, 3))
    classifier = OnnxClassifier(model)
    np.testing.assert_allclose(classifier.logits(faces), bands / 255 * 10, rtol=1e-5)
    probabilities = classifier.predict(faces)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, softmax(bands / 255 * 10 / 2.0, axis=1), rtol=1e-5)


def test_every_head_answers_under_its_own_labels(model: Path) -> None:
    votes = OnnxClassifier(model, head="votes")
    assert votes.labels == VOTES
    assert votes.predict(banded_face(9, 10)[None]).argmax() == VOTES.index("not a face")


def test_batches_do_not_change_the_answer(model: Path) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (7, 48, 48), dtype=np.uint8)
    whole = OnnxClassifier(model, batch_size=64).predict(faces)
    np.testing.assert_array_equal(OnnxClassifier(model, batch_size=3).predict(faces), whole)


def test_no_crops_give_no_rows(model: Path) -> None:
    assert OnnxClassifier(model).predict(np.empty((0, 48, 48), np.uint8)).shape == (0, 7)


def test_a_view_that_is_not_contiguous_is_read_right(model: Path) -> None:
    faces = np.random.default_rng(2).integers(0, 256, (4, 96, 96), dtype=np.uint8)[:, ::2, ::2]
    classifier = OnnxClassifier(model)
    np.testing.assert_array_equal(classifier.predict(faces), classifier.predict(faces.copy()))


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((2, 48, 48), np.float32),
        np.zeros((48, 48), np.uint8),
        np.zeros((2, 47, 48), np.uint8),
        np.zeros((2, 48, 48, 3), np.uint8),
        [[0]],
    ],
    ids=["float", "one face", "size", "colour", "list"],
)
def test_other_types_and_shapes_are_refused_with_what_is_wanted(model: Path, crops: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"uint8 \(N, 48, 48\)"):
        OnnxClassifier(model).predict(crops)


def test_one_session_gives_every_head_and_a_classifier_is_a_view_of_one(model: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    whole = OnnxModel(model)
    given = whole.predict(faces)
    assert {name: array.shape for name, array in given.items()} == {"fer2013": (5, 7), "votes": (5, 10)}
    for head in whole.heads:
        view = OnnxClassifier(whole, head=head)
        assert (view.name, view.labels, view.head.name) == (whole.name, whole.heads[head], head)
        np.testing.assert_array_equal(view.predict(faces), given[head])
        np.testing.assert_array_equal(OnnxClassifier(model, head=head).predict(faces), given[head])


def test_a_recalibrated_model_divides_the_same_logits_by_other_temperatures(model: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    whole = OnnxModel(model)
    cold = whole.recalibrated({"votes": 0.5})
    assert cold.temperatures == {"fer2013": 1.0, "votes": 0.5}
    expected = softmax(whole.logits(faces)["votes"].astype(float) / 0.5, axis=1)
    np.testing.assert_allclose(cold.predict(faces)["votes"], expected, atol=1e-6)
    assert whole.temperatures["votes"] == whole.card.head("votes").temperature


def test_a_head_that_the_model_lacks_is_refused(model: Path) -> None:
    with pytest.raises(CardError, match="it has: fer2013, votes"):
        OnnxClassifier(model, head="valence")


def test_weights_that_are_not_the_cards_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CardError, match="SHA-256"):
        OnnxClassifier(edit_card(model, tmp_path, sha256="0" * 64))


def test_a_card_that_promises_another_input_size_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"uint8 \(N, 64, 64\)"):
        OnnxClassifier(edit_card(model, tmp_path, input_size=64))


def test_a_card_with_other_labels_than_the_network_has_outputs_is_refused(
    model: Path, tmp_path: Path
) -> None:
    head = {"name": "fer2013", "labels": ["happy", "sad"], "abstain": []}
    with pytest.raises(CardError, match="2 labels"):
        OnnxClassifier(edit_card(model, tmp_path, heads=[head]))


def test_a_card_with_a_head_that_the_network_lacks_is_refused(model: Path, tmp_path: Path) -> None:
    head = {"name": "valence", "labels": list(FER2013), "abstain": []}
    with pytest.raises(CardError, match="no output 'valence'"):
        OnnxClassifier(edit_card(model, tmp_path, heads=[head], default_head="valence"))


def test_a_damaged_onnx_file_is_a_model_error(model: Path, tmp_path: Path) -> None:
    import hashlib

    cut = model.read_bytes()[:200]
    copy = edit_card(model, tmp_path, sha256=hashlib.sha256(cut).hexdigest())
    copy.write_bytes(cut)
    with pytest.raises(ModelError, match="cannot open"):
        OnnxClassifier(copy)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UnknownModel, match="mien-b99"):
        OnnxClassifier("mien-b99")


@pytest.mark.parametrize("setting", [{"threads": 0}, {"batch_size": 0}, {"device": "tpu"}])
def test_a_setting_out_of_range_is_refused_with_its_value(model: Path, setting: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=str(*setting.values())):
        OnnxClassifier(model, **setting)  # type: ignore[arg-type]


def test_the_cpu_is_always_behind_the_device_that_was_asked_for() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    assert _providers("auto", [cuda, cpu]) == [cuda, cpu]
    assert _providers("auto", [cpu]) == [cpu]
    assert _providers("cpu", [cuda, cpu]) == [cpu]
    assert _providers("cuda", [cuda, cpu]) == [cuda, cpu]


def test_a_device_that_is_not_there_is_refused_with_what_brings_it() -> None:
    with pytest.raises(UsageError, match="onnxruntime-gpu"):
        _providers("cuda", ["CPUExecutionProvider"])


def test_it_says_which_device_it_runs_on(model: Path) -> None:
    assert OnnxClassifier(model, device="cpu").device == "cpu"


def test_a_folder_in_place_of_a_model_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="Export a training run first: mien export"):
        OnnxClassifier(tmp_path)
