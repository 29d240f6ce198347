from __future__ import annotations

import pytest

from mien.errors import UsageError
from mien.inference.face import Face
from mien.video.results import TrackedFace
from mien.video.stages.select import FaceSelector


def face(person: int, side: float) -> TrackedFace:
    seen = Face((0, 0, side, side), 0.9, {"happy": 0.9, "sad": 0.1})
    return TrackedFace(person, seen, seen)


def chosen(
    sides: list[dict[int, float]], *, rate: float = 10, chooser: FaceSelector | None = None
) -> list[list[int]]:
    chooser = chooser or FaceSelector("biggest")
    ids = []
    for i, people in enumerate(sides):
        faces = sorted((face(*it) for it in people.items()), key=lambda it: -it.box[2])
        ids.append([it.id for it in chooser.choose(i / rate, faces)])
    return ids


def test_all_are_all() -> None:
    assert chosen([{1: 50, 2: 60}], chooser=FaceSelector("all")) == [[2, 1]]


def test_the_biggest_stays_it_while_sizes_waver() -> None:
    assert chosen([{1: 60, 2: 55 + 10 * (i % 2)} for i in range(30)]) == [[1]] * 30


def test_who_is_clearly_bigger_for_half_a_second_takes_over() -> None:
    ids = chosen([{1: 60, 2: 80 if i >= 5 else 40} for i in range(20)])
    assert ids == [[1]] * 10 + [[2]] * 10


def test_when_the_biggest_is_gone_nobody_takes_over_for_a_second() -> None:
    ids = chosen([{1: 60, 2: 40} if i < 5 else {2: 40} for i in range(20)])
    assert ids == [[1]] * 5 + [[]] * 10 + [[2]] * 5


def test_an_empty_frame_has_no_biggest() -> None:
    assert chosen([{}, {1: 50}]) == [[], [1]]


def test_another_choice_is_refused() -> None:
    with pytest.raises(UsageError, match="largest"):
        FaceSelector("largest")  # type: ignore[arg-type]
