"""A training leaves the process that it ran in as it found it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.table import FaceTable
from mien.errors import TrainError
from mien.runs.recipe import Recipe, to_toml
from mien.training import api
from mien.training.process import denormals_are_flushed, settings_restored
from mien.training.reporter import Progress


@pytest.fixture
def begin(
    tiny: Callable[..., Recipe], few_faces: FaceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[object], None]:
    """Starts a training of an epoch as `mien train` does, on two threads."""
    monkeypatch.setattr(api, "load", lambda *args, **keys: few_faces)
    monkeypatch.setattr(api, "draw_run", lambda folder: [])
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(tiny(schedule={"epochs": 1})))

    def run(reporter: object) -> None:
        api.train(
            data="fake", recipe=recipe, out=tmp_path / "run", threads=2, device="cpu", reporter=reporter
        )

    return run


def subnormal() -> float:
    """Half of the smallest normal number, computed now and not when the module was compiled."""
    return float(np.float32(np.finfo(np.float32).tiny) * np.float32(0.5))


def test_after_a_training_subnormal_numbers_are_there_again(
    begin: Callable[[object], None], recorder: Any
) -> None:
    """CI once failed in another folder: hypothesis draws no floats where subnormal ones are 0, and a
    training had left the processor so."""
    torch.set_flush_denormal(False)
    begin(recorder)
    assert subnormal() == 2.0**-127
    assert not denormals_are_flushed()


def test_a_training_that_fails_leaves_the_process_as_it_was(
    begin: Callable[[object], None], recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(progress: Progress) -> None:
        raise TrainError("enough")

    monkeypatch.setattr(recorder, "step", fail)
    torch.set_flush_denormal(False)
    torch.set_num_threads(1)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with pytest.raises(TrainError, match="enough"):
        begin(recorder)
    assert subnormal() == 2.0**-127
    assert torch.get_num_threads() == 1
    assert torch.equal(torch.get_rng_state(), state)


def test_inside_a_training_denormal_numbers_are_zero(
    begin: Callable[[object], None], recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They slow a processor down many times."""
    torch.set_flush_denormal(False)
    seen: list[float] = []
    monkeypatch.setattr(recorder, "step", lambda progress: seen.append(subnormal()))
    begin(recorder)
    assert seen
    assert set(seen) == {0.0}


def test_what_the_process_had_chosen_itself_stays() -> None:
    torch.set_flush_denormal(True)
    with settings_restored():
        torch.set_flush_denormal(False)
    assert subnormal() == 0.0
