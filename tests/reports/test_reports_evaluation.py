"""What the figures about a model say is what its answers are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.emotions import FER2013, VOTES
from mien.evaluation.extended import score_extended
from mien.evaluation.fairness import Grouping, score_groups
from mien.evaluation.predictions import Predictions, VotePredictions, predict_split, predict_votes
from mien.evaluation.result import DataSource, score_predictions
from mien.evaluation.robustness import measure_robustness
from mien.models.card import Card
from mien.models.registry import find_model, shipped
from mien.plotting import new_figure
from mien.reports.evaluation import score_sections, sections, write_evaluation
from mien.reports.figures import leaderboard
from mien.reports.figures.calibration import measure_calibration
from mien.testing.fakes import FakeClassifier, overhang


def noisy(labels: tuple[str, ...], table: FaceTable, sharpness: float = 2.0) -> FakeClassifier:
    """A classifier that mostly knows the label of a face of the table, and is never sure."""
    place = {face.tobytes(): i for i, face in enumerate(table.pixels)}
    logits = np.random.default_rng(5).normal(size=(len(table), len(labels)))
    logits[np.arange(len(table)), table.labels] += sharpness
    powers = np.exp(logits)
    answers = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return FakeClassifier(lambda crops: answers[[place.get(face.tobytes(), 0) for face in crops]], labels)


@pytest.fixture(scope="module")
def table() -> FaceTable:
    drawn = faces(420)
    return replace(drawn, splits=np.where(np.arange(420) < 70, "Training", "PublicTest"))


@pytest.fixture(scope="module")
def judged(table: FaceTable) -> Predictions:
    return predict_split(noisy(FER2013, table), table, "PublicTest", head="fer2013")


@pytest.fixture(scope="module")
def voted(table: FaceTable) -> VotePredictions:
    return predict_votes(noisy(VOTES, table), table, "PublicTest")


def test_every_section_is_there(judged: Predictions, voted: VotePredictions) -> None:
    robust = measure_robustness(FakeClassifier.predicting("happy"), judged, faces=3)
    found = {
        section.name: section for section in sections(judged, voted=voted, robustness=robust, resamples=50)
    }
    assert list(found) == [
        "confusion",
        "confusion_normalized",
        "per_class",
        "precision_recall",
        "roc",
        "top_k",
        "top_2",
        "top_2_pairs",
        "reliability",
        "coverage",
        "conformal",
        "conformal_by_class",
        "mistakes",
        "confused_pairs",
        "multilabel",
        "multilabel_threshold",
        "binary",
        "fairness",
        "robustness",
        "leaderboard",
    ]
    assert {section.report_place for section in found.values()} == {"", "section 4.1", "section 5.2"}


def test_the_numbers_of_the_parts_are_scikit_learns(judged: Predictions) -> None:
    found = {section.name: section.numbers for section in sections(judged, resamples=200)}
    truth, answers = judged.truth, judged.probabilities.argmax(axis=1)
    assert found["confusion"]["counts"] == sk.confusion_matrix(truth, answers).tolist()
    precision, recall, f1, support = sk.precision_recall_fscore_support(truth, answers)
    for i, name in enumerate(FER2013):
        each = found["per_class"][name]
        assert (each["precision"], each["recall"], each["f1"]) == pytest.approx(
            (precision[i], recall[i], f1[i])
        )
        assert each["precision_low"] <= each["precision"] <= each["precision_high"]
        assert each["faces"] == support[i]
        scores = judged.probabilities[:, i]
        assert found["roc"][name]["auc"] == pytest.approx(sk.roc_auc_score(truth == i, scores))
        assert found["precision_recall"][name]["average_precision"] == pytest.approx(
            sk.average_precision_score(truth == i, scores)
        )
        assert found["top_2"][name]["first"] == pytest.approx(recall[i])


def test_without_groups_the_page_says_that_fairness_is_unmeasured(judged: Predictions) -> None:
    (fairness,) = [section for section in sections(judged, resamples=50) if section.name == "fairness"]
    assert "unmeasured" in fairness.text
    assert fairness.draw is None  # it was an empty box with a caption
    grouping = Grouping("age", ("old", "young"), np.arange(len(judged.truth)) % 2)
    scores = score_groups(judged, grouping, np.random.default_rng(0), resamples=50, permutations=50)
    found = {section.name: section for section in sections(judged, groups=[scores], resamples=50)}
    assert "fairness" not in found
    assert set(found["groups"].numbers["groups"]) == {"old", "young"}


def test_the_models_own_temperature_is_taken_out_before_the_fit(judged: Predictions) -> None:
    """Answers sharpened by a temperature of 1/2 give the figure of the answers themselves."""
    sharp = judged.probabilities.astype(float) ** 2
    sharp /= sharp.sum(axis=1, keepdims=True)
    plain = measure_calibration(judged, np.random.default_rng(0))
    calibrated = measure_calibration(
        replace(judged, probabilities=sharp), np.random.default_rng(0), applied_temperature=0.5
    )
    assert plain is not None
    assert calibrated is not None
    assert calibrated.calibration.temperature == pytest.approx(plain.calibration.temperature, rel=1e-3)
    assert calibrated.calibration.ece_before == pytest.approx(plain.calibration.ece_before, abs=1e-6)
    np.testing.assert_allclose(calibrated.after.accuracy, plain.after.accuracy)
    for fit, sizes in zip(plain.calibration.conformal, plain.set_sizes, strict=True):
        assert sizes.sum() == pytest.approx(1)
        assert (sizes * np.arange(1, 8)).sum() == pytest.approx(fit.mean_size)


def test_a_votes_head_is_compared_with_the_voters_shares(table: FaceTable) -> None:
    majority = predict_split(
        noisy(VOTES, table), table, "PublicTest", head="votes", labels="ferplus", known_only=True
    )
    found = measure_calibration(majority, np.random.default_rng(0))
    assert found is not None
    assert found.voters
    assert found.before.error == pytest.approx(found.calibration.ece_before)
    assert found.after.error == pytest.approx(found.calibration.ece_after)


def test_few_faces_give_the_parts_that_need_no_halves(judged: Predictions) -> None:
    few = np.arange(len(judged.truth)) < 1
    alone = replace(
        judged,
        probabilities=judged.probabilities[few],
        truth=judged.truth[few],
        faces=judged.faces.take(few),
        not_in_training=None,
    )
    names = {section.name for section in sections(alone, resamples=10)}
    assert {"confusion", "per_class", "top_k", "coverage"} <= names
    assert not names & {"reliability", "conformal", "roc", "binary"}


def test_no_text_is_clipped_at_the_edge_of_a_figure(judged: Predictions, voted: VotePredictions) -> None:
    robust = measure_robustness(FakeClassifier.predicting("happy"), judged, faces=3)
    for section in sections(judged, voted=voted, robustness=robust, resamples=20):
        if section.draw is None:
            continue
        figure, axes = new_figure(*section.size)
        section.draw(axes)
        assert overhang(figure) <= 0.01, section.name


def test_the_page_carries_every_figure_and_the_json_every_score(
    judged: Predictions, voted: VotePredictions, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    evaluation = score_predictions(judged, generator, data=DataSource("drawn", "abc"), resamples=20)
    extended = score_extended(judged, generator, voted=voted, resamples=20)
    told: list[str] = []
    page = write_evaluation(
        evaluation, judged, tmp_path / "out", extended=extended, on_section=told.append, resamples=20
    )
    html = page.read_text(encoding="utf-8")
    assert page.name == "evaluate.html"
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert f"{evaluation.scores.accuracy:.1%}" in html
    for name in set(told) - {"fairness"}:
        for ending in ("png", "svg", "pdf"):
            assert (tmp_path / "out" / f"{name}.{ending}").is_file()
    found = json.loads((tmp_path / "out" / "evaluate.json").read_text(encoding="utf-8"))
    assert list(found["sections"]) == told
    assert found["evaluation"]["accuracy"] == evaluation.scores.accuracy
    assert found["evaluation"]["ranking"]["top_k_accuracy"][1] == evaluation.scores.top2_accuracy
    assert "unmeasured" in found["evaluation"]["fairness"]


def test_our_figures_on_the_scoreboard_are_those_of_the_cards() -> None:
    ours = {entry.name: entry for entry in leaderboard.leaderboard_entries() if entry.kind == "ours"}
    cards = [find_model(name).card for name in shipped()]
    assert set(ours) >= {card.name for card in cards}
    for card in cards:
        figures = card.figures["PublicTest"]["fer2013"]
        entry = ours[card.name]
        assert (entry.accuracy, entry.low, entry.high) == (figures["accuracy"], *figures["accuracy_ci95"])
        assert f"{card.parameters / 1e6:.1f} M" in entry.protocol


def changed(card: Card, accuracy: float) -> Card:
    scores = {"accuracy": accuracy, "accuracy_ci95": [accuracy - 0.01, accuracy + 0.01]}
    return replace(card, figures={"PublicTest": {"fer2013": scores, "tta": {"fer2013": scores}}})


def test_another_card_gives_other_figures_and_ten_crops_stand_apart() -> None:
    card = changed(find_model().card, 0.9)
    best, second, *others = leaderboard.leaderboard_entries([card])
    assert {best.name, second.name} == {card.name, f"{card.name}, ten crops"}
    assert best.accuracy == 0.9
    assert all(entry.kind != "ours" for entry in others)


def test_the_model_of_the_page_is_among_the_published_results(judged: Predictions) -> None:
    """The figure showed everyone's results but those of the model that the page is about."""
    (found,) = [each for each in sections(judged, resamples=50) if each.name == "leaderboard"]
    (mine,) = [each for each in found.numbers if each["kind"] == "here"]
    hits = judged.probabilities.argmax(axis=1) == judged.truth
    assert mine["name"] == f"{judged.model} (this page)"
    assert mine["accuracy"] == pytest.approx(hits.mean())
    assert mine["low"] <= mine["accuracy"] <= mine["high"]
    assert f"{len(hits):,} faces of other data" in mine["protocol"]
    assert "epoch selected" not in mine["protocol"]
    (found,) = [s for s in sections(judged, selected_on=judged.split, resamples=9) if s.name == "leaderboard"]
    (mine,) = [each for each in found.numbers if each["kind"] == "here"]
    assert "epoch selected on this split" in mine["protocol"]


def test_the_result_of_a_card_that_the_page_repeats_is_shown_once() -> None:
    card = changed(find_model().card, 0.9)
    here = replace(leaderboard.results_of_card(card)[0], name=f"{card.name} (this page)", kind="here")
    kinds = [entry.kind for entry in leaderboard.leaderboard_entries([card], here)]
    assert (kinds.count("here"), kinds.count("ours")) == (1, 1)  # ten crops are another result
    kinds = [entry.kind for entry in leaderboard.leaderboard_entries([card], replace(here, accuracy=0.7))]
    assert (kinds.count("here"), kinds.count("ours")) == (1, 2)


def test_every_published_result_has_its_protocol_and_its_source() -> None:
    entries = leaderboard.published_results()
    stated = {round(entry.accuracy, 4) for entry in entries}
    # Those that the project set out from.
    assert stated >= {0.65, 0.664, 0.7116, 0.7328, 0.7311, 0.737, 0.7414, 0.752, 0.733, 0.716, 0.7979, 0.57}
    for entry in entries:
        assert entry.protocol
        assert entry.source
        assert entry.split
        assert entry.kind in {"blind", "selected", "unknown", "not reproduced", "people"}


def test_confusion_is_drawn_for_classes_without_faces(judged: Predictions) -> None:
    no_disgust = judged.truth != 1
    fewer = replace(
        judged,
        probabilities=judged.probabilities[no_disgust],
        truth=judged.truth[no_disgust],
        faces=judged.faces.take(no_disgust),
        not_in_training=None,
    )
    for section in score_sections(fewer, np.random.default_rng(0), 20):
        _, axes = new_figure(*section.size)
        section.draw(axes)
        if section.name == "per_class":
            assert "disgust" not in section.numbers
