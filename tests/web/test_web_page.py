"""The static page: no server computes anything, no other host is reached, and it opens offline."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien import analyze
from mien.serve.settings import NOTICE
from mien.serve.static_page.site import write_site
from mien.testing.camera import chromium_flags, find_chromium, pan, write_y4m

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
PATIENCE_MS = 60_000

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium: install it, or name one in MIEN_CHROMIUM"
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(web_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("host") / "mien"
    write_site(folder)
    return folder


@contextmanager
def served(site: Path) -> Iterator[tuple[str, http.server.ThreadingHTTPServer]]:
    """The address of the page below the root of a host, as on GitHub Pages."""
    handler = functools.partial(Quiet, directory=str(site.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{site.name}/", server
        server.shutdown()


def until(page: Any, condition: str) -> None:
    """Wait until a condition holds. Playwright's own way evaluates text, which the page's policy forbids."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(100)


@contextmanager
def page_of(camera: Path | None = None) -> Iterator[tuple[Any, list[str]]]:
    """A page of Chromium, and the list of its errors and of the addresses that it requested."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags(camera))
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        seen: list[str] = []
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.on("console", lambda message: seen.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: seen.append(request.url))
        yield page, seen
        browser.close()


def open_photo(page: Any) -> str:
    page.set_input_files("#files", str(PHOTO))
    page.wait_for_selector("#faces li")
    return str(page.text_content("#faces li"))


def test_a_photo_is_analyzed_on_the_page_and_again_offline(site: Path) -> None:
    top = analyze(PHOTO, model="mien-tiny")[0].top[0]
    with page_of() as (page, seen):
        with served(site) as (address, _):
            page.goto(address)
            assert top in open_photo(page).lower()
            page.evaluate("() => navigator.serviceWorker.ready")
        page.goto(address)  # the server is gone
        assert top in open_photo(page).lower()
    assert not [each for each in seen if not each.startswith((address, "blob:", "data:"))]


def test_the_camera_starts_only_after_consent_and_gives_faces(site: Path, tmp_path: Path) -> None:
    image = np.asarray(Image.open(PHOTO).convert("RGB"))
    camera = write_y4m(tmp_path / "camera.y4m", pan(image, (480, 360), frames=30))
    with served(site) as (address, _), page_of(camera) as (page, _):
        page.goto(address)
        assert page.is_disabled("#start")
        assert page.text_content(".notice") == NOTICE
        assert "leaves this device" in page.text_content("#consent")
        page.check("#agreed")
        page.click("#start")
        page.wait_for_selector("#faces li")
        until(page, "parseFloat(document.querySelector('#fps').textContent) > 1")
        page.select_option("#labels", "fer2013")
        until(page, "!document.querySelector('#legend').textContent.includes('ontempt')")
