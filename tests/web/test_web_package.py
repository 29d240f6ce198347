"""The package as a user installs it: in projects with Vite and webpack, in a plain page, within its size."""

from __future__ import annotations

import functools
import gzip
import http.server
import re
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
PATIENCE_MS = 120_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What a page loads before its first answer, gzipped.
SHARED = ("index.js", "worker.js", "ort.wasm", "blazeface-back.onnx", "face-check.onnx")

needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium: install it, or name one in MIEN_CHROMIUM"
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def shown(address: str) -> Iterator[Any]:
    """A page of Chromium at an address."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags())
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        yield page
        browser.close()


@contextmanager
def opened(folder: Path) -> Iterator[Any]:
    """A page of Chromium that shows the folder's index.html, served from a path below the root."""
    handler = functools.partial(Quiet, directory=str(folder.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with shown(f"http://127.0.0.1:{server.server_port}/{folder.name}/") as page:
            yield page
        server.shutdown()


def answer_of(page: Any) -> str:
    page.wait_for_function(
        "![null, 'Loading'].includes(document.querySelector('#answer')?.textContent ?? null)"
    )
    return str(page.text_content("#answer"))


def answer(folder: Path) -> str:
    with opened(folder) as page:
        return answer_of(page)


def answer_at(address: str) -> str:
    with shown(address) as page:
        return answer_of(page)


def expected() -> str:
    top, share = analyze(PHOTO, model="mien-tiny")[0].top
    return f"{top} {round(100 * share)} %"


@pytest.fixture(scope="module")
def tarball(web_package: Path) -> Path:
    return next((web_package / "dist").glob("*.tgz"))


def install(project: Path, *packages: str) -> None:
    run(project, "npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", *packages)


def run(project: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_chromium
@pytest.mark.parametrize("example", ["vite", "webpack", "react", "vue"])
def test_a_bundled_project_labels_a_face(tarball: Path, tmp_path: Path, example: str) -> None:
    project = tmp_path / example
    shutil.copytree(ROOT / "web" / "examples" / example, project)
    public = project / ("dist" if example == "webpack" else "public")
    public.mkdir()
    shutil.copy(PHOTO, public)
    install(project, str(tarball))
    run(project, "npm", "run", "build")
    if example == "webpack":
        shutil.copy(project / "index.html", public)
    assert answer(project / "dist") == expected()


# An empty project of Vite, and the ten lines that a newcomer adds.
VITE = "8.3.8"
PAGE = """<img id="photo" src="/astronaut.jpg" alt="">
<p id="answer">Loading</p>
<script type="module" src="/main.js"></script>
"""
MAIN = """import { Analyzer } from "mien-js";

const photo = document.querySelector("#photo");
await photo.decode();
const analyzer = await Analyzer.create();
const [face] = await analyzer.analyze(photo);
document.querySelector("#answer").textContent = face.top;
"""


@needs_chromium
def test_a_newcomer_has_a_labelled_face_in_ten_lines(tarball: Path, tmp_path: Path) -> None:
    """In Vite's development server, which bundles packages in another way than its build."""
    assert len((PAGE + MAIN).splitlines()) == 10
    (tmp_path / "public").mkdir()
    shutil.copy(PHOTO, tmp_path / "public")
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "main.js").write_text(MAIN)
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    install(tmp_path, f"vite@{VITE}", str(tarball))
    command = ["node", "node_modules/vite/bin/vite.js", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as vite:
        try:
            assert vite.stdout is not None
            printed = (re.search(r"http://127\.0\.0\.1:\d+/", _COLOURS.sub("", line)) for line in vite.stdout)
            address = next(match[0] for match in printed if match)
            assert answer_at(address) == expected().split()[0]
        finally:
            vite.terminate()


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
