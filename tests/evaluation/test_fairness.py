"""Scores of groups that a file names, and whether a gap between them is chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from mien.data.table import FaceTable
from mien.emotions import FER2013
from mien.errors import FormatError, SourceNotFound, UsageError
from mien.evaluation.fairness import Grouping, read_groups, score_groups
from mien.evaluation.predictions import Predictions
from mien.testing.fakes import numbered_faces


def judged(truth: np.ndarray, answer: np.ndarray, names: list[str] | None = None) -> Predictions:
    n = len(truth)
    faces = FaceTable(
        numbered_faces(list(range(n))),
        truth,
        np.full(n, "PublicTest"),
        np.arange(1000, 1000 + n),
        names=None if names is None else np.array(names),
    )
    return Predictions(
        FER2013,
        np.eye(7, dtype=np.float32)[answer],
        truth,
        "m",
        "h",
        faces,
        "PublicTest",
        "fer2013",
        None,
        {},
    )


def mixed(n: int, share: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Truths, and answers of which that share is right."""
    truth = generator.integers(0, 7, n)
    wrong = generator.random(n) >= share
    return truth, np.where(wrong, (truth + 1) % 7, truth)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(9)


def test_groups_are_joined_by_row_and_empty_cells_are_no_group(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("row,age,note\n1001,old,x\n1000,young,\n7,young,y\n")
    zeros = np.zeros(3, np.int64)
    age, note = read_groups(path, judged(zeros, zeros))
    assert (age.name, age.groups, age.member.tolist()) == ("age", ("old", "young"), [1, 0, -1])
    assert (note.name, note.groups, note.member.tolist()) == ("note", ("x",), [-1, 0, -1])


def test_groups_are_joined_by_path_or_by_a_file_name_that_is_alone(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("name,g\ntest/happy/a.png,x\nb.png,y\na.png,z\n")
    zeros = np.zeros(3, np.int64)
    names = ["test/happy/a.png", "test/sad/a.png", "test/sad/b.png"]
    (grouping,) = read_groups(path, judged(zeros, zeros, names))
    assert [grouping.groups[i] if i >= 0 else "" for i in grouping.member] == ["x", "", "y"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("row,g\n5,a\n", UsageError, "names none of the 2 faces"),
        ("face,g\n5,a\n", FormatError, "needs a column row or name"),
        ("row\n1000\n", FormatError, "at least one column of groups"),
        ("", FormatError, "no header"),
        ("row,g\n1000,a\n1000,b\n", FormatError, "line 3.*already"),
        ("name,g\na.png,a\n", UsageError, "have none. Use a column row"),
    ],
)
def test_a_file_that_cannot_be_joined_is_refused(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text)
    zeros = np.zeros(2, np.int64)
    with pytest.raises(error, match=message):
        read_groups(path, judged(zeros, zeros))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    zeros = np.zeros(2, np.int64)
    with pytest.raises(SourceNotFound, match=r"absent\.csv"):
        read_groups(tmp_path / "absent.csv", judged(zeros, zeros))


def test_each_groups_scores_are_scikit_learns(generator: np.random.Generator) -> None:
    truth, answer = mixed(400, 0.7, generator)
    member = generator.integers(-1, 3, 400)
    found = score_groups(judged(truth, answer), Grouping("g", ("a", "b", "c"), member), generator)
    accuracies = []
    for i, name in enumerate("abc"):
        mine = member == i
        score = found.groups[name]
        accuracies.append(sk.accuracy_score(truth[mine], answer[mine]))
        assert score.n == mine.sum()
        assert score.accuracy == pytest.approx(accuracies[-1])
        assert score.macro_f1 == pytest.approx(sk.f1_score(truth[mine], answer[mine], average="macro"))
        rest = (member >= 0) & ~mine
        assert score.difference == pytest.approx(accuracies[-1] - (truth == answer)[rest].mean())
        assert score.accuracy_ci95 is not None
        low, high = score.accuracy_ci95
        assert low < score.accuracy < high
    assert found.gap == pytest.approx(max(accuracies) - min(accuracies))
    assert found.n == (member >= 0).sum()
    assert found.ungrouped == (member < 0).sum()


def test_a_real_gap_has_a_small_p_value_and_an_interval_around_it(generator: np.random.Generator) -> None:
    good, bad = mixed(400, 0.9, generator), mixed(400, 0.6, generator)
    truth, answer = (np.concatenate(each) for each in zip(good, bad, strict=True))
    found = score_groups(judged(truth, answer), Grouping("g", ("a", "b"), np.repeat([0, 1], 400)), generator)
    assert found.p_value == pytest.approx(1 / 2001)
    assert found.gap_ci95 is not None
    assert found.gap_ci95[0] < 0.3 < found.gap_ci95[1]
    assert found.groups["a"].difference_ci95 is not None
    assert found.groups["a"].difference_ci95[0] > 0.2


def test_the_p_value_agrees_with_fishers_exact_test(generator: np.random.Generator) -> None:
    """One true class and two groups of equal size: the gap is a two-sided test of a 2 x 2 table."""
    answer = np.array([0] * 40 + [1] * 20 + [0] * 29 + [1] * 31)
    found = score_groups(
        judged(np.zeros(120, np.int64), answer),
        Grouping("g", ("a", "b"), np.repeat([0, 1], 60)),
        generator,
        permutations=20_000,
    )
    expected = stats.fisher_exact([[40, 20], [29, 31]]).pvalue
    assert found.p_value == pytest.approx(expected, rel=0.1)


def test_p_values_are_even_where_there_is_no_gap(generator: np.random.Generator) -> None:
    values = []
    for _ in range(60):
        truth, answer = mixed(200, 0.7, generator)
        grouping = Grouping("g", ("a", "b"), generator.integers(0, 2, 200))
        found = score_groups(judged(truth, answer), grouping, generator, resamples=2, permutations=99)
        values.append(found.p_value)
    assert stats.kstest(values, "uniform").pvalue > 0.001


def test_more_faces_of_an_easy_emotion_are_no_gap(generator: np.random.Generator) -> None:
    """Happy faces are all right and sad ones half right, in both groups alike; one group is mostly happy."""
    truth = np.array([3] * 180 + [4] * 20 + [3] * 20 + [4] * 180)
    answer = np.where((truth == 4) & (np.arange(400) % 2 == 0), 0, truth)
    found = score_groups(judged(truth, answer), Grouping("g", ("a", "b"), np.repeat([0, 1], 200)), generator)
    assert found.gap == pytest.approx(0.4)
    assert found.p_value is not None
    assert found.p_value > 0.5


def test_small_groups_are_counted_and_not_scored(generator: np.random.Generator) -> None:
    truth, answer = mixed(150, 0.7, generator)
    grouping = Grouping("g", ("a", "b", "few"), np.repeat([0, 1, 2], [70, 70, 10]))
    found = score_groups(judged(truth, answer), grouping, generator, minimum_n=50)
    assert found.groups["few"].n == 10
    assert found.groups["few"].accuracy is None
    assert found.n == 140
    alone = score_groups(judged(truth, answer), grouping, generator, minimum_n=100)
    assert (alone.gap, alone.p_value, alone.n) == (None, None, 0)


def test_the_same_seed_gives_the_same_scores(generator: np.random.Generator) -> None:
    p = judged(*mixed(200, 0.7, generator))
    grouping = Grouping("g", ("a", "b"), np.arange(200) % 2)
    first, second = (score_groups(p, grouping, np.random.default_rng(1), resamples=50) for _ in range(2))
    assert first == second
    assert first != score_groups(p, replace(grouping, name="h"), np.random.default_rng(1), resamples=50)
