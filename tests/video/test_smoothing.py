from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.emotions import FER2013
from mien.geometry import Detection
from mien.images.quality import Quality
from mien.models.card import Head
from mien.video.frame import FramePosition
from mien.video.results import TrackedFace
from mien.video.smoothing import CausalSmoother, Smoothing, centred
from mien.video.stages.smooth import SmoothStage
from mien.video.stages.track import FrameRecord, TrackedFrame

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


@pytest.mark.parametrize("live", [False, True])
def test_what_is_hard_to_see_is_uncertain_and_has_no_part_in_a_certain_answer(live: bool) -> None:
    """Every third face, and all of one second, are covered and look angry; the others are happy."""
    times = np.arange(120) / 30
    covered = (np.arange(120) % 3 == 0) | ((times > 2) & (times < 3))
    faces = _smoothed(times, covered, live=live)
    assert [face.face.warnings for face in faces] == [("covered",) if it else () for it in covered]
    for face, hidden in zip(faces, covered, strict=True):
        assert face.face.uncertain == hidden
        assert face.raw.top[0] == ("angry" if hidden else "happy")
        if not hidden:
            assert face.face.emotions == pytest.approx(face.raw.emotions)
    # A face that is covered for one frame is smoothed with those around it, and does not flicker.
    assert faces[30].face.top[0] == "happy"
    assert faces[75].face.top[0] == "angry"


def _smoothed(times: np.ndarray, covered: np.ndarray, *, live: bool) -> list[TrackedFace]:
    """The faces of one person, by whether they are covered."""
    stage = SmoothStage("a.mp4", Head("fer2013", FER2013), live=live, limits={"covered": (None, 0.5)})
    done = []
    for i, (time_s, hidden) in enumerate(zip(times.tolist(), covered.tolist(), strict=True)):
        row = np.full(7, 0.02, np.float32)
        row[FER2013.index("angry" if hidden else "happy")] = 0.88
        record = FrameRecord(
            FramePosition(i, time_s, None),
            (Detection((10.0, 10.0, 80.0, 80.0), 0.99, None),),
            detected=True,
            cut=False,
            small=(np.zeros((8, 8), np.uint8),),
            portraits=(None,),
            qualities=(Quality(80.0, 0.5, 0.5, 0.0, covered=0.9 if hidden else 0.1, moved=0.0),),
            probabilities=row[None],
        )
        done += stage.feed(TrackedFrame(record, (1,), (0.0,), {1: 1}, {}))
    return [it.result.faces[0] for it in [*done, *stage.finish({1: 1})]]
