"""The static page in Chromium: no server computes anything, no other host is reached, it opens offline."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mien import analyze
from mien.inference.face import Face
from mien.serve.settings import NOTICE
from mien.serve.static_page.local import make_local_server
from mien.serve.static_page.site import SiteOptions
from mien.testing.camera import chromium_flags, find_chromium

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"

Serve = Callable[[Path], AbstractContextManager[str]]


def png(image: Image.Image, name: str = "photo.png") -> dict[str, Any]:
    """A file for the page, without the losses of JPEG, which browsers decode in their own way."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


def photo() -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.convert("RGB")


def python_face(image: Image.Image, model: str = "mien-tiny") -> Face:
    return analyze(np.asarray(image), model=model)[0]


def shown_percents(visit: Any) -> dict[str, int]:
    rows = visit.page.locator(".bar").all_inner_texts()
    return {row.split("\n")[0]: int(row.split("\n")[1].split()[0]) for row in rows}


def close_to(face: Face) -> Any:
    return pytest.approx({name: 100 * share for name, share in face.emotions.items()}, abs=1.1)


def test_a_photo_is_analyzed_on_the_page_and_again_offline(site: Path, serve: Serve, visit: Any) -> None:
    top = python_face(photo()).top[0]
    with serve(site) as address:
        visit.open(address).photos(str(PHOTO))
        assert top in visit.text(".face-top")
        visit.wait("document.getElementById('kept').textContent.includes('works offline')")
    visit.open(address).photos(str(PHOTO))  # the server is gone
    assert top in visit.text(".face-top")
    visit.page.select_option("#models", "mien-lite0")
    visit.page.wait_for_selector("#alert-text:not(:empty)")
    assert "mien-lite0.json cannot be loaded" in visit.text("#alert-text")
    assert "Check the connection" in visit.text("#alert-text")
    others = [each for each in visit.requests if not each.startswith((f"GET {address}", "GET blob:"))]
    assert others == []


def test_a_model_that_was_used_once_works_offline_too(site: Path, serve: Serve, visit: Any) -> None:
    with serve(site) as address:
        visit.open(address).photos(png(photo()))
        visit.wait("document.getElementById('kept').textContent.includes('works offline')")
        visit.page.select_option("#models", "mien-lite0")
        visit.wait("document.getElementById('model').textContent === 'model mien-lite0'")
    visit.open(address).photos(png(photo()))
    visit.page.select_option("#models", "mien-lite0")
    visit.wait("document.getElementById('rows').textContent === '2'")
    assert shown_percents(visit) == close_to(python_face(photo(), "mien-lite0"))


def test_another_model_analyzes_the_photo_again(address: str, visit: Any) -> None:
    visit.open(address).photos(png(photo()))
    assert shown_percents(visit) == close_to(python_face(photo()))
    visit.page.select_option("#models", "mien-lite0")
    visit.wait("document.getElementById('model').textContent === 'model mien-lite0'")
    visit.wait("document.getElementById('rows').textContent === '2'")
    assert shown_percents(visit) == close_to(python_face(photo(), "mien-lite0"))
    assert visit.errors == []


def test_the_camera_starts_only_after_consent_and_gives_faces(address: str, visit: Any) -> None:
    visit.open(address)
    assert visit.page.is_disabled("#start")
    assert visit.text(".notice") == NOTICE
    assert "leaves this device" in visit.text("#consent")
    visit.start()
    visit.wait("parseFloat(document.querySelector('#fps').textContent) > 1")
    visit.page.select_option("#labels", "fer2013")
    visit.wait("!document.querySelector('#legend').textContent.includes('ontempt')")
    visit.page.wait_for_selector(".bar[data-emotion=contempt]", state="detached")
    assert not visit.page.is_visible("#alert")
    assert visit.errors == []


def test_the_thresholds_hide_faces_and_make_predictions_uncertain(address: str, visit: Any) -> None:
    face = python_face(photo())
    assert face.confidence is not None
    assert face.confidence < 0.95
    visit.open(address).photos(png(photo()))
    assert visit.page.locator(".face:not(.uncertain)").count() == 1
    visit.set_slider("#probability", 95)
    assert face.emotions[face.top[0]] < 0.95
    assert visit.text(".face-word") == "uncertain"
    visit.set_slider("#probability", 0)
    assert visit.text("#probability-value") == "the model's rule" or not visit.page.is_visible("#probability")
    assert visit.text(".face-word") == face.top[0]
    visit.set_slider("#confidence", 95)
    assert visit.page.locator(".face").count() == 0
    assert visit.text("#note") == "No face in this photo."
    assert b"happy" in visit.saved("#download")  # the table keeps it


def test_a_face_that_is_hard_to_see_is_named_with_its_quality(address: str, visit: Any) -> None:
    blurred = photo().filter(ImageFilter.GaussianBlur(4))
    face = python_face(blurred)
    assert face.warnings
    assert face.quality is not None
    visit.open(address).photos(png(blurred))
    assert visit.text(".face-warnings") == f"Hard to see: {', '.join(face.warnings)}"
    assert visit.text(".face-word") == "uncertain"
    visit.page.click(".face-quality summary")
    visit.page.wait_for_selector(".quality dd:not(:empty)")
    shown = dict(row.split("\n") for row in visit.page.locator(".quality div").all_inner_texts())
    assert shown["size"] == f"{face.quality.size:.0f} px"
    assert float(shown["sharpness"]) == pytest.approx(face.quality.sharpness, abs=0.006)
    assert float(shown["turn"].rstrip("°")) == pytest.approx(face.quality.yaw, abs=0.6)
    visit.photos(png(photo()))
    assert not visit.page.is_visible(".face-warnings")


def test_the_page_can_be_installed(playwright: Any, address: str, tmp_path: Path) -> None:
    """In a profile that is kept: Chromium refuses to install pages in private windows."""
    context = playwright.chromium.launch_persistent_context(
        str(tmp_path), executable_path=find_chromium(), args=chromium_flags()
    )
    page = context.pages[0]
    page.goto(address)
    page.wait_for_selector("#kept:not(:empty)")
    session = context.new_cdp_session(page)
    assert session.send("Page.getInstallabilityErrors")["installabilityErrors"] == []
    context.close()


def test_from_a_file_the_page_names_what_to_do(site: Path, visit: Any) -> None:
    visit.page.goto((site / "index.html").as_uri())
    visit.page.wait_for_selector("#alert-text:not(:empty)")
    assert "python -m http.server" in visit.text("#alert-text")
    assert "mien live --local" in visit.text("#alert-text")
    assert visit.page.locator("#consent button:not([disabled])").count() == 0


def test_live_local_sends_nothing_but_requests_for_its_files(web_package: Path, visit: Any) -> None:
    options = SiteOptions(("mien-tiny",), labels="ferplus", notice="Attention.", offline=False)
    with make_local_server(options) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        visit.open(address).start()
        visit.wait("Number(document.getElementById('rows').textContent) > 10")
        server.shutdown()
    visit.wait("Number(document.getElementById('rows').textContent) > 20")  # also without it
    assert visit.text(".notice") == "Attention."
    assert visit.page.input_value("#labels") == "ferplus"
    assert not visit.page.is_visible("#models")
    assert all(each.startswith((f"GET {address}", "GET blob:")) for each in visit.requests)
    assert visit.page.evaluate("caches.keys()") == []
    assert visit.errors == []


def test_the_policy_stops_a_frame_on_its_way_to_another_host(address: str, visit: Any) -> None:
    visit.open(address)
    blocked = visit.page.evaluate(
        """async () => {
            const canvas = document.createElement("canvas");
            const post = fetch("http://127.0.0.1:9/", { method: "POST", body: canvas.toDataURL() });
            const sent = await post.then(() => "sent", () => "refused");
            const beacon = await new Promise((resolve) => {
                document.addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI));
                const image = new Image();
                image.src = "http://127.0.0.1:9/" + canvas.toDataURL().slice(0, 20);
            });
            return [sent, beacon];
        }"""
    )
    assert blocked[0] == "refused"
    assert blocked[1].startswith("http://127.0.0.1:9/")
    assert any("connect-src" in error or "default-src" in error for error in visit.errors)
