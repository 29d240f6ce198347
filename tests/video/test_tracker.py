from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

from mien.geometry import Box, iou
from mien.video.tracking.assignment import assign
from mien.video.tracking.people import People
from mien.video.tracking.portrait import SIZE, Portrait, mean_texture, portrait_from
from mien.video.tracking.tracker import Appearance, Track, Tracker, appearance_of, shrink

RATE = 30


def person(seed: int) -> Appearance:
    return appearance_of(shrink(np.random.default_rng(seed).integers(0, 255, (48, 48), np.uint8)))


def look(seed: int) -> Portrait:
    """What somebody looks like: textures of their own, and no colours."""
    face = mean_texture().ravel() + np.random.default_rng(seed).normal(0, 60, 576)
    return portrait_from(np.append(face, np.zeros(SIZE - 576)).clip(0, 255).astype(np.uint8))


ANNA, BERT = person(1), person(2)
LOOKS = {"anna": look(1), "bert": look(2), "carl": look(3)}


def at(x: float, y: float = 200.0, size: float = 100.0) -> Box:
    return (x - size / 2, y - size / 2, size, size)


Scene = Sequence[Sequence[tuple[str, Box]]]


def ids(
    scene: Scene,
    *,
    rate: float = RATE,
    appearances: dict[str, Appearance] | None = None,
    cuts: Iterable[int] = (),
    looks: dict[str, Portrait] | None = None,
    people: People | None = None,
) -> dict[str, list[int | None]]:
    """The identities that each person of a scene was given, in order, once all is known."""
    tracker = Tracker(people=people or People())
    appearances = appearances or {"anna": ANNA, "bert": BERT, "carl": person(3)}
    found: dict[str, list[Track]] = {}
    for i, seen in enumerate(scene):
        names = [name for name, _ in seen]
        tracks = tracker.update(
            i / rate,
            [box for _, box in seen],
            [appearances[name] for name in names],
            [looks[name] for name in names] if looks else (),
            cut=i in set(cuts),
        )
        for name, track in zip(names, tracks, strict=True):
            found.setdefault(name, []).append(track)
    tracker.finish()
    return {name: [track.face_id for track in tracks] for name, tracks in found.items()}


def moving(
    seconds: float, where: Callable[[float], dict[str, Box]], *, rate: float = RATE, jitter: float = 0.0
) -> Scene:
    rng = np.random.default_rng(0)

    def shaken(box: Box) -> Box:
        x, y, width, height = np.array(box) + rng.normal(0, jitter, 4) * box[2]
        return (float(x), float(y), float(width), float(height))

    times = np.arange(round(seconds * rate)) / rate
    return [[(name, shaken(box)) for name, box in where(t).items()] for t in times]


def hide_the_rear(scene: Scene) -> Scene:
    """What a detector sees of it: of two boxes that overlap a lot, the first."""
    return [seen[:1] if len(seen) == 2 and iou(seen[0][1], seen[1][1]) > 0.3 else seen for seen in scene]


@given(
    cost=arrays.arrays(
        np.float64,
        st.tuples(st.integers(0, 6), st.integers(0, 6)),
        elements=st.floats(0, 1) | st.just(np.inf),
    ),
    limit=st.floats(0.05, 1.5),
)
@settings(deadline=None, max_examples=200)
def test_pairs_cost_as_little_as_scipys(cost: np.ndarray, limit: float) -> None:
    pairs = assign(cost, limit)
    rows = len(cost)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    ours = sum(cost[pair] for pair in pairs) + limit * (rows - len(pairs))
    alone = np.where(np.eye(rows, dtype=bool), limit, 1e9)
    full = np.hstack([np.where(cost < limit, cost, 1e9), alone])
    assert ours == pytest.approx(full[linear_sum_assignment(full)].sum() if rows else 0)


def test_a_moving_shaking_face_stays_the_same() -> None:
    scene = moving(3, lambda t: {"anna": at(100 + 300 * t, 200 + 50 * np.sin(9 * t))}, jitter=0.04)
    assert set(ids(scene)["anna"]) == {1}


def test_a_face_that_comes_closer_stays_the_same() -> None:
    scene = moving(2, lambda t: {"anna": at(300, size=60 * 1.8**t)}, jitter=0.02)
    assert set(ids(scene)["anna"]) == {1}


def test_two_who_cross_keep_their_identities_by_motion_alone() -> None:
    scene = hide_the_rear(
        moving(3, lambda t: {"anna": at(100 + 200 * t), "bert": at(700 - 200 * t, 220, 90)}, jitter=0.02)
    )
    assert min(len(seen) for seen in scene) == 1
    same = {"anna": ANNA, "bert": ANNA}
    given = ids(scene, appearances=same)
    assert [set(given["anna"]), set(given["bert"])] == [{1}, {2}]


def test_two_who_meet_and_turn_back_are_told_apart_by_their_looks() -> None:
    def where(t: float) -> dict[str, Box]:
        nearer = 260 * min(t, 3 - t)
        return {"anna": at(100 + nearer), "bert": at(850 - nearer, 210, 95)}

    scene = hide_the_rear(moving(3, where, jitter=0.02))
    assert min(len(seen) for seen in scene) == 1
    given = ids(scene)
    assert [set(given["anna"]), set(given["bert"])] == [{1}, {2}]


def test_who_was_hidden_for_a_second_is_the_same_again() -> None:
    scene = moving(3, lambda t: {} if 1 <= t < 2 else {"anna": at(300 + 40 * t)}, jitter=0.02)
    assert set(ids(scene)["anna"]) == {1}


def test_who_comes_out_from_behind_somebody_is_the_same_again() -> None:
    """Half hidden, a face looked like nobody known, and a tenth of a second later it had a new number, for
    good: two people who passed each other in a clip became three."""
    half = appearance_of(shrink(np.random.default_rng(7).integers(0, 255, (48, 48), np.uint8)))
    clear_of = [1.5, 2.7, 3.0]  # hidden from, seen in part from, seen whole from

    def where(t: float) -> dict[str, Box]:
        seen = {"anna": at(900 - 130 * t, size=110)}
        if not clear_of[0] <= t < clear_of[1]:
            seen["bert in part" if clear_of[1] <= t < clear_of[2] else "bert"] = at(300 + 130 * t)
        return seen

    scene = moving(5, where, jitter=0.02)
    given = ids(scene, appearances={"anna": ANNA, "bert": BERT, "bert in part": half})
    assert [set(given["anna"]), set(given["bert"]), set(given["bert in part"])] == [{1}, {2}, {2}]


def test_who_is_in_doubt_when_the_clip_ends_is_somebody_new() -> None:
    scene = moving(1.75, lambda t: {"anna": at(300)} if t < 1 else {} if t < 1.5 else {"bert": at(305)})
    assert set(ids(scene)["bert"]) == {2}


def test_somebody_else_in_the_same_place_is_somebody_else() -> None:
    scene = moving(3, lambda t: {"anna": at(300)} if t < 1 else {} if t < 1.5 else {"bert": at(305)})
    given = ids(scene)
    assert [set(given["anna"]), set(given["bert"])] == [{1}, {2}]


def test_behind_a_cut_everybody_is_new_where_nothing_tells_what_they_look_like() -> None:
    scene = moving(2, lambda t: {"anna": at(300), "bert": at(600)} if t < 1 else {"anna": at(300)})
    given = ids(scene, cuts=[RATE])
    assert given["anna"] == [1] * RATE + [3] * RATE


@pytest.mark.parametrize(("recognize", "anna_again"), [(True, 1), (False, 4)])
def test_behind_a_cut_who_looks_the_same_gets_the_number_back(recognize: bool, anna_again: int) -> None:
    def where(t: float) -> dict[str, Box]:
        return {"anna": at(300), "bert": at(600)} if t < 1 else {"carl": at(300, size=110), "anna": at(620)}

    given = ids(moving(2, where), cuts=[RATE], looks=LOOKS, people=People(recognize=recognize))
    assert (given["anna"][0], given["bert"][0], given["carl"][0]) == (1, 2, 3)
    assert given["anna"][-1] == anna_again


def test_a_cut_ends_the_track_of_who_stays_so_that_nothing_is_smoothed_across() -> None:
    tracker = Tracker()
    tracks = [
        tracker.update(i / RATE, [at(300)], [ANNA], [look(1)], cut=i == RATE)[0] for i in range(2 * RATE)
    ]
    assert {track.number for track in tracks} == {1, 2}
    assert {track.face_id for track in tracks} == {1}


@pytest.mark.parametrize(("recognize", "again"), [(True, 1), (False, 2)])
def test_who_returns_after_a_long_time_is_known_by_their_look(recognize: bool, again: int) -> None:
    scene = moving(6, lambda t: {} if 1 <= t < 4 else {"anna": at(300 if t < 1 else 700)})
    given = ids(scene, looks=LOOKS, people=People(recognize=recognize))["anna"]
    assert (given[0], given[-1]) == (1, again)


def test_two_who_are_seen_together_have_two_numbers_however_alike_they_are() -> None:
    scene = moving(4, lambda t: {"anna": at(300), "bert": at(600)} if t < 1 or t > 3.5 else {})
    given = ids(scene, looks={"anna": look(1), "bert": look(1)})
    assert {given["anna"][0], given["bert"][0]} == {1, 2}
    assert given["anna"][-1] != given["bert"][-1]


def test_a_person_who_becomes_another_from_one_frame_to_the_next_has_two_numbers() -> None:
    """A cut between two shots with the same background was missed, and the other person kept the number."""
    scene = moving(2, lambda t: {"anna": at(300)} if t < 1 else {"bert": at(300)})
    given = ids(scene, appearances={"anna": ANNA, "bert": ANNA}, looks=LOOKS)
    assert [set(given["anna"]), set(given["bert"])] == [{1}, {2}]


def test_a_fast_pan_that_is_sampled_twice_a_second_tears_nobody_apart() -> None:
    """Two faces two widths apart moved by one spacing between two samples: each took the other's number."""

    def where(t: float) -> dict[str, Box]:
        return {"anna": at(900 - 400 * t), "bert": at(1100 - 400 * t)}

    given = ids(moving(2, where, rate=2), rate=2, looks=LOOKS)
    assert [set(given["anna"]), set(given["bert"])] == [{1}, {2}]


def test_people_that_are_shared_number_across_clips() -> None:
    everybody = People()
    first = ids(moving(1, lambda _: {"anna": at(300)}), looks=LOOKS, people=everybody)
    restored = People()
    restored.restore(json.loads(json.dumps(everybody.to_dict())))
    for people in (everybody, restored):
        later = ids(
            moving(1, lambda _: {"bert": at(300, size=150), "anna": at(700)}), looks=LOOKS, people=people
        )
        assert (set(first["anna"]), set(later["anna"]), set(later["bert"])) == ({1}, {1}, {2})


def test_what_flickers_up_for_a_moment_is_no_face() -> None:
    scene = moving(1, lambda t: {"anna": at(300)} | ({"bert": at(700)} if 0.5 <= t < 0.55 else {}))
    given = ids(scene)
    assert set(given["anna"]) == {1}
    assert set(given["bert"]) == {None}


def test_faces_are_numbered_from_the_largest() -> None:
    scene = moving(1, lambda t: {"anna": at(300, size=60), "bert": at(700, size=120)})
    given = ids(scene)
    assert (given["bert"][0], given["anna"][0]) == (1, 2)


def test_at_one_frame_in_two_seconds_every_sighting_counts() -> None:
    scene = moving(10, lambda t: {"anna": at(300 + t)} if t < 5 else {"bert": at(700)}, rate=0.5)
    given = ids(scene, rate=0.5)
    assert [set(given["anna"]), set(given["bert"])] == [{1}, {2}]


def test_a_clip_of_one_frame_has_its_faces() -> None:
    assert ids([[("anna", at(300))]])["anna"] == [1]


def test_an_irregular_clock_does_not_disturb() -> None:
    tracker, rng = Tracker(), np.random.default_rng(3)
    times = np.cumsum(rng.choice([0.005, 0.03, 0.2], 60))
    tracks = [tracker.update(t, [at(100 + 120 * t)], [ANNA])[0] for t in times]
    assert {track.face_id for track in tracks} == {1}
    assert tracks[-1].velocity[0] == pytest.approx(120, rel=0.05)


def test_faces_that_just_vanished_are_expected_where_they_were_going() -> None:
    tracker = Tracker()
    for i in range(15):
        tracker.update(i / RATE, [at(100 + 10 * i)], [ANNA])
    tracker.update(15 / RATE, [], [])
    box = tracker.unseen(15 / RATE, 0.5)[1]
    assert box[0] == pytest.approx(200, abs=3)
    tracker.update(2.0, [], [])
    assert tracker.unseen(2.0, 0.5) == {}


def test_iou_of_known_boxes() -> None:
    assert iou((0, 0, 2, 2), (1, 1, 2, 2)) == pytest.approx(1 / 7)
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert iou((0, 0, 2, 2), (2, 0, 2, 2)) == 0


def test_a_look_of_one_grey_level_is_like_nothing() -> None:
    assert appearance_of(np.full((8, 8), 77, np.uint8)) @ ANNA == 0
