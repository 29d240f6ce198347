"""The TypeScript package as `make web` builds it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture(scope="session")
def web_package() -> Path:
    """The folder web/ with its dist/ built; skips where Node or the built files are missing."""
    if shutil.which("node") is None:
        pytest.skip("no Node: install Node 20 or newer with npm, then `make web`")
    if not (WEB / "dist" / "index.js").is_file():
        pytest.skip("web/dist is missing: build it with `make web`")
    return WEB
