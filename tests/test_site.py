"""The documentation site builds without a warning and holds every public name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mien

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors and without a network."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "--keep-going", "-d", str(out / "doctrees")]
    # A proxy that is not there: whatever asks the network fails.
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_every_page_of_the_documentation_is_in_the_site(site: Path) -> None:
    pages = {p.relative_to(ROOT / "docs").with_suffix(".html") for p in (ROOT / "docs").rglob("*.md")}
    assert pages <= {p.relative_to(site) for p in site.rglob("*.html")}


@pytest.mark.parametrize("name", sorted(set(mien.__all__) - {"__version__"}))
def test_every_public_name_has_an_entry_in_the_reference(site: Path, name: str) -> None:
    """With its docstring below the signature."""
    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    entry = re.search(rf'<dt class="sig[^"]*" id="mien\.{name}">.*?</dt>\s*<dd>\s*<p>', page, re.DOTALL)
    assert entry is not None


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="https?://[^"]+"', text), page.name
