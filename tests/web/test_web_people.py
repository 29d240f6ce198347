"""Blur, "This is me", and the camera's comings and goings on the static page; in Chromium."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.testing.camera import chromium_flags, find_chromium, write_y4m

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


def two_people() -> NDArray[np.uint8]:
    """Twice the same face, side by side, 640 by 480."""
    with Image.open(PHOTO) as image:
        half = np.asarray(image.convert("RGB").crop((60, 0, 380, 480)).resize((320, 480)))
    return np.concatenate([half, half[:, ::-1]], axis=1)


def colours(image: NDArray[np.uint8], half: int) -> int:
    """How many colours the middle of a face has: few where it is hidden."""
    part = image[60:180, 320 * half + 110 : 320 * half + 210]
    return len(np.unique(part.reshape(-1, 3), axis=0))


def saved_image(visit: Any) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(visit.saved("#snapshot"))) as image:
        return np.asarray(image.convert("RGB"))


def assert_only_this_face_is_seen(visit: Any, half: int) -> None:
    """In the saved image: 0 the face on the left, 1 that on the right."""
    image = saved_image(visit)
    assert colours(image, half) > 1000
    assert colours(image, 1 - half) < 60


@pytest.fixture(scope="module")
def pair(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium whose camera shows two people."""
    images = [np.roll(two_people(), shift, axis=1) for shift in (0, 1)]
    camera = write_y4m(tmp_path_factory.mktemp("camera") / "two.y4m", images, rate=10)
    browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags(camera))
    yield browser
    browser.close()


def left_and_right(visit: Any) -> tuple[str, str]:
    """The numbers of the two faces that are shown, from the table."""
    rows = list(csv.DictReader(io.StringIO(visit.saved("#download").decode())))[-2:]
    return tuple(row["face_id"] for row in sorted(rows, key=lambda row: float(row["x"])))  # type: ignore[return-value]


def test_in_a_photo_all_faces_except_ones_own_are_blurred_also_in_the_saved_image(
    address: str, visit: Any
) -> None:
    file = io.BytesIO()
    Image.fromarray(two_people()).save(file, "PNG")
    visit.open(address).photos({"name": "two.png", "mimeType": "image/png", "buffer": file.getvalue()})
    image = saved_image(visit)
    assert min(colours(image, 0), colours(image, 1)) > 1000
    visit.page.check("#blur")
    for half, number in enumerate(left_and_right(visit)):
        visit.page.click(f".face[data-face='{number}'] .face-me")
        assert_only_this_face_is_seen(visit, half)
    visit.set_slider("#confidence", 95)  # faces that are not shown any more are hidden too
    image = saved_image(visit)
    hidden = visit.page.locator(".face").count()
    assert hidden < 2
    assert max(colours(image, 0), colours(image, 1)) < 1000


def test_in_front_of_the_camera_the_others_are_blurred_also_in_the_saved_image(
    address: str, pair: Any, make_visit: Any
) -> None:
    context = pair.new_context()
    visit = make_visit(context.new_page())
    visit.open(address).start()
    visit.page.uncheck("#mirror")
    visit.wait("document.querySelectorAll('.face').length === 2")
    visit.page.check("#blur")
    visit.page.click("#pause")
    visit.wait("document.querySelectorAll('.face').length === 2")
    for half, number in enumerate(left_and_right(visit)):
        visit.page.click(f".face[data-face='{number}'] .face-me")
        assert_only_this_face_is_seen(visit, half)
    visit.page.click("#pause")
    for _ in range(5):
        rows = visit.text("#rows")
        visit.wait(f"Number(document.getElementById('rows').textContent) > {rows}")
        assert colours(saved_image(visit), 0) < 1000
    assert visit.errors == []
    context.close()


def test_a_face_keeps_its_number_and_its_place_stays_hidden_for_a_moment(address: str, visit: Any) -> None:
    """As in Python: a face is given from its third frame on, and smoothed; a new scene starts anew."""
    visit.page.goto(address)
    results = visit.page.evaluate(
        """async (photo) => {
            const { WorkerApi } = await import("./js/worker-api.js");
            const api = new WorkerApi();
            await api.open();
            await api.setMovements(true);
            const image = Object.assign(new Image(), { src: photo });
            await image.decode();
            const frame = Object.assign(document.createElement("canvas"), { width: 512, height: 512 });
            const context = frame.getContext("2d");
            const results = [];
            for (let i = 0; i < 16; i++) {
                if (i === 15) api.restart();
                context.drawImage(image, 2 * Math.min(i, 8), 0);
                if (i >= 8) context.fillRect(150, 50, 180, 160);
                results.push(await api.predict(frame, i / 10));
            }
            api.close();
            return results;
        }""",
        "data:image/jpeg;base64," + base64.b64encode(PHOTO.read_bytes()).decode(),
    )
    ids = [[face["id"] for face in result["faces"]] for result in results]
    first = ids.index([1])
    assert 0 < first < 4
    assert ids == [[]] * first + [[1]] * (8 - first) + [[]] * 8
    hidden = [len(result["unconfirmed"]) for result in results]
    assert hidden == [1] * first + [0] * (8 - first) + [1] * 7 + [0]
    face = results[7]["faces"][0]
    assert face["quality"]["covered"] < 0.5
    assert face["warnings"] == []
    assert face["emotions"] != face["raw"]
    assert abs(face["movements"]["head_yaw"]) < 30
    assert face["change"] is not None


def test_a_camera_that_is_lost_is_reported_and_comes_back(
    playwright: Any, address: str, camera: Path, make_visit: Any
) -> None:
    """The browser ends the camera when its permission is withdrawn, as when it is unplugged."""
    flags = [flag for flag in chromium_flags(camera) if "fake-ui" not in flag]
    browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
    context = browser.new_context()
    context.grant_permissions(["camera"], origin=address.removesuffix("/mien/"))
    visit = make_visit(context.new_page())
    visit.open(address).start()
    rows = int(visit.text("#rows"))
    context.clear_permissions()
    visit.page.wait_for_selector("#alert-text:not(:empty)")
    assert "disconnected" in visit.text("#alert-text")
    assert not visit.page.is_visible("#sign")
    assert int(visit.text("#rows")) >= rows
    visit.page.click("#alert-retry")
    visit.wait("document.getElementById('alert-text').textContent.includes('not allowed')")
    context.grant_permissions(["camera"], origin=address.removesuffix("/mien/"))
    visit.page.click("#alert-retry")
    visit.page.wait_for_selector("#sign:not([hidden])")
    visit.wait(f"Number(document.getElementById('rows').textContent) > {rows} + 3")
    assert not visit.page.is_visible("#alert")
    browser.close()


HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_in_a_hidden_tab_a_clip_waits_and_goes_on(address: str, visit: Any, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the clip is written with PyAV")
    from mien.testing.clips import write_clip

    with Image.open(PHOTO) as image:
        face = np.asarray(image.convert("RGB").resize((240, 240)))
    clip = write_clip(tmp_path / "clip.webm", [face] * 20, rate=10, codec="libvpx")
    visit.open(address).page.evaluate("document.getElementById('video').defaultPlaybackRate = 0.2")
    visit.page.set_input_files("#files", str(clip))  # slow, so that it still plays when its face is found
    visit.page.wait_for_selector(".face")
    visit.page.evaluate(HIDE, True)
    visit.page.wait_for_timeout(100)
    paused_at = visit.page.evaluate("document.getElementById('video').currentTime")
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate("document.getElementById('video').currentTime") == paused_at < 2
    visit.page.evaluate(HIDE, False)
    visit.wait("document.body.dataset.state === 'ended'")


def test_a_camera_goes_on_after_its_tab_was_in_the_background(address: str, visit: Any) -> None:
    """Another tab in front stops the frames of this one; the sign stays in its title."""
    visit.open(address).start()
    other = visit.page.context.new_page()
    other.bring_to_front()
    visit.page.wait_for_timeout(600)
    assert "Camera on" in visit.page.title()
    other.close()
    visit.page.bring_to_front()
    rows = int(visit.text("#rows"))
    visit.wait(f"Number(document.getElementById('rows').textContent) > {rows} + 5")
    visit.wait("document.querySelectorAll('.face').length === 1")
    assert not visit.page.is_visible("#alert")
    assert visit.errors == []
