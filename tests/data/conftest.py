"""What the tests of the readers share: a cache of their own, and FER2013-like rows drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def rows() -> Callable[..., list[str]]:
    """Lines of a fer2013.csv without the header: label, random pixels and a usage each."""

    def make(count: int, *, seed: int = 0, usage: str = "Training") -> list[str]:
        generator = np.random.default_rng(seed)
        pixels = generator.integers(0, 256, (count, 2304))
        labels = generator.integers(0, 7, count)
        return [
            f"{label},{' '.join(map(str, values))},{usage}"
            for label, values in zip(labels, pixels.tolist(), strict=True)
        ]

    return make


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Writes lines under a header as fer2013.csv, or as another name."""

    def write(lines: list[str], *, header: str = "emotion,pixels,Usage", name: str = "fer2013.csv") -> Path:
        path = tmp_path / name
        path.write_bytes("".join(f"{line}\n" for line in [header, *lines]).encode("latin-1"))
        return path

    return write
