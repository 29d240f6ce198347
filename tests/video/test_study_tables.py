"""The tables of a study against a brute-force oracle: time is cut into milliseconds, and each is counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.emotions import ABSTAIN, FER2013, FERPLUS, VOTES, has_valence, valence
from mien.errors import UsageError
from mien.files import read_csv
from mien.inference.face import Face
from mien.models.card import Head
from mien.names import from_csv_cell
from mien.video.options.study import StudyOptions
from mien.video.results import FrameResult, TrackedFace
from mien.video.study.dictionary import (
    describe,
    event_columns,
    frame_columns,
    images_columns,
    interval_columns,
    people_columns,
)
from mien.video.study.files import join_tables, open_tables
from mien.video.study.measures import Measures, rest_of, timed
from mien.video.study.tables import Event, EventTable, IntervalTable, PeopleTable, Row

HEAD = Head("votes", VOTES, ABSTAIN)
PLAIN = Head("fer2013", FER2013)


def face(person: int, shares: Sequence[float]) -> TrackedFace:
    emotions = dict(zip(FERPLUS, map(float, shares), strict=True))
    one = Face((1, 2, 30, 40), 0.9, emotions, {"unknown": 0.1, "not a face": 0.02}, certain_margin=0.3)
    return TrackedFace(person, one, one)


def scene(seed: int, *, frames: int = 80, people: int = 3) -> list[FrameResult]:
    """Frames at uneven times, in whole milliseconds; people come and go, and change slowly."""
    draw = np.random.default_rng(seed)
    times_ms = np.cumsum(draw.integers(20, 90, frames))
    logits = np.cumsum(draw.normal(0, 0.9, (frames, people, len(FERPLUS))), axis=0)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    there = np.repeat(draw.random((frames // 8 + 1, people)) < 0.75, 8, axis=0)
    return [
        FrameResult(
            "a.mp4",
            i,
            int(times_ms[i]) / 1000,
            tuple(face(p + 1, shares[i, p]) for p in range(people) if there[i, p]),
        )
        for i in range(frames)
    ]


def constant(happy: Sequence[float | None], *, rate: float = 10) -> list[FrameResult]:
    """One person with this probability of happy, the rest on neutral; None: the face is not there."""
    results = []
    for i, share in enumerate(happy):
        shares = [0.0] * len(FERPLUS)
        if share is not None:
            shares[FERPLUS.index("happy")], shares[FERPLUS.index("neutral")] = share, 1 - share
        faces = () if share is None else (face(1, shares),)
        results.append(FrameResult("a.mp4", i, i / rate, faces))
    return results


def milliseconds(results: list[FrameResult]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The oracle: person -> each millisecond in which they are seen, and the emotions in it, (N, 8)."""
    seen: dict[int, tuple[list[int], list[list[float]]]] = {}
    for result, seconds in timed(results):
        begin = round(result.time_s * 1000)
        for it in result.faces:
            times, values = seen.setdefault(it.id, ([], []))
            times += range(begin, begin + round(seconds * 1000))
            values += [list(it.face.emotions.values())] * round(seconds * 1000)
    return {person: (np.array(times), np.array(values)) for person, (times, values) in seen.items()}


def people_of(results: list[FrameResult], measures: Measures) -> list[Row]:
    table = PeopleTable("a.mp4", measures)
    for result, seconds in timed(results):
        table.write(result, seconds)
    return list(table.rows())


def intervals_of(results: list[FrameResult], measures: Measures, bin_s: float) -> list[Row]:
    table = IntervalTable("a.mp4", measures, bin_s)
    rows = [row for result, seconds in timed(results) for row in table.write(result, seconds)]
    return rows + list(table.finish())


def events_of(results: list[FrameResult], measures: Measures, on: float, hysteresis: float) -> list[Event]:
    table = EventTable(measures, on, hysteresis)
    for result, seconds in timed(results):
        table.write(result, seconds)
    return table.events()


@pytest.mark.parametrize("seed", range(4))
def test_means_and_spreads_of_people_are_those_of_all_their_milliseconds(seed: int) -> None:
    results = scene(seed)
    oracle = milliseconds(results)
    rows = people_of(results, Measures(HEAD))
    assert [row["face_id"] for row in rows] == sorted(oracle)
    analyzed_s = sum(seconds for _, seconds in timed(results))
    for row in rows:
        times, values = oracle[row["face_id"]]
        for i, name in enumerate(FERPLUS):
            assert row[f"mean_{name}"] == pytest.approx(values[:, i].mean(), abs=2e-6)
            assert row[f"sd_{name}"] == pytest.approx(values[:, i].std(), abs=2e-6)
            share = (values.argmax(axis=1) == i).mean()
            assert row[f"share_{name}"] == pytest.approx(share, abs=2e-6)
        pleasant = values[:, 3] - values[:, [0, 1, 2, 4]].max(axis=1)
        assert row["mean_valence"] == pytest.approx(pleasant.mean(), abs=2e-6)
        assert row["seconds"] == pytest.approx(len(times) / 1000)
        assert row["share_of_clip"] == pytest.approx(len(times) / 1000 / analyzed_s, abs=2e-6)
        assert row["longest_s"] == max(row[f"longest_{name}_s"] for name in FERPLUS)


def test_missing_is_the_share_of_the_stay_without_the_face() -> None:
    (row,) = people_of(constant([None, 0.9, 0.9, None, None, 0.9, None]), Measures(HEAD))
    assert row["missing"] == pytest.approx((0.5 + 0.1 - 0.1 - 0.3) / 0.5, abs=1e-6)
    assert row["share_of_clip"] == pytest.approx(3 / 7, abs=1e-6)
    assert row["longest_happy_s"] == pytest.approx(0.3)
    assert row["longest_sad_s"] == 0.0


@pytest.mark.parametrize("bin_s", [0.25, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_the_means_of_their_milliseconds(seed: int, bin_s: float) -> None:
    results = scene(seed)
    oracle, rows = milliseconds(results), intervals_of(results, Measures(HEAD), bin_s)
    counted = 0
    for row in rows:
        times, values = oracle[row["face_id"]]
        inside = (times >= round(row["start_s"] * 1000)) & (times < round(row["end_s"] * 1000))
        assert row["seconds"] == pytest.approx(inside.sum() / 1000, abs=1e-6)
        counted += int(inside.sum())
        if not inside.any():
            assert row["missing"] == 1.0
            assert "mean_happy" not in row
            continue
        for i, name in enumerate(FERPLUS):
            assert row[f"mean_{name}"] == pytest.approx(values[inside, i].mean(), abs=2e-6)
        assert row["top"] == FERPLUS[int(values[inside].mean(axis=0).argmax())]
    assert counted == sum(len(times) for times, _ in oracle.values())
    for person in oracle:
        starts = [row["start_s"] for row in rows if row["face_id"] == person]
        assert np.allclose(np.diff(starts), bin_s)  # none is left out, and they are in order


def test_an_interval_has_a_missing_share_and_frames() -> None:
    rows = intervals_of(constant([0.9] * 5 + [None] * 20 + [0.9] * 5), Measures(HEAD), 1.0)
    assert [(row["start_s"], row["missing"], row["frames"]) for row in rows] == [
        (0.0, 0.5, 5), (1.0, 1.0, 0), (2.0, 0.5, 5)
    ]  # fmt: skip


def test_events_begin_at_the_threshold_and_end_below_the_lower_one() -> None:
    happy = [0.2, 0.5, 0.45, 0.8, 0.41, 0.39, 0.45, 0.2, 0.6, 0.2]
    events = [
        event for event in events_of(constant(happy), Measures(HEAD), 0.5, 0.1) if event.emotion == "happy"
    ]
    rows = [event.row("a.mp4") for event in events]
    assert [(row["onset_s"], row["offset_s"]) for row in rows] == [(0.1, 0.5), (0.8, 0.9)]
    assert (rows[0]["onset_frame"], rows[0]["offset_frame"]) == (1, 4)
    assert (rows[0]["peak"], rows[0]["peak_s"]) == (0.8, 0.3)
    assert rows[0]["mean"] == pytest.approx(np.mean([0.5, 0.45, 0.8, 0.41]))
    assert not any(row["onset_censored"] or row["offset_censored"] for row in rows)


def test_events_at_the_ends_of_a_stay_are_censored() -> None:
    happy = [None, 0.9, 0.9, *[None] * 8, 0.2, 0.9, None, 0.9, 0.9]
    events = [
        event for event in events_of(constant(happy), Measures(HEAD), 0.5, 0.1) if event.emotion == "happy"
    ]
    rows = [event.row("a.mp4") for event in events]
    # A gap of 0.9 s ends the first; the second goes on over one missed frame, until the clip ends.
    assert [(row["onset_s"], row["offset_s"]) for row in rows] == [(0.1, 0.3), (1.2, 1.6)]
    assert [(row["onset_censored"], row["offset_censored"]) for row in rows] == [(True, True), (False, True)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.2, 0.9), st.floats(0, 0.19))
def test_events_are_those_of_a_state_machine(happy: list[float], on: float, hysteresis: float) -> None:
    inside, expected = False, []
    for share in happy:
        inside = share >= on or (inside and share >= on - hysteresis)
        expected.append(inside)
    found = [False] * len(happy)
    events = [e for e in events_of(constant(happy), Measures(HEAD), on, hysteresis) if e.emotion == "happy"]
    for event in events:
        found[event.onset_frame : event.offset_frame + 1] = [True] * (
            event.offset_frame + 1 - event.onset_frame
        )
    assert found == expected
    assert all(a.offset_s <= b.onset_s for a, b in pairwise(events))


def test_a_baseline_subtracts_each_persons_own_rest() -> None:
    results = constant([0.2, 0.4, None, 0.9, 0.9])
    rest = rest_of(results, HEAD, (0.0, 0.2))
    measures = Measures(HEAD, rest)
    assert rest[1][FERPLUS.index("happy")] == pytest.approx(0.3)
    (row,) = people_of(results, measures)
    assert row["mean_delta_happy"] == pytest.approx(np.mean([0.2, 0.4, 0.9, 0.9]) - 0.3, abs=2e-6)
    assert row["mean_delta_neutral"] == pytest.approx(-row["mean_delta_happy"], abs=2e-6)
    assert row["sd_delta_happy"] == pytest.approx(row["sd_happy"], abs=2e-6)
    (event,) = events_of(results, measures, 0.5, 0.1)
    assert (event.emotion, event.onset_s) == ("happy", 0.3)
    assert event.peak == pytest.approx(0.6)


def test_who_is_not_seen_at_rest_has_no_changes_and_no_events() -> None:
    results = constant([None, None, 0.9, 0.9])
    measures = Measures(HEAD, rest_of(results, HEAD, (0.0, 0.2)))
    (row,) = people_of(results, measures)
    assert row["mean_delta_happy"] is None
    assert row["mean_happy"] == 0.9
    assert events_of(results, measures, 0.5, 0.1) == []


@pytest.mark.parametrize("head", [HEAD, PLAIN, Head("two", ("not happy", "happy"))])
@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("movements", [False, True])
def test_every_column_is_in_the_dictionary_with_a_name_that_r_and_spss_take(
    head: Head, baseline: bool, movements: bool
) -> None:
    measures = Measures(head, {} if baseline else None, movements=movements)
    tables = [frame_columns(head, measures), images_columns(head), people_columns(measures)]
    tables += [interval_columns(measures), event_columns(change=baseline)]
    for columns in tables:
        names = [column.name for column in columns]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) for name in names)
        for entry in describe(columns).values():
            assert entry["description"]
            assert entry["missing"]
            if entry["type"] in ("number", "integer"):
                assert "range" in entry


def test_every_value_is_in_the_range_of_its_column() -> None:
    results = scene(7)
    measures = Measures(HEAD, rest_of(results, HEAD, (0.0, 1.0)))
    events = [event.row("a.mp4") for event in events_of(results, measures, 0.2, 0.1)]
    tables = [
        (people_columns(measures), people_of(results, measures)),
        (interval_columns(measures), intervals_of(results, measures, 0.5)),
        (event_columns(change=True), events),
    ]
    for columns, rows in tables:
        assert rows
        known = {column.name: column for column in columns}
        for row in rows:
            assert set(row) <= set(known)
            for name, value in row.items():
                if value is None or known[name].kind not in ("number", "integer"):
                    continue
                low, high = known[name].range or (None, None)
                assert low is None or value >= low, name
                assert high is None or value <= high, name


def test_valence_is_happy_less_the_strongest_negative_emotion() -> None:
    """The example of FaceReader's methodology note."""
    emotions = {"happy": 0.8, "sad": 0.2, "angry": 0.0, "fear": 0.3, "disgust": 0.2, "contempt": 0.7}
    assert valence(emotions) == pytest.approx(0.5)
    assert has_valence(FER2013)
    assert not has_valence(("happy", "sad"))
    assert Measures(Head("two", ("not happy", "happy"))).names == ["not_happy", "happy"]


def test_names_that_a_spreadsheet_computes_or_that_are_not_unicode_are_escaped(tmp_path: Path) -> None:
    columns = event_columns(change=False)
    rows = [{"source": name, "face_id": 1, "emotion": "happy"} for name in ("=1+1.mp4", "a\udcff.mp4")]
    with open_tables(tmp_path, "events", columns, {"source": rows[1]["source"]}) as table:
        table.write(rows)
    read = read_csv(tmp_path / "events.csv")
    assert [from_csv_cell(row["source"]) for row in read] == [row["source"] for row in rows]
    assert read[0]["source"] == "'=1+1.mp4"
    join_tables([tmp_path / "events.parquet"], tmp_path, "events", columns, {})
    assert pq.read_table(tmp_path / "events.parquet")["source"].to_pylist() == ["=1+1.mp4", r"a\udcff.mp4"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bin_s": 0.0}, "--bin must be longer than 0 s"),
        ({"threshold": 0.2, "hysteresis": 0.3}, "the hysteresis smaller"),
        ({"min_duration_s": -1.0}, "--min-duration must be 0 s or longer, not -1 s"),
        ({"exports": ("excel",)}, "--export excel is not known. Use elan, boris"),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StudyOptions(**values)  # type: ignore[arg-type]
