"""Make docs/images/page.jpg: the page on a screen and on a phone, with a camera that shows the example photo.

    python scripts/make_page_image.py

Run it on an idle machine, since the image contains the frame rate and the latency. It needs Chromium and
playwright.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from mien.testing.camera import chromium_flags, find_chromium, pan, write_y4m

ROOT = Path(__file__).parent.parent
PHOTO, TARGET = ROOT / "examples" / "astronaut.jpg", ROOT / "docs" / "images" / "page.jpg"
_RECORDED_S = 26
_HEIGHT, _GAP = 1170, 16
_SCREEN, _PHONE = (1280, _HEIGHT), (390, 1467)


def wait_until_ready(url: str) -> None:
    """Raises TimeoutError after a minute."""
    for _ in range(600):
        try:
            with urlopen(f"{url}/readyz"):
                return
        except URLError:
            time.sleep(0.1)
    raise TimeoutError("the server was not ready after a minute")


def shoot(browser: Any, url: str, path: Path, size: tuple[int, int], scheme: str) -> Image.Image:
    """A screenshot of the page after it has analyzed the camera for some time."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    page.check("#agreed")
    page.click("#start")
    page.wait_for_selector(".face")
    page.wait_for_timeout(1000 * _RECORDED_S)
    page.screenshot(path=path)
    print(f"{scheme}: {page.inner_text('#fps')} frames/s, latency {page.inner_text('#latency')}")
    context.close()
    with Image.open(path) as image:
        return image.convert("RGB").resize(
            (round(width * _HEIGHT / height), _HEIGHT), Image.Resampling.LANCZOS
        )


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with TemporaryDirectory() as folder, Image.open(PHOTO) as photo:
        frames = list(pan(np.asarray(photo.convert("RGB")), (640, 480), frames=30))
        camera = write_y4m(Path(folder) / "camera.y4m", frames, rate=10)
        command = [sys.executable, "-m", "mien.cli.app", "serve", "--port", str(port)]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_until_ready(url)
            with sync_playwright() as started:
                browser = started.chromium.launch(
                    executable_path=find_chromium(), args=chromium_flags(camera)
                )
                screen = shoot(browser, url, Path(folder) / "screen.png", _SCREEN, "light")
                phone = shoot(browser, url, Path(folder) / "phone.png", _PHONE, "dark")
        finally:
            server.terminate()
            server.wait()
    image = Image.new("RGB", (screen.width + _GAP + phone.width, _HEIGHT), "#f4f2ed")
    image.paste(screen, (0, 0))
    image.paste(phone, (screen.width + _GAP, 0))
    image.save(TARGET, quality=88)


if __name__ == "__main__":
    main()
