"""The package as a user installs it: in projects with Vite and webpack, in a plain page, within its size."""

from __future__ import annotations

import functools
import gzip
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mien import analyze
from mien.testing.camera import chromium_flags, find_chromium

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
MEGABYTE = 1_000_000
# What a page loads before its first answer, gzipped.
SHARED = ("index.js", "worker.js", "ort.wasm", "blazeface-back.onnx")

needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium: install it, or name one in MIEN_CHROMIUM"
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def opened(folder: Path) -> Iterator[Any]:
    """A page of Chromium that shows the folder's index.html, served from a path below the root."""
    from playwright.sync_api import sync_playwright

    handler = functools.partial(Quiet, directory=str(folder.parent))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags())
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/{folder.name}/")
        yield page
        browser.close()
        server.shutdown()


def answer(folder: Path) -> str:
    with opened(folder) as page:
        page.wait_for_function("document.querySelector('#answer').textContent !== 'Loading'", timeout=60_000)
        return str(page.text_content("#answer"))


def expected() -> str:
    top, share = analyze(PHOTO, model="mien-tiny")[0].top
    return f"{top} {round(100 * share)} %"


@pytest.fixture(scope="module")
def tarball(web_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, cwd=web_package, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.tgz"))


@needs_chromium
@pytest.mark.parametrize("bundler", ["vite", "webpack"])
def test_a_bundled_project_labels_a_face(tarball: Path, tmp_path: Path, bundler: str) -> None:
    project = tmp_path / bundler
    shutil.copytree(ROOT / "web" / "examples" / bundler, project)
    public = project / ("public" if bundler == "vite" else "dist")
    public.mkdir()
    shutil.copy(PHOTO, public)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", str(tarball)]
    for command in (install, ["npm", "run", "build"]):
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
    if bundler == "webpack":
        shutil.copy(project / "index.html", public)
    assert answer(project / "dist") == expected()


@needs_chromium
def test_a_plain_page_labels_a_face(web_package: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    shutil.copytree(ROOT / "web" / "examples" / "script-tag", page)
    shutil.copytree(web_package / "dist", page / "mien-js")
    shutil.copy(PHOTO, page)
    assert answer(page) == expected()


@needs_chromium
def test_errors_have_their_names_from_python(web_package: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    shutil.copytree(web_package / "dist", page / "mien-js")
    (page / "index.html").write_text("<!doctype html><title>errors</title>")
    script = """async () => {
      const { Analyzer } = await import("./mien-js/index.js");
      const failed = (work) => work().then(() => "no error", (error) => error.name);
      const analyzer = await Analyzer.create();
      const names = [
        await failed(() => Analyzer.create({ model: "nothing" })),
        await failed(() => Analyzer.create({ labels: "seven" })),
        await failed(() => Analyzer.create({ model: "missing.onnx" })),
        await failed(() => analyzer.analyze(new Blob(["text"]))),
      ];
      const empty = await analyzer.analyze(new ImageData(64, 48));
      const waiting = failed(() => analyzer.analyze(new ImageData(640, 480)));
      analyzer.dispose();
      const after = await failed(() => analyzer.analyze(new ImageData(9, 9)));
      return [...names, empty.length, await waiting, after];
    }"""
    with opened(page) as tab:
        assert tab.evaluate(script) == [
            "UnknownModel",
            "UsageError",
            "ModelError",
            "ImageError",
            0,
            "UsageError",
            "UsageError",
        ]


@pytest.mark.parametrize(("model", "budget"), [("mien-tiny", 7.5), ("mien-lite0", 17.0)])
def test_what_a_page_loads_is_within_its_budget(web_package: Path, model: str, budget: float) -> None:
    files = [web_package / "dist" / name for name in (*SHARED, f"{model}.onnx", f"{model}.json")]
    loaded = sum(len(gzip.compress(file.read_bytes(), 9)) for file in files)
    assert loaded <= budget * MEGABYTE, f"{loaded / MEGABYTE:.2f} MB gzipped"
