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

from mien.data.synthetic import faces
from mien.data.table import FaceTable
from mien.errors import DataError, FormatError, SourceNotFound, UsageError
from mien.study import doubt, gallery, strange, twins
from mien.study.audit import DETECTORS, audit, write
from mien.study.findings import Decision, Finding, apply, read_decisions
from mien.study.precision import precision

Make = Callable[..., FaceTable]


def with_pixels(table: FaceTable, changed: dict[int, np.ndarray | int]) -> FaceTable:
    pixels = table.pixels.copy()
    for place, face in changed.items():
        pixels[place] = face
    return replace(table, pixels=pixels)


def test_a_repeated_face_is_found_and_the_first_stays(noise_table: Make) -> None:
    table = noise_table([0, 1, 0, 0])
    found = list(twins.exact(with_pixels(table, {2: table.pixels[0]})))
    assert [(each.row, each.score) for each in found] == [(102, 1)]
    assert found[0].evidence == "same pixels as row 100 (Training, angry)"


def test_a_twin_in_another_split_and_one_with_another_label_are_told_apart(noise_table: Make) -> None:
    table = noise_table([0, 1, 0, 2], ["Training", "Training", "PublicTest", "Training"])
    found = list(twins.exact(with_pixels(table, {2: table.pixels[0], 3: table.pixels[1]})))
    assert {each.row: each.score for each in found} == {102: 2, 101: 3, 103: 3}


def test_a_retouched_copy_is_a_near_duplicate_and_strangers_are_not() -> None:
    table = faces(60)
    marked = (table.pixels[4] * 0.6 + 40).astype(np.uint8)
    marked[44:46, 4:12] = 160
    pairs, alike = twins.near_pairs(with_pixels(table, {50: marked}))
    assert [4, 50] in pairs.tolist()
    expected = np.corrcoef(table.pixels[4].ravel(), marked.ravel())[0, 1]
    assert alike[pairs.tolist().index([4, 50])] == pytest.approx(expected, abs=1e-4)


def test_an_exact_copy_and_a_blank_pair_are_no_near_duplicates(noise_table: Make) -> None:
    table = noise_table([0] * 4)
    assert not list(twins.near(with_pixels(table, {1: table.pixels[0], 2: 0, 3: 1})))


def test_a_blank_picture_is_found_and_a_face_is_not(noise_table: Make) -> None:
    (found,) = strange.blank(with_pixels(noise_table([0, 0, 0]), {1: 200}))
    assert (found.row, found.score) == (101, 1)


def test_pictures_of_stripes_are_strangest_among_faces() -> None:
    stripes = np.tile((np.arange(48) % 4 < 2).astype(np.uint8) * 255, (48, 1))
    table = with_pixels(faces(400), {7: stripes, 300: stripes.T})
    found = list(strange.not_a_face(table))
    assert {each.place for each in found[:2]} == {7, 300}


def test_edge_histograms_see_the_direction_of_an_edge() -> None:
    upright = np.zeros((1, 48, 48), np.uint8)
    upright[:, :, 20:] = 255
    by_direction = strange.edge_histograms(upright).reshape(36, 8).sum(axis=0)
    assert by_direction.argmax() == 0
    turned = strange.edge_histograms(upright.swapaxes(1, 2)).reshape(36, 8).sum(axis=0)
    assert turned.argmax() == 4


def test_a_label_against_the_majority_is_doubted_with_the_majority_suggested(noise_table: Make) -> None:
    votes = [{"sad": 8, "neutral": 2}, {"sad": 8, "neutral": 2}, {"contempt": 9}, {"sad": 5, "happy": 5}]
    found = list(doubt.by_votes(noise_table([4, 6, 6, 6], votes=votes)))
    assert [(each.row, each.suggested) for each in found] == [(101, "sad"), (102, "")]
    assert found[0].score == pytest.approx(0.6)


def test_half_the_votes_make_it_not_a_face(noise_table: Make) -> None:
    votes = [{"not a face": 5, "sad": 5}, {"not a face": 4, "sad": 6}]
    assert [each.row for each in doubt.not_a_face_by_votes(noise_table([4, 4], votes=votes))] == [100]


def test_precision_counts_the_surest_findings_that_the_votes_confirm(noise_table: Make) -> None:
    votes = [{"not a face": 9}, {"sad": 9}, {"not a face": 5, "sad": 5}]
    table = noise_table([0] * 3, votes=votes)
    findings = [Finding(i, 100 + i, "Training", "not a face", 3.0 - i, "") for i in range(3)]
    findings.append(Finding(0, 100, "Training", "not a face (votes)", 1, ""))
    measured = {each.n: each.share for each in precision(table, findings, at=(1, 2, 200))}
    assert measured == {1: 1, 2: 0.5, 3: pytest.approx(1 / 3)}


def test_the_csv_lists_every_finding(noise_table: Make, tmp_path: Path) -> None:
    table = with_pixels(noise_table([0, 3], ["Training", "PublicTest"]), {1: 9})
    listed, page = write(table, audit(table), tmp_path / "out")
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
    page = gallery.page(table, findings, most=5)
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
    assert audit(noise_table([0, 1])).counts == dict.fromkeys(DETECTORS, 0)


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
