"""The page in a real browser, with a camera that plays a real face."""

from __future__ import annotations

import base64
import csv
import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.emotions import FER2013, FERPLUS
from mien.inference.analyzer import Analyzer
from mien.models import registry as weights
from mien.models.card import Head
from mien.serve.settings import Settings
from mien.testing.camera import chromium_flags, find_chromium, pan, write_y4m
from mien.video.output.table import columns

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium: install the system's package `chromium`, or name one in MIEN_CHROMIUM",
)

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
SIZE, FRAMES, RATE = (480, 360), 30, 10
KEY = "a-key-of-24-characters-x"
PATIENCE_MS = 45_000

Listen = Callable[[Settings], AbstractContextManager[str]]


def seen_by_camera() -> list[np.ndarray]:
    with Image.open(PHOTO) as image:
        return list(pan(np.asarray(image.convert("RGB")), SIZE, frames=FRAMES))


def two_people() -> np.ndarray:
    """Twice the same face, side by side."""
    with Image.open(PHOTO) as image:
        half = image.convert("RGB").crop((60, 0, 380, 480)).resize((320, 480))
    return np.concatenate([np.asarray(half), np.asarray(half)[:, ::-1]], axis=1)


@pytest.fixture(scope="module")
def real_model(model: Path) -> str | Path:
    """The shipped weights; the test's model where none are shipped."""
    return weights.DEFAULT if weights.DEFAULT in weights.shipped() else model


@pytest.fixture(scope="module")
def site(real_model: str | Path, listen: Listen) -> Iterator[str]:
    """The address of a server, as `mien live` starts one."""
    with listen(Settings(model=real_model, labels="fer2013", workers=1)) as address:
        yield address


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def launch(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Makes browsers whose camera shows these images (None: no camera); they are kept for all tests."""
    folder, browsers = tmp_path_factory.mktemp("cameras"), {}

    def make(name: str, images: list[np.ndarray] | None) -> Any:
        if name not in browsers:
            camera = None if images is None else write_y4m(folder / f"{name}.y4m", images, rate=RATE)
            browsers[name] = playwright.chromium.launch(
                executable_path=CHROMIUM, args=chromium_flags(camera), timeout=PATIENCE_MS
            )
        return browsers[name]

    yield make
    for browser in browsers.values():
        browser.close()


class Visit:
    """An open page, its requests and its errors."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true. Playwright's own way would need `eval` in the page."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, f"never: {condition}"
            self.page.wait_for_timeout(50)

    def start(self) -> None:
        self.page.check("#agreed")
        self.page.click("#start")
        self.page.wait_for_selector(".face")

    def saved(self, button: str) -> bytes:
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path()).read_bytes()

    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.saved("#download").decode())))

    def canvas(self) -> np.ndarray:
        """The pixels of the canvas, uint8 (H, W, 3)."""
        address = self.page.evaluate("document.getElementById('canvas').toDataURL('image/png')")
        with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as image:
            return np.asarray(image.convert("RGB"))


@contextmanager
def visiting(browser: Any, address: str, *, script: str = "", **options: Any) -> Iterator[Visit]:
    """The page, opened in a new profile; `script` runs before the page's scripts."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    visit = Visit(context.new_page())
    if script:
        visit.page.add_init_script(script)
    visit.page.goto(address)
    try:
        yield visit
    finally:
        context.close()


def begun(visit: Visit) -> Visit:
    visit.page.wait_for_selector("#model:not(:empty)", state="attached")
    return visit


@pytest.fixture
def blank(launch: Callable[..., Any], site: str) -> Iterator[Visit]:
    """The page before the start."""
    with visiting(launch("none", None), site) as visit:
        yield begun(visit)


COUNT_CALLS = """
    window.cameraRequests = 0;
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (...args) => { window.cameraRequests += 1; return real(...args); };
"""


def test_consent_comes_before_the_camera(launch: Callable[..., Any], site: str) -> None:
    with visiting(launch("one", seen_by_camera()), site, script=COUNT_CALLS) as visit:
        begun(visit)
        assert visit.page.is_visible("#consent")
        assert "knows about this" in visit.text(".agreed")
        assert "on this computer" in visit.text(".promises")
        assert visit.page.is_disabled("#start")
        assert visit.page.evaluate("window.cameraRequests") == 0
        assert not visit.page.is_visible("#sign")
        assert not [url for url in visit.requests if url.startswith("ws")]
        visit.start()
        assert visit.page.evaluate("window.cameraRequests") == 1
        assert visit.text("#sign") == "Camera on"
        assert "Camera on" in visit.page.title()
        assert not visit.page.is_visible("#consent")


def test_it_can_be_started_with_the_keyboard_alone(launch: Callable[..., Any], site: str) -> None:
    with visiting(launch("one", seen_by_camera()), site) as visit:
        keyboard = begun(visit).page.keyboard
        keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.className") == "skip"
        keyboard.press("Tab")
        keyboard.press("Space")
        keyboard.press("Tab")
        keyboard.press("Enter")
        visit.page.wait_for_selector(".face")
        assert visit.page.evaluate("document.activeElement.id") == "work"
        keyboard.press("Tab")
        keyboard.press("Enter")
        assert visit.text("#sign") == "Camera on, paused"


RECORD_ANNOUNCEMENTS = """
    window.spoken = [];
    document.addEventListener("DOMContentLoaded", () => {
        const node = document.getElementById("announcer");
        new MutationObserver(() => window.spoken.push(node.textContent)).observe(node, { childList: true });
    });
"""


@pytest.fixture(scope="class")
def live(launch: Callable[..., Any], site: str) -> Iterator[Visit]:
    """The page with the camera server."""
    with visiting(launch("one", seen_by_camera()), site, script=RECORD_ANNOUNCEMENTS) as visit:
        begun(visit).start()
        yield visit


class TestLive:
    """One page for all of these tests; each restores what it changes."""

    def test_the_face_gets_the_emotion_that_the_analyzer_predicts(
        self, live: Visit, real_model: str | Path
    ) -> None:
        analyzer = Analyzer(real_model, labels="fer2013", threads=1)
        expected = {faces[0].top[0] for faces in analyzer.analyze(seen_by_camera()[::5])}
        if real_model == weights.DEFAULT:
            assert expected == {"happy"}
        live.wait("document.querySelector('.bar.first, .face.uncertain')")
        shown = live.text(".face-top")
        assert any(name in shown for name in expected)
        values = [int(text.split()[0]) for text in live.page.locator(".bar-value").all_inner_texts()]
        assert sum(values) == pytest.approx(100, abs=4)
        assert set(live.page.locator(".bar-name").all_inner_texts()) == set(FER2013)

    def test_the_identity_stays_while_the_face_moves(self, live: Visit) -> None:
        rows = int(live.text("#rows"))
        live.wait(f"Number(document.getElementById('rows').textContent) > {rows + 15}")
        assert live.page.locator(".face").count() == 1
        followed = [row for row in live.rows() if row["face_id"]]
        assert {row["face_id"] for row in followed} == {"1"}
        lefts = [float(row["x"]) for row in followed]
        assert max(lefts) - min(lefts) > 20  # it did move

    def test_the_timeline_moves(self, live: Visit) -> None:
        covered = """() => {
            const canvas = document.getElementById('timeline'), ratio = devicePixelRatio;
            const data = canvas.getContext('2d').getImageData(0, 27 * ratio, canvas.width, 1).data;
            const at = (x) => data.slice(4 * x, 4 * x + 3).join();
            const empty = at(Math.round(64 * ratio));
            let count = 0;
            for (let x = Math.round(64 * ratio); x < canvas.width; x += 1) count += at(x) !== empty;
            return count;
        }"""
        before = live.page.evaluate(covered)
        assert before > 0
        live.wait(f"({covered})() > {before + 20}")
        assert "face 1 mostly" in live.page.get_attribute("#timeline", "aria-label")

    def test_latency_and_rate_are_shown(self, live: Visit) -> None:
        live.wait("Number(document.getElementById('fps').textContent) > 0")
        live.wait("parseFloat(document.getElementById('latency').textContent) > 0")

    def test_the_table_contains_what_was_shown(self, live: Visit) -> None:
        before = int(live.text("#rows"))
        rows = live.rows()
        head = Head("fer2013", FER2013)
        assert list(rows[0]) == columns(head)  # the same table as for clips
        assert before <= len(rows) <= int(live.text("#rows"))
        times = [float(row["time_s"]) for row in rows]
        assert times == sorted(times)
        assert [int(row["frame"]) for row in rows] == list(range(len(rows)))  # one face: one row per frame
        assert {row["source"] for row in rows} == {"camera"}
        for row in rows[-5:]:
            smoothed = {name: float(row[name]) for name in FER2013}
            assert sum(smoothed.values()) == pytest.approx(1, abs=1e-3)
            assert sum(float(row[f"raw_{name}"]) for name in FER2013) == pytest.approx(1, abs=1e-3)
            assert row["top"] == max(smoothed, key=lambda name: smoothed[name])
            assert row["uncertain"] in ("True", "False")
            assert 0.5 <= float(row["confidence"]) <= 1

    def test_faces_are_announced_to_screen_readers(self, live: Visit) -> None:
        live.wait("window.spoken.some((text) => text.startsWith('One face: face 1'))")
        assert live.page.get_attribute("#announcer", "aria-live") == "polite"

    def test_the_image_can_be_saved(self, live: Visit) -> None:
        with Image.open(io.BytesIO(live.saved("#snapshot"))) as image:
            assert (image.format, image.size) == ("PNG", SIZE)
            assert np.asarray(image.convert("L")).std() > 20

    def test_labels_can_be_changed_during_the_analysis(self, live: Visit) -> None:
        live.page.select_option("#labels", "ferplus")
        live.page.wait_for_selector(".bar[data-emotion=contempt]")
        assert set(live.page.locator(".bar-name").all_inner_texts()) == set(FERPLUS)
        live.page.select_option("#labels", "fer2013")
        live.page.wait_for_selector(".bar[data-emotion=contempt]", state="detached")

    def test_movements_are_shown_and_saved_on_request(self, live: Visit) -> None:
        assert live.page.locator(".face-movements:visible").count() == 0
        live.page.check("#movements")
        live.page.wait_for_selector(".face-movements:visible")
        live.wait(
            "/^Head: .+\\nGaze: .+\\nEyes: open/.test(document.querySelector('.face-movements').textContent)"
        )
        rows = live.rows()
        wide = columns(Head("fer2013", FER2013), movements=True)  # the labels were changed meanwhile
        assert [name for name in rows[0] if name in wide] == wide
        assert rows[0]["head_yaw"] == ""
        assert abs(float(rows[-1]["head_yaw"])) < 15
        live.page.uncheck("#movements")
        live.page.wait_for_selector(".face-movements:visible", state="hidden")

    def test_pause_keeps_everything_and_the_sign_shows_that_the_camera_is_on(self, live: Visit) -> None:
        live.page.click("#pause")
        assert live.text("#sign") == "Camera on, paused"
        rows, image = live.text("#rows"), live.canvas()
        live.page.wait_for_timeout(500)
        assert live.text("#rows") == rows
        assert np.array_equal(live.canvas(), image)
        live.page.click("#pause")
        live.wait(f"Number(document.getElementById('rows').textContent) > {rows}")
        assert live.text("#sign") == "Camera on"

    def test_mirror_flips_the_image_and_not_the_words(self, live: Visit) -> None:
        live.page.click("#pause")
        mirrored = live.canvas()
        live.page.uncheck("#mirror")
        plain = live.canvas()
        live.page.check("#mirror")
        live.page.click("#pause")
        below = slice(SIZE[1] * 3 // 4, None)  # below the face nothing is drawn
        assert np.abs(mirrored[below, ::-1].astype(int) - plain[below]).mean() < 2
        assert np.abs(mirrored[below].astype(int) - plain[below]).mean() > 10

    def test_no_other_host_is_contacted_and_nothing_fails(self, live: Visit, site: str) -> None:
        """After the other tests of this class: consent, stream, labels, downloads."""
        allowed = (site + "/", site.replace("http", "ws") + "/", f"blob:{site}/", "data:image/png;base64,")
        assert len(live.requests) > 15
        assert [url for url in live.requests if not url.startswith(allowed)] == []
        assert live.errors == []


def test_stopping_turns_the_camera_off_and_keeps_the_rows(launch: Callable[..., Any], site: str) -> None:
    with visiting(launch("one", seen_by_camera()), site) as visit:
        begun(visit).start()
        visit.page.evaluate("window.track = document.getElementById('video').srcObject.getTracks()[0]")
        visit.page.click("#stop")
        assert visit.page.evaluate("window.track.readyState") == "ended"
        assert visit.page.evaluate("document.getElementById('video').srcObject") is None
        assert not visit.page.is_visible("#sign")
        assert visit.text("#note") == "The camera is off."
        assert len(visit.rows()) > 0
        visit.page.click("#again")  # consent was given on this page already
        visit.page.wait_for_selector(".face")
        assert {row["source"] for row in visit.rows()} == {"camera", "camera 2"}


def blocks(image: np.ndarray, half: int) -> int:
    """How many colours the middle of a half's upper part has: few where it is hidden."""
    part = image[60:180, 320 * half + 110 : 320 * half + 210]
    return len(np.unique(part.reshape(-1, 3), axis=0))


def test_all_faces_except_ones_own_are_blurred(launch: Callable[..., Any], site: str) -> None:
    images = [np.roll(two_people(), shift, axis=1) for shift in (0, 1)]
    with visiting(launch("two", images), site) as visit:
        begun(visit).start()
        visit.page.uncheck("#mirror")
        visit.wait("document.querySelectorAll('.face').length === 2")
        visit.page.check("#blur")
        for mine in (1, 2):
            visit.page.click(f".face[data-face='{mine}'] .face-me")
            box = f"document.querySelector(\".face[data-face='{mine}'] .face-me\")"
            assert visit.page.evaluate(f"{box}.getAttribute('aria-pressed')") == "true"
            visit.page.wait_for_timeout(300)
            row = next(row for row in reversed(visit.rows()) if row["face_id"] == str(mine))
            own = int(float(row["x"]) > 320)
            image = visit.canvas()
            assert blocks(image, 1 - own) < 60
            assert blocks(image, own) > 1000


FAILS = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', '%s'); };"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NotReadableError", "Another program"),
        ("NotAllowedError", "Allow it"),
        ("NotFoundError", "No camera"),
    ],
)
def test_a_camera_that_cannot_start_is_reported_with_the_remedy(
    launch: Callable[..., Any], site: str, name: str, message: str
) -> None:
    with visiting(launch("none", None), site, script=FAILS % name) as visit:
        begun(visit).page.check("#agreed")
        visit.page.click("#start")
        visit.page.wait_for_selector("#alert-text:not(:empty)")
        assert message in visit.text("#alert-text")
        assert visit.page.is_visible("#alert-retry")
        assert visit.page.is_visible("#consent")
        assert not visit.page.is_visible("#sign")


def test_a_missing_camera_is_reported(launch: Callable[..., Any], site: str) -> None:
    with visiting(launch("none", None), site) as visit:
        begun(visit).page.check("#agreed")
        visit.page.click("#start")
        visit.page.wait_for_selector("#alert-text:not(:empty)")
        assert "No camera was found" in visit.text("#alert-text")


def test_a_disconnected_camera_is_reported_and_the_results_are_kept(
    launch: Callable[..., Any], site: str
) -> None:
    with visiting(launch("one", seen_by_camera()), site) as visit:
        begun(visit).start()
        visit.page.evaluate(
            "document.getElementById('video').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))"
        )
        assert "disconnected" in visit.text("#alert-text")
        assert not visit.page.is_visible("#sign")
        assert len(visit.rows()) > 0


SLOW_TO_ALLOW = """
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (...args) => {
        const stream = await real(...args);
        await new Promise((resolve) => { window.allow = resolve; });
        window.late = stream.getTracks()[0];
        return stream;
    };
"""


def test_a_camera_that_is_allowed_too_late_stays_off(launch: Callable[..., Any], site: str) -> None:
    """Somebody opens a photo while the browser still asks about the camera."""
    with visiting(launch("one", seen_by_camera()), site, script=SLOW_TO_ALLOW) as visit:
        begun(visit).page.check("#agreed")
        visit.page.click("#start")
        visit.wait("typeof window.allow === 'function'")
        drop(visit, ("astronaut.jpg", "image/jpeg", PHOTO.read_bytes()))
        visit.page.wait_for_selector(".face")
        visit.page.evaluate("window.allow()")
        visit.wait("window.late?.readyState === 'ended'")
        assert not visit.page.is_visible("#sign")
        assert not visit.page.is_visible("#alert")
        assert visit.page.evaluate("document.body.dataset.state") == "photos"


def test_a_frozen_camera_is_reported(launch: Callable[..., Any], site: str) -> None:
    """Also tests the fake camera: the page gets the image within a few gray levels."""
    image = seen_by_camera()[0]
    with visiting(launch("still", [image] * 2), site) as visit:
        begun(visit).start()
        visit.page.wait_for_selector("#alert-text:not(:empty)")
        assert "same image for 3 seconds" in visit.text("#alert-text")
        visit.page.uncheck("#mirror")
        visit.wait(f"document.getElementById('canvas').width === {SIZE[0]}")
        visit.page.wait_for_timeout(300)
        shown = visit.canvas()
    below = slice(SIZE[1] * 3 // 4, None)  # below the face nothing is drawn
    assert np.abs(shown[below].astype(int) - image[below]).mean() < 3


def drop(visit: Visit, *files: tuple[str, str, bytes]) -> None:
    """Drops files (name, type, content) on the page."""
    coded = [[name, kind, base64.b64encode(content).decode()] for name, kind, content in files]
    visit.page.evaluate(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, type, content] of files) {
                const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type }));
            }
            for (const kind of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(
                    new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
            }
        }""",
        coded,
    )


def test_photos_can_be_dropped_without_a_camera(
    launch: Callable[..., Any], site: str, real_model: str | Path
) -> None:
    empty = io.BytesIO()
    Image.new("RGB", (300, 200), (80, 90, 100)).save(empty, "PNG")
    with visiting(launch("none", None), site, script=COUNT_CALLS) as visit:
        begun(visit)
        drop(
            visit,
            ("astronaut.jpg", "image/jpeg", PHOTO.read_bytes()),
            ("=wall.png", "image/png", empty.getvalue()),
            ("notes.txt", "text/plain", b"not an image"),
        )
        visit.page.wait_for_selector("#alert-text:not(:empty)")
        assert "notes.txt" in visit.text("#alert-text")
        assert visit.page.locator("#photos button").all_inner_texts() == [
            "astronaut.jpg (1)",
            "=wall.png (0)",
        ]
        (face,) = Analyzer(real_model, labels="fer2013", threads=1).analyze(PHOTO)[:1]
        assert face.top[0] in visit.text(".face-top")
        visit.page.click("#photos button >> nth=1")
        assert visit.text("#note") == "No face in this photo."
        rows = visit.rows()
        assert [row["source"] for row in rows] == [
            "astronaut.jpg",
            "'=wall.png",
        ]  # no formula for spreadsheets
        assert [row["face_id"] for row in rows] == ["1", ""]
        assert visit.page.evaluate("window.cameraRequests") == 0


def test_a_clip_can_be_dropped_and_is_tracked(launch: Callable[..., Any], site: str, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the clip is written with PyAV")
    from mien.testing.clips import write_clip

    small = [np.asarray(Image.fromarray(image).resize((320, 240))) for image in seen_by_camera()[:20]]
    clip = write_clip(tmp_path / "clip.webm", small, rate=10, codec="libvpx")
    with visiting(launch("none", None), site) as visit:
        begun(visit)
        drop(visit, ("clip.webm", "video/webm", clip.read_bytes()))
        visit.page.wait_for_selector(".face")
        visit.wait("document.body.dataset.state === 'ended'")
        assert not visit.page.is_visible("#sign")
        rows = visit.rows()
        assert {row["source"] for row in rows} == {"clip.webm"}
        assert {row["face_id"] for row in rows} - {""} == {"1"}
        assert max(float(row["time_s"]) for row in rows) < 2.1
        visit.page.click("#pause")  # play again: each frame has one row, however often it is played
        visit.wait("document.body.dataset.state === 'video'")
        visit.wait("document.body.dataset.state === 'ended'")
        again = visit.rows()
        assert len(rows) <= len(again) <= 20
        assert len({row["time_s"] for row in again}) == len(again)
        assert {row["face_id"] for row in again} - {""} == {"1"}
        visit.page.wait_for_selector("#events button")
        visit.page.focus("#seek")
        visit.page.keyboard.press("Home")
        visit.wait("document.getElementById('video').currentTime === 0")
        visit.wait("document.getElementById('seek').getAttribute('aria-valuetext') === '0:00 of 0:02'")


def test_it_fits_on_a_phone_without_scrolling_sideways(launch: Callable[..., Any], site: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"}
    wide = "document.scrollingElement.scrollWidth"
    with visiting(launch("one", seen_by_camera()), site, **phone) as visit:
        assert begun(visit).page.evaluate(wide) <= 390
        visit.start()
        assert visit.page.evaluate(wide) <= 390
        sizes = visit.page.evaluate(
            "[...document.querySelectorAll('button, select')].filter((b) => b.offsetParent)"
            ".map((b) => b.getBoundingClientRect().height)"
        )
        assert min(sizes) >= 43.5  # a finger's width


def test_light_and_dark_follow_the_system(blank: Visit) -> None:
    def lightness() -> int:
        colour = blank.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour[4:-1].split(",")))

    blank.page.emulate_media(color_scheme="dark")
    assert lightness() < 120
    blank.page.emulate_media(color_scheme="light")
    assert lightness() > 650


def test_a_stopped_server_is_reported_and_found_again(
    launch: Callable[..., Any], model: Path, listen: Listen
) -> None:
    with listen(Settings(model=model, workers=1)) as address:
        context = visiting(launch("one", seen_by_camera()), address)
        visit = context.__enter__()
        begun(visit).start()
    try:
        visit.page.wait_for_selector("#alert-text:not(:empty)")
        assert "does not respond" in visit.text("#alert-text")
        assert visit.page.locator(".face").count() == 0
        with listen(Settings(model=model, workers=1, port=int(address.rpartition(":")[2]))) as again:
            assert again == address
            visit.page.wait_for_selector(".face")
            assert not visit.page.is_visible("#alert")
    finally:
        context.__exit__(None, None, None)


def test_the_key_is_sent_to_a_server_that_requires_it(
    launch: Callable[..., Any], model: Path, listen: Listen
) -> None:
    with listen(Settings(model=model, workers=1, api_key=KEY)) as address:
        with visiting(launch("one", seen_by_camera()), address) as visit:
            visit.page.wait_for_selector("#key-form")
            visit.page.fill("#key", "wrong-key-of-some-length")
            visit.page.click("#key-form button")
            visit.page.wait_for_selector("#alert-text:not(:empty)")
            assert "wrong" in visit.text("#alert-text")
            visit.page.fill("#key", KEY)
            visit.page.click("#key-form button")
            begun(visit).start()
            assert not visit.page.is_visible("#key-form")
        with visiting(launch("one", seen_by_camera()), f"{address}/#key={KEY}") as visit:
            begun(visit)
            assert KEY not in visit.page.url
            assert not visit.page.is_visible("#key-form")


class TestModules:
    """Single modules, imported into the page."""

    def test_a_frame_that_comes_too_early_is_dropped_and_the_next_is_the_newest(self, blank: Visit) -> None:
        result = blank.page.evaluate(
            """async () => {
                const { FrameLoop } = await import("/js/frame-loop.js");
                const sent = [];
                let answer;
                const api = { predict: (_, timeS) => new Promise((resolve) => {
                    sent.push(timeS); answer = resolve; }) };
                const loop = new FrameLoop(api), results = [];
                loop.onprediction = (value, frame, timeS) => results.push([value, frame.width, timeS]);
                const video = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
                Object.assign(video, { videoWidth: 1280, videoHeight: 720 });
                for (let i = 0; i < 5; i += 1) loop.submit(video, i);
                answer("first");
                await new Promise((resolve) => setTimeout(resolve));
                loop.submit(video, 5);
                loop.cancel();
                answer("late");
                await new Promise((resolve) => setTimeout(resolve));
                return { sent, results, dropped: loop.dropped };
            }"""
        )
        assert result == {"sent": [0, 5], "results": [["first", 640, 0]], "dropped": 4}

    def test_the_table_quotes_names_and_leaves_missing_emotions_empty(self, blank: Visit) -> None:
        text = blank.page.evaluate(
            """async () => {
                const { CsvTable } = await import("/js/csv.js");
                const table = new CsvTable();
                const box = { x: 1, y: 2, width: 3, height: 4 };
                const face = (emotions) => ({ id: 1, box, confidence: null, top: "happy", uncertain: false,
                    emotions, raw: emotions, abstentions: {} });
                table.add('a "b", c', 0, 0.5, [face({ happy: 1, sad: 0 })]);
                const hidden = { ...face({ happy: 0.75, contempt: 0.25 }), warnings: ["covered", "moved"] };
                table.add("d", 1, null, [hidden]);
                table.add("@e", null, null, []);
                return table.csv();
            }"""
        )
        rows = list(csv.reader(io.StringIO(text)))
        assert rows[0][-7:-1] == ["happy", "sad", "contempt", "raw_happy", "raw_sad", "raw_contempt"]
        assert rows[0][-1] == "warnings"
        assert rows[1][:3] == ['a "b", c', "0", "0.500"]
        assert rows[1][-7:-4] == ["1.0000", "0.0000", ""]
        assert (rows[1][-1], rows[2][-1]) == ("", "covered; moved")
        assert rows[2][-7:-4] == ["0.7500", "", "0.2500"]
        assert rows[3] == ["'@e", *[""] * (len(rows[0]) - 1)]

    def test_announcements_do_not_interrupt_each_other(self, blank: Visit) -> None:
        spoken = blank.page.evaluate(
            """async () => {
                const { Announcer } = await import("/js/announcer.js");
                const node = document.createElement("p"), spoken = [];
                const announcer = new Announcer(node);
                const faces = (top) => [{ id: 1, top, uncertain: false, emotions: { [top]: 0.8 } }];
                for (const top of ["happy", "sad", "happy", "sad"]) {
                    announcer.update(faces(top));
                    spoken.push(node.textContent);
                }
                return spoken;
            }"""
        )
        assert spoken == ["One face: face 1 happy, 80 %."] * 4
