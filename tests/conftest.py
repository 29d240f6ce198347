"""What all tests share: a cache of their own, and small tables whose contents are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mien import plotting
from mien.data.table import FaceTable
from mien.emotions import VOTES


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def png_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures as PNG alone, in tests of something else: SVG and PDF take two thirds of the time of a page."""
    monkeypatch.setattr(plotting, "FORMATS", ("png",))


@pytest.fixture
def noise_table() -> Callable[..., FaceTable]:
    """A table of random faces with these labels; rows count from 100, so that row and place differ."""

    def make(
        labels: Sequence[int],
        splits: Sequence[str] | None = None,
        votes: Sequence[dict[str, int]] | None = None,
        seed: int = 0,
    ) -> FaceTable:
        n = len(labels)
        counted = None
        if votes is not None:
            counted = np.array([[each.get(name, 0) for name in VOTES] for each in votes], np.uint8)
        return FaceTable(
            pixels=np.random.default_rng(seed).integers(0, 256, (n, 48, 48), dtype=np.uint8),
            labels=np.array(labels, np.int64),
            splits=np.array(["Training"] * n if splits is None else splits),
            rows=np.arange(100, 100 + n),
            votes=counted,
            source="noise",
        )

    return make
