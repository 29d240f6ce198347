from __future__ import annotations

from pathlib import Path

import pytest

from mien.errors import CardError
from mien.exporting.card import with_measurements, write_card
from mien.exporting.onnx import Exported
from mien.models.card import read_card, without_folders


def test_what_is_measured_replaces_what_stood_there_and_the_rest_stays(exported: Exported) -> None:
    first = with_measurements(exported.card, figures={"PublicTest": {"accuracy": 0.5}})
    card = with_measurements(
        first,
        temperatures={"votes": 0.7},
        conformal={"fer2013": {0.9: 0.2, "0.95": 0.1}},
        certain_margins={"votes": 0.25},
        figures={"PrivateTest": {"accuracy": 0.6}},
    )
    assert card.head("votes").temperature == 0.7
    assert card.head("fer2013").temperature == 1.0
    assert card.head("fer2013").conformal == {"0.90": 0.2, "0.95": 0.1}
    assert card.head("votes").conformal == {}
    assert (card.head("fer2013").certain_margin, card.head("votes").certain_margin) == (None, 0.25)
    assert card.figures == {"PublicTest": {"accuracy": 0.5}, "PrivateTest": {"accuracy": 0.6}}
    assert (card.sha256, card.training) == (exported.card.sha256, exported.card.training)


def test_the_card_given_is_not_changed(exported: Exported) -> None:
    with_measurements(exported.card, temperatures={"votes": 2.0}, figures={"PublicTest": {}})
    assert exported.card.head("votes").temperature == 1.0
    assert exported.card.figures == {}


def test_a_head_that_the_model_has_not_is_an_error(exported: Exported) -> None:
    with pytest.raises(CardError, match="valence"):
        with_measurements(exported.card, temperatures={"valence": 1.0})
    with pytest.raises(CardError, match="valence"):
        with_measurements(exported.card, conformal={"valence": {0.9: 0.1}})


def test_a_card_is_written_beside_its_file_and_read_back(exported: Exported, tmp_path: Path) -> None:
    card = with_measurements(exported.card, temperatures={"votes": 0.7}, conformal={"votes": {0.9: 0.2}})
    path = write_card(card, tmp_path / "model.onnx")
    assert path == tmp_path / "model.json"
    back = read_card(path)
    assert (back.heads, back.data, back.notes) == (card.heads, card.data, card.notes)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/home/me/fer2013.tar.gz: fer2013/fer2013.csv", "fer2013.tar.gz: fer2013/fer2013.csv"),
        (r"C:\data\fer2013.csv", "fer2013.csv"),
        ("ck+/", "ck+"),
        ("synthetic", "synthetic"),
    ],
)
def test_a_card_names_the_data_without_the_folders_of_the_machine(source: str, said: str) -> None:
    assert without_folders(source) == said
