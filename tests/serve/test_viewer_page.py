"""The page of `mien view` in a real browser."""

from __future__ import annotations

import base64
import io
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mien
from mien.serve.server import listen, server_of
from mien.serve.viewer.app import Viewer, create_viewer
from mien.serve.viewer.session import Session
from mien.testing.camera import chromium_flags, find_chromium
from mien.video.study.corrections import FILE

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium: install the system's package `chromium`, or name one in MIEN_CHROMIUM",
)
PATIENCE_S = 45.0
Visiting = Callable[..., AbstractContextManager["Visit"]]


class Visit:
    """An open page, the hosts that it asked, and its errors."""

    def __init__(self, page: Any) -> None:
        self.page, self.requests, self.errors = page, list[str](), list[str]()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true. Playwright's own way would need `eval` in the page."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, f"never: {condition}"
            self.page.wait_for_timeout(30)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def people(self) -> list[str]:
        names = "[...document.querySelectorAll('.person .name')].map(e => e.textContent)"
        return list(self.page.evaluate(names))

    def at(self, time_text: str) -> None:
        """Until the page shows a time, and the image of it."""
        self.wait(f"document.getElementById('clock').textContent.startsWith('{time_text} ')")

    def note(self, text: str) -> None:
        """Until the page shows a note with this text; others may come before it."""
        self.wait(f"document.getElementById('note').innerText.includes({json.dumps(text)})")

    def pixels(self) -> np.ndarray:
        """The canvas, uint8 (H, W, 4)."""
        address = self.page.evaluate("document.getElementById('canvas').toDataURL('image/png')")
        with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as image:
            return np.asarray(image.convert("RGBA"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=chromium_flags(None))
        yield made
        made.close()


@pytest.fixture
def folder(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study, tmp_path / "study"))


@pytest.fixture
def visiting(browser: Any, folder: Path) -> Visiting:
    """Opens the page of the study at a clip, in a new profile."""

    @contextmanager
    def visit(name: str = "two", **options: Any) -> Iterator[Visit]:
        viewer = Viewer(Session(folder), 0)
        server = server_of(create_viewer(viewer), viewer)
        with listen("127.0.0.1", 0) as listener:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
            try:
                visit = Visit(context.new_page())
                visit.page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/")
                visit.page.wait_for_selector(".person")
                visit.page.select_option("#clips", name)
                count = len(pd.read_csv(folder / name / "people.csv"))
                visit.wait(f"document.querySelectorAll('.person').length === {count}")
                visit.page.evaluate("document.activeElement.blur()")
                yield visit
            finally:
                context.close()
                server.should_exit = True
                thread.join()

    return visit


def entries(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / FILE).read_text())["entries"])


def test_a_study_is_corrected_with_the_keyboard_alone(visiting: Visiting, folder: Path) -> None:
    with visiting() as visit:
        visit.wait("document.getElementById('video').readyState >= 2")
        visit.press("ArrowDown", "r")
        visit.page.keyboard.type("<b>Ada</b>")
        visit.press("Enter")
        visit.wait("document.querySelectorAll('.entry').length === 1")
        assert visit.people() == ["person 1", "<b>Ada</b>", "person 3"]
        visit.press("ArrowDown", "m", "Enter")
        visit.wait("document.querySelectorAll('.person').length === 2")
        # The stretch of frames 5 to 9: the last one belongs to it.
        visit.press("ArrowDown", "Home", *["ArrowRight"] * 5)
        visit.at("0:00.20")
        visit.press("i", *["ArrowRight"] * 4)
        visit.at("0:00.36")
        visit.press("o")
        visit.wait("document.getElementById('stretch').textContent === 'Stretch 0:00.20 to 0:00.40'")
        visit.press("e")
        visit.page.select_option("#ask-choice", "sad")
        visit.press("Enter")
        visit.wait("document.querySelectorAll('.entry').length === 3")
        visit.press("Shift+ArrowRight")
        visit.at("0:01.36")
        visit.press("t")
        visit.wait("document.querySelectorAll('.entry').length === 4")
        visit.press("Control+z")
        visit.wait("document.querySelectorAll('.entry.undone').length === 1")
        visit.press("Control+Shift+Z")
        visit.wait("document.querySelectorAll('.entry.undone').length === 0")
        visit.press("ArrowDown", "ArrowDown", "x")
        visit.wait("document.getElementById('alert').hidden === false")
        assert "the clip has no person 4 from 0.2 to 0.4 s" in visit.text("#alert")
        visit.press("Shift+X")
        visit.wait("document.querySelectorAll('.entry').length === 5")
        assert visit.page.is_hidden("#alert")
        assert visit.text("#saved") == "Tables of 1 clip lack corrections"
        visit.press("Control+s")
        visit.wait("document.getElementById('saved').textContent === 'Tables have all corrections'")
        # The one error is the refused correction, which Chromium logs.
        assert [error for error in visit.errors if "422" not in error] == []
        assert {request.split("/")[2].split(":")[0] for request in visit.requests} == {"127.0.0.1"}
    made = [{name: value for name, value in entry.items() if name != "clip"} for entry in entries(folder)]
    assert made == [
        {"number": 1, "kind": "rename", "person": 2, "name": "<b>Ada</b>"},
        {"number": 2, "kind": "merge", "people": [3], "into": 1},
        {"number": 3, "kind": "mark", "person": 2, "from_s": 0.2, "to_s": 0.4, "emotion": "sad"},
        {"number": 4, "kind": "split", "person": 2, "at_s": 1.36, "new": 4},
        {"number": 5, "kind": "undo", "entry": 4},
        {"number": 6, "kind": "undo", "entry": 5},
        {"number": 7, "kind": "exclude", "person": None, "from_s": 0.2, "to_s": 0.4},
    ]
    people = pd.read_csv(folder / "two" / "people.csv")
    assert people["face_id"].tolist() == [1, 2, 4]
    assert people["name"].tolist()[1] == "<b>Ada</b>"


def test_a_clip_plays_with_its_boxes(visiting: Visiting, folder: Path) -> None:
    with visiting() as visit:
        visit.wait("document.getElementById('video').readyState >= 2")
        assert visit.page.is_hidden("#note")
        frames = pd.read_csv(folder / "two" / "frames.csv").set_index(["frame", "face_id"])
        visit.press("ArrowDown", *["ArrowRight"] * 3)
        visit.at("0:00.12")
        visit.wait("!document.getElementById('video').seeking")
        visit.page.wait_for_timeout(150)
        box = frames.loc[(3, 2)]
        pixels = visit.pixels()[:, :, :3].astype(int)
        # White lines around the box of the selected person, four pixels outside of it.
        row = pixels[round(box["y"]) - 4, round(box["x"]) + 20 : round(box["x"] + box["box_width"]) - 20]
        assert (row > 240).all()
        visit.press("Space")
        visit.wait("document.getElementById('play').textContent === 'Pause'")
        visit.wait("document.getElementById('play').textContent === 'Play'")  # at the end
        visit.wait("parseFloat(document.getElementById('clock').textContent.slice(2)) > 1.9")
        assert visit.errors == []


def test_a_clip_that_the_browser_cannot_play_is_decoded_by_the_server(visiting: Visiting) -> None:
    with visiting("old") as visit:
        visit.note("cannot play the clip's format; the server decodes its frames")
        while not visit.pixels()[0, 0, 3]:  # the image is on its way
            visit.page.wait_for_timeout(30)
        first = visit.pixels()
        visit.press("Space")
        visit.wait("parseFloat(document.getElementById('clock').textContent.slice(2)) > 0.5")
        visit.press("Space")
        visit.page.wait_for_timeout(300)
        moved = np.abs(visit.pixels().astype(int) - first).mean()
        assert moved > 2
        visit.press("Home")
        visit.at("0:00.00")
        visit.page.wait_for_timeout(500)
        assert np.abs(visit.pixels().astype(int) - first).mean() < 0.5


def test_boxes_are_shown_without_the_clip(visiting: Visiting, folder: Path) -> None:
    facts = json.loads((folder / "study.json").read_text())
    for clip in facts["clips"]:
        clip["source"]["path"] = f"/nowhere/{Path(clip['source']['path']).name}"
    (folder / "study.json").write_text(json.dumps(facts))
    with visiting() as visit:
        visit.note("The clip is not at /nowhere/two.webm. Start mien view with --clips DIR")
        visit.page.wait_for_timeout(200)
        pixels = visit.pixels()
        assert pixels.shape[:2] == (360, 640)
        assert (pixels[:, :, 3] > 0).mean() > 0.005  # boxes and labels
        visit.press("Space")
        visit.wait("parseFloat(document.getElementById('clock').textContent.slice(2)) > 0.3")
        assert visit.errors == []


def test_keys_go_to_events_and_uncertain_stretches(visiting: Visiting, folder: Path) -> None:
    events = pd.read_csv(folder / "two" / "events.csv").sort_values(["onset_s", "face_id"])
    first, *later = sorted(set(events["onset_s"]))
    with visiting() as visit:
        visit.press("n")
        visit.at(f"0:{later[0]:05.2f}")
        assert visit.text("#stretch").startswith(f"Stretch 0:{later[0]:05.2f} to ")
        visit.press("Shift+N")
        visit.at(f"0:{first:05.2f}")
        visit.press("End", "n")
        visit.wait("document.getElementById('stretch').textContent === 'No event behind this time'")
        visit.press("Home", "u")
        visit.press("Escape")
        visit.wait("document.getElementById('stretch').textContent.startsWith('No stretch')")


def test_all_keys_are_listed_on_the_page(visiting: Visiting) -> None:
    with visiting() as visit:
        visit.press("?")
        visit.wait("document.getElementById('keys').open")
        listed = visit.text("#keys")
        for words in ("play or pause", "merge into another person", "write all tables again", "next event"):
            assert words in listed
        visit.press("m")  # keys of the page do nothing behind a dialog
        assert not visit.page.evaluate("document.getElementById('ask').open")
        visit.press("Escape")
        visit.wait("!document.getElementById('keys').open")


def test_the_timeline_takes_the_pointer(visiting: Visiting, folder: Path) -> None:
    mien.apply_corrections(folder, [{"clip": "two", "kind": "rename", "person": 3, "name": "Cleo"}])
    with visiting() as visit:
        visit.wait("document.getElementById('timeline').getAttribute('aria-label').includes('Cleo')")
        box = visit.page.locator("#timeline").bounding_box()
        width = box["width"] - 112
        visit.page.mouse.click(box["x"] + 112 + 0.75 * width, box["y"] + 24 + 2.4 * 46)
        visit.at("0:01.50")
        assert visit.page.get_attribute("#person-3", "aria-selected") == "true"
        visit.press("+")
        visit.page.wait_for_timeout(300)
        assert visit.errors == []
