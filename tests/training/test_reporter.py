"""How long it will yet take, what the other processes say, and the log of steps."""

from __future__ import annotations

import pytest
import torch

from mien.errors import Diverged
from mien.training.reporter import OnlyNotes, Pace
from mien.training.step_log import StepLog


def test_an_even_run_takes_as_long_as_it_took() -> None:
    pace = Pace([48] * 10, steps=100)
    pace.stepped(0, 50, 25.0)
    assert pace.left(0, 50) == pytest.approx(9.5 * 50)
    pace.validated(0, 5.0)
    assert pace.left(1, 0) == pytest.approx(9 * 55)


def test_epochs_of_a_larger_size_are_expected_to_take_longer() -> None:
    pace = Pace([48, 96], steps=10)
    pace.stepped(0, 10, 1.0)
    pace.validated(0, 0.5)
    assert pace.left(1, 0) == pytest.approx(4 * 1.5)
    assert pace.left(1, 5) == pytest.approx(4 * 1.0)


def test_validation_is_estimated_until_it_was_measured() -> None:
    """A forward pass is taken for a third of a step; the first epoch's validation then has its own time."""
    pace = Pace([48] * 2, steps=100, validation_steps=30.0)
    pace.stepped(0, 10, 10.0)
    assert pace.left(0, 10) == pytest.approx(190 + 2 * 10)
    pace.validated(0, 4.0)
    assert pace.left(1, 0) == pytest.approx(100 + 4)


def test_a_machine_that_slows_down_is_noticed() -> None:
    pace = Pace([48] * 2, steps=1000)
    pace.stepped(0, 100, 1.0)
    for _ in range(30):
        pace.stepped(0, 10, 1.0)
    assert pace.left(0, 0) == pytest.approx(2000 * 0.1, rel=0.1)


def test_before_the_first_step_nothing_is_promised() -> None:
    assert Pace([48], steps=10).left(0, 0) == 0


def test_other_processes_pass_on_notes_alone(recorder) -> None:  # type: ignore[no-untyped-def]
    OnlyNotes(recorder, 3).note("Out of memory")
    assert recorder.notes == ["process 3: Out of memory"]


def measured(loss: float, norm: float = 1.0) -> torch.Tensor:
    return torch.tensor([loss, norm], dtype=torch.float64)


def test_steps_come_out_once_in_order_with_what_they_measured() -> None:
    log = StepLog(steps=10)
    log.begin()
    for step in range(3):
        log.add(step, 0.1 * step, measured(2.0 - step, 3.0))
    assert log.drain() == []  # nothing is read from the device until it is asked for
    log.read()
    rows = log.drain()
    assert [(row.step, row.lr, row.loss, row.gradient_norm) for row in rows] == [
        (0, 0.0, 2.0, 3.0),
        (1, 0.1, 1.0, 3.0),
        (2, 0.2, 0.0, 3.0),
    ]
    assert all(row.seconds >= 0 for row in rows)
    log.read()
    assert log.drain() == []


@pytest.mark.parametrize("bad", [measured(float("nan")), measured(float("inf")), measured(1.0, float("nan"))])
def test_a_loss_or_gradient_that_is_no_number_ends_the_run_with_its_place_and_advice(
    bad: torch.Tensor,
) -> None:
    log = StepLog(steps=10)
    log.add(22, 0.1, measured(1.0))
    log.add(23, 0.5, bad)
    with pytest.raises(Diverged, match=r"epoch 3, step 4: .*Lower optimizer\.lr \(here 0\.5\)"):
        log.read()
