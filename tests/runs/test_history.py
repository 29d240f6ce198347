"""Which epoch is kept, when to stop, and when to warn."""

from __future__ import annotations

from mien.runs.history import Epoch, best_of, is_better, overfitting, ran_out_of_patience


def epoch(number: int, loss: float, accuracy: float, *, best: bool = False) -> Epoch:
    return Epoch(
        number, 48, 1e-3, 1.0, 0.5, loss, accuracy, None, loss - 1.0, 1.0, 100.0, 60.0 * number, best
    )


def history(*pairs: tuple[float, float]) -> list[Epoch]:
    """Epochs of (validation loss, accuracy), the best marked as the loop marks them."""
    rows: list[Epoch] = []
    for number, (loss, accuracy) in enumerate(pairs, 1):
        row = epoch(number, loss, accuracy)
        rows.append(epoch(number, loss, accuracy, best=is_better(row, best_of(rows), "accuracy")))
    return rows


def test_the_best_epoch_is_the_first_with_the_highest_accuracy() -> None:
    best = best_of(history((1.0, 0.5), (0.9, 0.6), (0.8, 0.6), (0.7, 0.55)))
    assert best is not None
    assert best.epoch == 2


def test_no_epoch_no_best() -> None:
    assert best_of([]) is None


def test_by_loss_the_lowest_is_best() -> None:
    first, second = epoch(1, 0.9, 0.6), epoch(2, 0.8, 0.5)
    assert is_better(second, first, "loss")
    assert not is_better(second, first, "accuracy")
    assert not is_better(first, first, "loss")


def test_patience_ends_after_so_many_epochs_without_a_better_one() -> None:
    rows = history((1.0, 0.5), (0.9, 0.6), (0.9, 0.6), (0.9, 0.59))
    assert not ran_out_of_patience(rows[:3], 2)
    assert ran_out_of_patience(rows, 2)
    assert not ran_out_of_patience(rows, 3)
    assert not ran_out_of_patience(rows, 0)
    assert not ran_out_of_patience([], 1)


def test_rising_loss_without_accuracy_is_warned_of() -> None:
    warning = overfitting(history((1.0, 0.60), (1.1, 0.59), (1.2, 0.60), (1.3, 0.58)))
    assert warning is not None
    assert "rose for 3 epochs (1.000 to 1.300)" in warning
    assert "has not passed 60.00%" in warning


def test_rising_loss_with_rising_accuracy_is_the_reports_case_and_not_yet_overfitting() -> None:
    assert overfitting(history((1.0, 0.60), (1.1, 0.61), (1.2, 0.62), (1.3, 0.63))) is None


def test_a_loss_that_wavers_is_not_warned_of() -> None:
    assert overfitting(history((1.0, 0.60), (1.1, 0.59), (1.05, 0.59), (1.3, 0.58))) is None
    assert overfitting(history((1.0, 0.60), (1.1, 0.59), (1.2, 0.59))) is None


def test_each_stretch_of_overfitting_is_warned_of_once() -> None:
    rows = history(
        (1.0, 0.6),
        (1.1, 0.5),
        (1.2, 0.5),
        (1.3, 0.5),
        (1.4, 0.5),
        (1.0, 0.5),
        (1.1, 0.5),
        (1.2, 0.5),
        (1.3, 0.5),
    )
    warned = [n for n in range(1, len(rows) + 1) if overfitting(rows[:n])]
    assert warned == [4, 9]
