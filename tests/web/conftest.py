"""The TypeScript package as `make web` builds it, the static page, and browsers that open it."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.serve.static_page.site import write_site
from mien.testing.camera import chromium_flags, find_chromium, pan, write_y4m

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
PHOTO = ROOT / "examples" / "astronaut.jpg"
PATIENCE_S = 60


@pytest.fixture(scope="session")
def web_package() -> Path:
    """The folder web/ with its dist/ built; skips where Node or the built files are missing."""
    if shutil.which("node") is None:
        pytest.skip("no Node: install Node 20 or newer with npm, then `make web`")
    built = (WEB / "dist", ROOT / "src" / "mien" / "serve" / "static_page" / "mien-js")
    if not all((folder / "index.js").is_file() for folder in built):
        pytest.skip(f"{' or '.join(map(str, built))} is missing: build them with `make web`")
    return WEB


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # the page was closed while it loaded
            super().handle()


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """The address of a folder below the root of a host, as on GitHub Pages."""
    handler = functools.partial(_Quiet, directory=str(folder.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{folder.name}/"
        server.shutdown()


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], AbstractContextManager[str]]:
    """Serves folders, each on a port of its own."""
    return serve_folder


@pytest.fixture(scope="session")
def site(web_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the static page."""
    folder = tmp_path_factory.mktemp("host") / "mien"
    write_site(folder)
    return folder


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the static page is served."""
    with serve_folder(site) as served:
        yield served


@pytest.fixture(scope="session")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for a camera that shows the photo moving in a circle."""
    image = np.asarray(Image.open(PHOTO).convert("RGB"))
    return write_y4m(tmp_path_factory.mktemp("camera") / "one.y4m", pan(image, (480, 360), frames=30))


class Visit:
    """A page of Chromium, its errors, and its requests as "METHOD address"."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: self.requests.append(f"{request.method} {request.url}"))
        page.on("websocket", lambda socket: self.requests.append(f"SOCKET {socket.url}"))

    def open(self, address: str) -> Visit:
        """Goes there and waits until the model is loaded."""
        self.page.goto(address)
        self.page.wait_for_selector("#model:not(:empty)", state="attached")
        return self

    def start(self) -> Visit:
        self.page.check("#agreed")
        self.page.click("#start")
        self.page.wait_for_selector(".face")
        return self

    def photos(self, *files: Any) -> Visit:
        """Opens photos and waits for the first one's result."""
        self.page.evaluate("document.getElementById('badge').textContent = ''")
        self.page.set_input_files("#files", list(files))
        self.wait("!['', 'Analyzing…'].includes(document.getElementById('badge').textContent)")
        return self

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def wait(self, condition: str) -> None:
        """Until a condition holds. Playwright's own way evaluates text, which the page's policy forbids."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, f"never: {condition}"
            self.page.wait_for_timeout(50)

    def saved(self, button: str) -> bytes:
        """The file that a button saves."""
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path()).read_bytes()

    def set_slider(self, selector: str, value: float) -> None:
        self.page.evaluate(
            "([selector, value]) => { const slider = document.querySelector(selector);"
            "slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
            [selector, value],
        )


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
    if find_chromium() is None:
        pytest.skip("no Chromium: install it, or name one in MIEN_CHROMIUM")
    with sync_api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Any, camera: Path) -> Iterator[Any]:
    """A Chromium whose camera shows the photo."""
    launched = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags(camera))
    yield launched
    launched.close()


@pytest.fixture(scope="session")
def make_visit() -> type[Visit]:
    """Makes visits of pages in other browsers."""
    return Visit


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """A page in a new profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Visit(context.new_page())
    context.close()
