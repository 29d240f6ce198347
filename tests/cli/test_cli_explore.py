"""`mien explore` on the synthetic data, as a person runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.cli.app import app
from mien.errors import MissingExtra


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("png_only")
def test_explore_writes_the_page_and_says_where(tmp_path: Path) -> None:
    out = tmp_path / "look"
    result = CliRunner().invoke(
        app, ["explore", "--data", "synthetic", "--out", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "explore.html: 3,500 faces" in result.stdout
    assert (out / "explore.html").exists()
    assert (out / "explore.json").exists()


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"mien\[study\]"):
        CliRunner().invoke(
            app, ["explore", "--data", "synthetic", "--out", str(tmp_path)], catch_exceptions=False
        )
