from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.video.smoothing import CausalSmoother, Smoothing, centred

HOW = Smoothing(tau_s=0.2, gap_s=0.5)


def all_centred(times: np.ndarray, rows: np.ndarray, how: Smoothing = HOW) -> np.ndarray:
    return np.stack([centred(times, rows.astype(np.float32), i, how) for i in range(len(rows))])


def all_causal(times: np.ndarray, rows: np.ndarray, how: Smoothing = HOW) -> np.ndarray:
    smoother = CausalSmoother(how)
    return np.stack(
        [smoother.step(float(t), row) for t, row in zip(times, rows.astype(np.float32), strict=True)]
    )


def test_a_step_is_smoothed_from_both_sides_without_moving() -> None:
    """By symmetry the value halfway between the two sides of a step is one half."""
    times = np.arange(61) / 30
    rows = np.stack([times >= 1, times < 1], axis=1).astype(float)
    rows[30] = 0.5
    smooth = all_centred(times, rows)[:, 0]
    assert smooth[30] == pytest.approx(0.5, abs=1e-6)
    assert smooth == pytest.approx(1 - smooth[::-1], abs=1e-6)
    assert (np.diff(smooth) >= -1e-7).all()


def test_from_the_past_alone_a_step_is_the_exponential() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.005, 0.1, 40))
    rows = np.stack([np.arange(40) >= 1, np.arange(40) < 1], axis=1)
    smooth = all_causal(times, rows)[:, 0]
    assert smooth == pytest.approx(1 - np.exp(-(times - times[0]) / 0.2), abs=1e-5)


@pytest.mark.parametrize("smooth", [all_centred, all_causal])
def test_nothing_is_carried_over_a_gap(smooth: object) -> None:
    times = np.concatenate([np.arange(10) / 30, 1 + np.arange(10) / 30])
    rows = np.repeat([[1.0, 0.0], [0.0, 1.0]], 10, axis=0)
    assert smooth(times, rows) == pytest.approx(rows)  # type: ignore[operator]


def test_a_burst_of_samples_counts_no_more_than_its_duration() -> None:
    """The integral of the kernel over a ramp of the same shape, sampled evenly and unevenly, agrees."""
    even = np.linspace(0, 1, 101)
    uneven = np.sort(np.concatenate([np.linspace(0, 1, 41), np.linspace(0.4, 0.5, 100)]))
    values = []
    for times in (even, np.unique(uneven)):
        rows = np.stack([times, 1 - times], axis=1).astype(np.float32)
        values.append(centred(times, rows, int(np.argmin(np.abs(times - 0.5))), HOW)[0])
    assert values[0] == pytest.approx(values[1], abs=0.005)


@pytest.mark.parametrize("smooth", [all_centred, all_causal])
def test_no_smoothing_changes_nothing(smooth: object) -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(7), 20).astype(np.float32)
    assert (smooth(np.arange(20) / 30, rows, Smoothing(tau_s=0.0)) == rows).all()  # type: ignore[operator]


@pytest.mark.parametrize("smooth", [all_centred, all_causal])
@given(seed=st.integers(0, 10_000), count=st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_distributions_stay_distributions(smooth: object, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(0.1, count) + 1e-3)
    rows = rng.dirichlet(np.ones(7), count)
    out = smooth(times, rows)  # type: ignore[operator]
    assert out.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (out >= rows.min(axis=0) - 1e-6).all()
    assert (out <= rows.max(axis=0) + 1e-6).all()


def test_noise_is_reduced() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(7), 300)
    times = np.arange(300) / 30
    for smooth in (all_centred, all_causal):
        assert smooth(times, rows).std(axis=0).max() < 0.5 * rows.std(axis=0).min()
