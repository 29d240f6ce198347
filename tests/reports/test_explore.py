"""What a look at the data says is what the data holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import entropy as scipy_entropy

from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.errors import DataError, UsageError
from mien.plotting import new_figure
from mien.reports.explore import explore, sections
from mien.reports.figures import counts
from mien.reports.figures import faces as face_figures
from mien.reports.figures import votes as vote_figures
from mien.testing.fakes import overhang

Make = Callable[..., FaceTable]


def test_counts_are_those_of_a_plain_count(noise_table: Make) -> None:
    labels = [3, 3, 0, 6, -1, 3]
    splits = ["PublicTest", "Training", "Training", "Training", "Training", "PublicTest"]
    counted = counts.count(noise_table(labels, splits))
    assert counted.faces == 6
    assert {k: n for k, n in counted.emotions.items() if n} == {"angry": 1, "happy": 3, "neutral": 1}
    assert counted.splits == Counter(splits)
    assert counted.by_split["PublicTest"]["happy"] == 2


def test_splits_that_are_not_there_are_left_out_and_the_rest_is_in_the_usual_order(noise_table: Make) -> None:
    counted = counts.count(noise_table([0, 1], ["PublicTest", "Training"]))
    assert list(counted.by_split) == ["Training", "PublicTest"]
    _, axes = new_figure(5, 3)
    counts.draw_splits(axes, counted)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["Training", "PublicTest"]


def test_the_glimpse_is_the_table_as_the_csv_has_it(noise_table: Make) -> None:
    table = noise_table([3, -1, 5])
    frame = counts.first_rows(table, rows=2)
    assert frame.index.tolist() == [100, 101]
    assert frame["emotion"].tolist() == ["3 happy", "-"]
    assert frame["pixels"][100].startswith(" ".join(map(str, table.pixels[0, 0, :8])))


def test_the_mean_face_is_the_mean_of_the_faces_of_that_label_alone(noise_table: Make) -> None:
    table = noise_table([3, 0, 3])
    means = face_figures.mean_faces(table)
    assert list(means) == ["angry", "happy"]
    np.testing.assert_allclose(means["happy"], (table.pixels[0].astype(float) + table.pixels[2]) / 2)


def test_a_representative_has_the_label_and_the_most_votes_for_it(noise_table: Make) -> None:
    votes = [{"happy": 6}, {"happy": 9}, {"happy": 10}, {"sad": 10}]
    chosen = face_figures.representatives(noise_table([3, 3, 0, 4], votes=votes))
    assert chosen == {"angry": 2, "happy": 1, "sad": 3}


def test_without_votes_the_representative_is_the_face_most_like_the_mean(noise_table: Make) -> None:
    table = noise_table([3] * 4)
    pixels = table.pixels.copy()
    pixels[1] = pixels[2:].mean(axis=0)
    correlations = [np.corrcoef(face.ravel(), pixels.mean(axis=0).ravel())[0, 1] for face in pixels]
    assert face_figures.representatives(replace(table, pixels=pixels)) == {
        "happy": int(np.argmax(correlations))
    }


def test_a_face_of_one_gray_has_no_contrast(noise_table: Make) -> None:
    table = noise_table([0, 0])
    pixels = table.pixels.copy()
    pixels[1] = 77
    light = face_figures.measure_lighting(replace(table, pixels=pixels))
    assert (light.brightness[1], light.contrast[1]) == (77, 0)
    assert light.quantiles()["contrast"]["minimum"] == 0


def test_entropy_is_scipys() -> None:
    votes = np.random.default_rng(1).integers(0, 4, (50, 10)).astype(np.uint8)
    votes[0] = 0
    got = vote_figures.entropy_bits(votes)
    assert np.isnan(got[0])
    np.testing.assert_allclose(got[1:], scipy_entropy(votes[1:], base=2, axis=1))


def test_the_matrix_says_where_the_votes_of_each_label_went(noise_table: Make) -> None:
    votes = [{"happy": 8, "neutral": 2}, {"happy": 4, "neutral": 6}, {"not a face": 10}]
    matrix = vote_figures.votes_by_label(noise_table([3, 3, 0], votes=votes))
    assert matrix.labels == ("angry", "happy")
    assert matrix.faces == (1, 2)
    np.testing.assert_allclose(matrix.shares.sum(axis=1), 1)
    assert matrix.shares[1, matrix.choices.index("happy")] == pytest.approx(0.6)
    assert matrix.shares[0, matrix.choices.index("not a face")] == 1


def test_the_most_disputed_face_comes_first(noise_table: Make) -> None:
    votes = [{"happy": 10}, {"sad": 5, "fear": 5}, {"sad": 3, "fear": 3, "angry": 3}, {"sad": 5, "happy": 5}]
    assert vote_figures.most_disputed(noise_table([3] * 4, votes=votes), most=3).tolist() == [2, 1, 3]


def test_no_votes_is_an_error_that_names_the_option(noise_table: Make) -> None:
    with pytest.raises(UsageError, match="--votes"):
        vote_figures.votes_by_label(noise_table([0]))


def test_without_votes_or_labels_their_parts_are_left_out(noise_table: Make) -> None:
    names = {section.name for section in sections(noise_table([0, 1]))}
    assert "most_disputed" not in names
    assert {"first_rows", "representatives", "emotions", "lighting"} <= names
    bare = {section.name for section in sections(noise_table([-1, -1]))}
    assert bare == {"first_rows", "usage", "lighting"}


def test_the_page_carries_its_pictures_and_needs_no_other_host(tmp_path: Path) -> None:
    table = faces(70)
    told: list[str] = []
    page = explore(table, tmp_path / "new" / "out", on_section=told.append).read_text(encoding="utf-8")
    names = [section.name for section in sections(table)]
    assert told == names
    assert len(re.findall(r'<img alt="[^"]+"[^>]* src="data:image/(?:png|webp);base64,', page)) == len(names)
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for name in names:
        with Image.open(tmp_path / "new" / "out" / f"{name}.png") as png:
            assert png.width > 300
        assert (
            (tmp_path / "new" / "out" / f"{name}.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")
        )
    numbers = json.loads((tmp_path / "new" / "out" / "explore.json").read_text(encoding="utf-8"))
    assert numbers["sections"]["emotions"] == dict.fromkeys(table.classes, 10)
    assert numbers["data"]["sha256"] == table.sha256
    assert numbers["chapters"] == {"data": names}


def test_no_text_is_clipped_at_the_edge_of_a_figure() -> None:
    for section in sections(faces(70)):
        figure, axes = new_figure(*section.size)
        section.draw(axes)
        assert overhang(figure) <= 0.01, section.name


def test_an_empty_table_is_refused(noise_table: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no faces"):
        explore(noise_table([]), tmp_path)
