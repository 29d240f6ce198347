"""The audit finds what was planted, and drops nothing that nobody decided about."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.auditing.audit import DETECTORS, DetectorInputs, Findings, find, write
from mien.auditing.detectors import duplicates, label_errors, outliers, placement, text_and_drawings
from mien.auditing.detectors.votes import find_not_a_face_by_votes, find_wrong_labels
from mien.auditing.findings import Decision, Finding, apply, read_decisions
from mien.auditing.gallery import gallery_html
from mien.auditing.inputs import TablePredictions, predict_table
from mien.auditing.precision import measure_precision
from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.detection.single_face import SingleFaces
from mien.errors import DataError, FormatError, MissingExtra, SourceNotFound, UsageError
from mien.plotting import new_figure
from mien.reports.audit import audit_sections
from mien.testing.fakes import FakeClassifier, numbered_faces

Make = Callable[..., FaceTable]


def with_pixels(table: FaceTable, changed: dict[int, np.ndarray | int]) -> FaceTable:
    pixels = table.pixels.copy()
    for place, face in changed.items():
        pixels[place] = face
    return replace(table, pixels=pixels)


def test_a_repeated_face_is_found_and_the_first_stays(noise_table: Make) -> None:
    table = noise_table([0, 1, 0, 0])
    found = list(duplicates.find_exact(with_pixels(table, {2: table.pixels[0]})))
    assert [(each.row, each.score) for each in found] == [(102, 1)]
    assert found[0].evidence == "same pixels as row 100 (Training, angry)"


def test_a_twin_in_another_split_and_one_with_another_label_are_told_apart(noise_table: Make) -> None:
    table = noise_table([0, 1, 0, 2], ["Training", "Training", "PublicTest", "Training"])
    found = list(duplicates.find_exact(with_pixels(table, {2: table.pixels[0], 3: table.pixels[1]})))
    assert {each.row: each.score for each in found} == {102: 2, 101: 3, 103: 3}


def test_a_retouched_copy_is_a_near_duplicate_and_strangers_are_not() -> None:
    table = faces(60)
    marked = (table.pixels[4] * 0.6 + 40).astype(np.uint8)
    marked[44:46, 4:12] = 160
    pairs, alike = duplicates.near_pairs(with_pixels(table, {50: marked}))
    assert [4, 50] in pairs.tolist()
    expected = np.corrcoef(table.pixels[4].ravel(), marked.ravel())[0, 1]
    assert alike[pairs.tolist().index([4, 50])] == pytest.approx(expected, abs=1e-4)


def test_an_exact_copy_and_a_blank_pair_are_no_near_duplicates(noise_table: Make) -> None:
    table = noise_table([0] * 4)
    assert not list(duplicates.find_near(with_pixels(table, {1: table.pixels[0], 2: 0, 3: 1})))


def test_a_blank_picture_is_found_and_a_face_is_not(noise_table: Make) -> None:
    (found,) = outliers.find_blank(with_pixels(noise_table([0, 0, 0]), {1: 200}))
    assert (found.row, found.score) == (101, 1)


def test_pictures_of_stripes_are_strangest_among_faces() -> None:
    stripes = np.tile((np.arange(48) % 4 < 2).astype(np.uint8) * 255, (48, 1))
    table = with_pixels(faces(400), {7: stripes, 300: stripes.T})
    found = list(outliers.find_not_a_face(table))
    assert {each.index for each in found[:2]} == {7, 300}


def test_edge_histograms_see_the_direction_of_an_edge() -> None:
    upright = np.zeros((1, 48, 48), np.uint8)
    upright[:, :, 20:] = 255
    by_direction = outliers.edge_histograms(upright).reshape(36, 8).sum(axis=0)
    assert by_direction.argmax() == 0
    turned = outliers.edge_histograms(upright.swapaxes(1, 2)).reshape(36, 8).sum(axis=0)
    assert turned.argmax() == 4


def test_a_label_against_the_majority_is_doubted_with_the_majority_suggested(noise_table: Make) -> None:
    votes = [{"sad": 8, "neutral": 2}, {"sad": 8, "neutral": 2}, {"contempt": 9}, {"sad": 5, "happy": 5}]
    found = list(find_wrong_labels(noise_table([4, 6, 6, 6], votes=votes)))
    assert [(each.row, each.suggested) for each in found] == [(101, "sad"), (102, "")]
    assert found[0].score == pytest.approx(0.6)


def test_half_the_votes_make_it_not_a_face(noise_table: Make) -> None:
    votes = [{"not a face": 5, "sad": 5}, {"not a face": 4, "sad": 6}]
    assert [each.row for each in find_not_a_face_by_votes(noise_table([4, 4], votes=votes))] == [100]


def test_precision_counts_the_surest_findings_that_the_votes_confirm(noise_table: Make) -> None:
    votes = [{"not a face": 9}, {"sad": 9}, {"not a face": 5, "sad": 5}]
    table = noise_table([0] * 3, votes=votes)
    findings = [Finding(i, 100 + i, "Training", "not a face", 3.0 - i, "") for i in range(3)]
    findings.append(Finding(0, 100, "Training", "not a face (votes)", 1, ""))
    measured = {each.n: each.precision for each in measure_precision(table, findings, ks=(1, 2, 200))}
    assert measured == {1: 1, 2: 0.5, 3: pytest.approx(1 / 3)}


def test_precision_of_each_split_is_of_its_own_surest_findings(noise_table: Make) -> None:
    votes = [{"not a face": 9}, {"sad": 9}, {"sad": 9}, {"not a face": 9}]
    table = noise_table([0] * 4, ["Training", "Training", "PublicTest", "PublicTest"], votes=votes)
    findings = [Finding(i, 100 + i, str(table.splits[i]), "not a face", 4.0 - i, "") for i in range(4)]
    measured = {
        (each.split, each.k): (each.precision, each.total)
        for each in measure_precision(table, findings, (1,))
    }
    assert measured == {("", 1): (1, 2), ("Training", 1): (1, 1), ("PublicTest", 1): (0, 1)}


def test_a_doubted_label_is_confirmed_only_by_a_majority_for_another_emotion(noise_table: Make) -> None:
    votes = [{"sad": 9}, {"angry": 9}, {"sad": 4, "fear": 4, "happy": 2}, {"unknown": 9}]
    table = noise_table([0] * 4, votes=votes)
    findings = [Finding(i, 100 + i, "Training", "label", 4.0 - i, "") for i in range(4)]
    (measured,) = measure_precision(table, findings)
    assert (measured.n, measured.precision) == (4, 0.25)


def two_looks(n: int, wrong: list[int]) -> FaceTable:
    """Stripes across, angry, or upright, disgust, in noise; labelled the other at the `wrong` places."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    across = np.tile(80 + 80 * np.sin(np.arange(48) / 2)[:, None], (1, 48))
    light = np.where(truth[:, None, None] == 0, across, across.T)
    pixels = (light + rng.uniform(0, 90, (n, 48, 48))).astype(np.uint8)
    labels = truth.copy()
    labels[wrong] = 1 - labels[wrong]
    return FaceTable(pixels, labels, np.array(["Training"] * n), np.arange(n) + 500)


def test_planted_label_errors_are_found_by_the_models_answers_with_the_right_suggestion() -> None:
    table = two_looks(200, wrong=[3, 50, 121])
    truth = np.arange(200) % 2
    said = np.where(truth[:, None] == np.arange(2), 0.9, 0.1).astype(np.float32)
    found = list(
        label_errors.find_label_errors(table, TablePredictions("oracle", ("angry", "disgust"), said))
    )
    assert {each.index for each in found} == {3, 50, 121}
    assert {each.row: each.suggested for each in found} == {503: "disgust", 550: "angry", 621: "disgust"}


def test_planted_label_errors_are_found_by_pixels_alone() -> None:
    table = two_looks(200, wrong=[3, 50, 121])
    found = list(label_errors.find_label_errors(table))
    assert {each.index for each in found[:3]} == {3, 50, 121}


def test_no_face_is_predicted_by_a_classifier_that_saw_its_twin() -> None:
    """Twins under two labels: whoever saw one could tell the other's label; out of fold nobody can."""
    rng = np.random.default_rng(1)
    faces_once = rng.integers(0, 256, (60, 48, 48), dtype=np.uint8)
    table = FaceTable(
        np.concatenate([faces_once, faces_once]),
        np.tile(np.arange(60) % 2, 2),
        np.array(["Training"] * 120),
        np.arange(120),
    )
    predicted = label_errors.out_of_fold(table, None, np.arange(120), np.arange(2))
    right = (predicted.argmax(axis=1) == table.labels).mean()
    assert right < 0.75  # 1.0 where twins are learned from


@pytest.mark.parametrize("missing", ["sklearn", "cleanlab"])
def test_without_its_packages_a_search_for_label_errors_names_the_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [each for each in sys.modules if each.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    table = two_looks(60, wrong=[3])
    said = np.full((60, 2), 0.5, np.float32)
    with pytest.raises(MissingExtra, match=r"mien\[study\]"):
        list(label_errors.find_label_errors(table, TablePredictions("even", ("angry", "disgust"), said)))


def test_no_label_is_doubted_where_the_classes_are_too_few_or_too_small(noise_table: Make) -> None:
    assert not list(label_errors.find_label_errors(noise_table([0] * 50)))
    assert not list(label_errors.find_label_errors(noise_table([0] * 50 + [1] * 3)))
    assert not list(label_errors.find_label_errors(noise_table([-1] * 50)))


def test_asking_gives_the_classifiers_answers_for_every_face_in_order(noise_table: Make) -> None:
    order = [2, 0, 1]
    said = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], np.float32)
    classifier = FakeClassifier.from_table(said, labels=("happy", "sad"))
    asked: list[int] = []
    table = replace(noise_table([0] * 3), pixels=numbered_faces(order))
    answers = predict_table(classifier, table, progress=asked.append)
    assert (sum(asked), answers.labels) == (3, ("happy", "sad"))
    np.testing.assert_array_equal(answers.probabilities, said[order])


def test_a_model_that_knows_not_a_face_is_believed_surest_first(noise_table: Make) -> None:
    said = np.array([[0.95, 0.05], [0.5, 0.5], [0.1, 0.9]], np.float32)
    found = list(
        outliers.find_not_a_face_by_model(
            noise_table([0] * 3), TablePredictions("m", ("happy", "not a face"), said)
        )
    )
    assert [(each.row, each.score) for each in found] == [(102, 0.9), (101, 0.5)]
    assert not list(
        outliers.find_not_a_face_by_model(noise_table([0] * 3), TablePredictions("m", ("happy", "sad"), said))
    )


def test_a_caption_is_found_where_it_stands() -> None:
    from PIL import Image, ImageDraw

    table = faces(300)
    picture = Image.fromarray(table.pixels[9])
    ImageDraw.Draw(picture).text((2, 35), "WORDS", fill=255)
    found = next(iter(text_and_drawings.find_text(with_pixels(table, {9: np.asarray(picture)}))))
    assert found.index == 9
    y = int(found.evidence.split("y ")[1].split(",")[0])
    assert 34 <= y <= 42


def test_a_flat_picture_with_hard_edges_is_a_drawing_and_a_shaded_one_is_not() -> None:
    x = np.linspace(0, 1, 48)
    shaded = (128 + 60 * np.sin(6 * x)[None] + 60 * np.cos(5 * x)[:, None]).astype(np.uint8)
    drawn = np.where(shaded > 128, 240, 60).astype(np.uint8)
    score, flat, edges = text_and_drawings.drawing_score(np.stack([shaded, drawn]))
    assert score[0] == 0
    assert score[1] > 0.1
    assert flat[1] > 0.5 > edges[1] > 0


def test_what_a_model_calls_not_a_face_is_no_drawing() -> None:
    x = np.linspace(0, 1, 48)
    shaded = 128 + 60 * np.sin(6 * x)[None] + 60 * np.cos(5 * x)[:, None]
    table = with_pixels(faces(300), {5: np.where(shaded > 128, 240, 60).astype(np.uint8)})
    said = np.tile(np.array([[0.9, 0.1]], np.float32), (300, 1))
    assert 5 in {
        each.index
        for each in text_and_drawings.find_drawings(table, TablePredictions("m", ("sad", "not a face"), said))
    }
    said[5] = [0.2, 0.8]
    assert 5 not in {
        each.index
        for each in text_and_drawings.find_drawings(table, TablePredictions("m", ("sad", "not a face"), said))
    }


def found_faces(table: FaceTable, boxes: list[tuple[float, ...]], confidence: float = 0.9) -> SingleFaces:
    """Faces with these boxes, their eyes, nose and mouth where they are in a face."""
    at = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.5, 0.8], [0, 0.5], [1, 0.5]])
    box = np.array(boxes, np.float32)
    points = box[:, None, :2] + at * box[:, None, 2:]
    return SingleFaces(np.full(len(table), confidence, np.float32), box, points.astype(np.float32))


def test_a_face_whose_eye_lies_outside_is_cut_and_one_whose_ear_does_is_not(noise_table: Make) -> None:
    table = noise_table([0, 0])
    looked = found_faces(table, [(-20, 4, 40, 40), (-6, 4, 60, 40)])
    (found,) = placement.find_cut(table, looked)
    assert found.row == 100
    assert found.evidence == "the right eye lies 8 px beyond the left edge"
    assert found.score == pytest.approx(8 / 48, abs=1e-4)


def test_a_face_that_takes_a_third_of_its_picture_is_tiny(noise_table: Make) -> None:
    table = noise_table([0, 0])
    (found,) = placement.find_tiny(table, found_faces(table, [(10, 10, 16, 16), (2, 2, 44, 44)]))
    assert (found.row, found.evidence) == (100, "the face fills 33% of the image's width")


def test_where_the_detector_sees_no_face_nothing_is_cut_or_tiny(noise_table: Make) -> None:
    table = noise_table([0])
    looked = found_faces(table, [(-20, 4, 16, 16)], confidence=0.01)
    assert not [*placement.find_cut(table, looked), *placement.find_tiny(table, looked)]


def test_the_figures_of_an_audit_can_be_drawn_and_carry_its_numbers() -> None:
    table = with_pixels(faces(220), {7: 128, 9: 200})
    found = find(DetectorInputs(table))
    drawn = {section.name: section for section in audit_sections(table, found)}
    for section in drawn.values():
        figure, axes = new_figure(*section.size)
        section.draw(axes)
        figure.canvas.draw()
    assert drawn["audit_counts"].numbers == found.counts
    assert {each["row"] for each in drawn["audit_blank"].numbers} == set(table.rows[[7, 9]].tolist())


def test_the_strip_of_duplicates_shows_faces_not_blank_images() -> None:
    """FER2013's blank images have several labels, so that they were the first duplicates: black squares."""
    table = faces(220)
    pixels = table.pixels.copy()
    pixels[[3, 4, 5, 6]] = 0  # blank, with different labels
    pixels[21] = pixels[20]
    table = replace(table, pixels=pixels)
    found = Findings(tuple(sorted(duplicates.find_exact(table), key=lambda each: -each.score)))
    assert [each.score for each in found.findings][:4] == [3, 3, 3, 3]
    (strip,) = [each for each in audit_sections(table, found) if each.name == "audit_duplicate"]
    shown = {each["row"] for each in strip.numbers}
    assert shown
    assert shown <= set(table.rows[[20, 21]].tolist())
    assert "Blank images" in strip.text


def test_the_csv_lists_every_finding(noise_table: Make, tmp_path: Path) -> None:
    table = with_pixels(noise_table([0, 3], ["Training", "PublicTest"]), {1: 9})
    listed, page = write(table, find(DetectorInputs(table)), tmp_path / "out")
    with listed.open(encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["evidence"] == "the pixels' standard deviation is 0.0 of 255"
    assert (line["row"], line["split"], line["kind"], line["label"]) == (
        "101",
        "PublicTest",
        "blank",
        "happy",
    )
    assert page.exists()


def test_the_gallery_shows_each_finding_beside_its_own_face(noise_table: Make) -> None:
    import base64
    import io

    table = replace(noise_table([0, 1, 2]), source="</script>")
    findings = [Finding(i, 100 + i, "Training", "blank", 1, "why") for i in (2, 0)]
    page = gallery_html(table, findings, most=5)
    data = re.search(r"const audit = (.*);\n", page)
    sheet = re.search(r"data:image/png;base64,([\w+/=]+)", page)
    assert data is not None
    assert sheet is not None
    document = json.loads(data[1])
    assert document["source"] == "</script>"
    assert page.count("</script>") == 1
    with Image.open(io.BytesIO(base64.b64decode(sheet[1]))) as png:
        picture = np.asarray(png)
    for line, place in zip(document["findings"], (2, 0), strict=True):
        x = line[-1] * 48
        np.testing.assert_array_equal(picture[:48, x : x + 48], table.pixels[place])


def test_every_detector_is_counted_even_where_it_finds_nothing(noise_table: Make) -> None:
    assert find(DetectorInputs(noise_table([0, 1]))).counts == dict.fromkeys(DETECTORS, 0)


def test_only_what_was_accepted_goes_and_only_what_was_relabelled_changes(noise_table: Make) -> None:
    table = noise_table([0, 1, 2, 3])
    made = [Decision(100, "accept"), Decision(101, "reject"), Decision(103, "relabel", "sad")]
    left = apply(table, made)
    assert left.rows.tolist() == [101, 102, 103]
    assert left.labels.tolist() == [1, 2, 4]
    assert table.labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("decision", [Decision(99, "accept"), Decision(100, "relabel", "bored")])
def test_a_decision_on_no_such_row_or_label_is_refused(noise_table: Make, decision: Decision) -> None:
    with pytest.raises(UsageError, match=r"99|bored"):
        apply(noise_table([0]), [decision])


def test_a_table_of_which_nothing_is_left_is_refused(noise_table: Make) -> None:
    with pytest.raises(DataError, match="No face is left"):
        apply(noise_table([0]), [Decision(100, "accept")])


def test_decisions_are_read_as_saved(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text("row,decision,label\n7,accept,\n8,relabel,sad\n7,accept,\n")
    assert read_decisions(path) == [Decision(7, "accept"), Decision(8, "relabel", "sad")]


@pytest.mark.parametrize(
    "line", ["x,accept,", "7,maybe,", "7,relabel,", "7,accept,sad", "7", "7,accept,\n7,reject,"]
)
def test_a_line_that_is_no_decision_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(f"row,decision,label\n{line}\n")
    with pytest.raises(FormatError, match=r"line [23]"):
        read_decisions(path)


def test_a_missing_file_of_decisions_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="mien audit"):
        read_decisions(tmp_path / "none.csv")
