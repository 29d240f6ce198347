"""Threads of the TypeScript package: several where the page is cross-origin isolated, one elsewhere."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mien import analyze
from mien.testing.camera import chromium_flags, find_chromium

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
SCRIPT = """async () => {
  const { Analyzer } = await import("./mien-js/index.js");
  const photo = await (await fetch("astronaut.jpg")).blob();
  const found = [];
  for (const threads of [undefined, 3]) {
    const analyzer = await Analyzer.create({ threads });
    const faces = await analyzer.analyze(photo);
    found.push([analyzer.threads, faces.map(({ top }) => top)]);
    analyzer.dispose();
  }
  return [crossOriginIsolated, Math.min(4, navigator.hardwareConcurrency), ...found];
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    headers_sent: ClassVar[dict[str, str]] = {}

    def end_headers(self) -> None:
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Isolating(Quiet):
    headers_sent: ClassVar[dict[str, str]] = {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
    }


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium: install it, or name one in MIEN_CHROMIUM")
@pytest.mark.parametrize("handler", [Quiet, Isolating])
def test_threads_are_used_where_the_page_is_isolated(
    web_package: Path, tmp_path: Path, handler: type[Quiet]
) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "mien-js").symlink_to(web_package / "dist")
    (tmp_path / "astronaut.jpg").symlink_to(PHOTO)
    (tmp_path / "index.html").write_text("<!doctype html><title>threads</title>")
    serve = functools.partial(handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags())
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        isolated, cores, *found = page.evaluate(SCRIPT)
        browser.close()
        server.shutdown()
    tops: Any = [face.top[0] for face in analyze(PHOTO, model="mien-tiny")]
    assert isolated == (handler is Isolating)
    assert found == [[cores if isolated else 1, tops], [3 if isolated else 1, tops]]
