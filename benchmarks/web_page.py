"""Times the static page in Chromium: the first answer after a load from the cache, and frames per second.

    make web
    python benchmarks/web_page.py [--seconds 60] [--screenshots FOLDER]

The camera is a photo of one face that moves in a circle, 640 by 480. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from mien.serve.static_page.site import write_site
from mien.testing.camera import chromium_flags, find_chromium, pan, write_y4m

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "astronaut.jpg"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def first_answer_s(page: Any, address: str) -> float:
    """Seconds from opening the page to the face of a photo that is given to it at once."""
    started = time.perf_counter()
    page.goto(address)
    page.set_input_files("#files", str(PHOTO))
    page.wait_for_selector("#faces li")
    return time.perf_counter() - started


def live(page: Any, address: str, seconds: int) -> dict[str, list[float]]:
    """Once a second, the frames per second and the latency in ms that the page shows, and its heap in MB."""
    page.goto(address)
    page.check("#agreed")
    page.click("#start")
    page.wait_for_selector("#faces li")
    page.wait_for_timeout(3000)
    shown: dict[str, list[float]] = {"fps": [], "latency_ms": [], "heap_mb": []}
    for _ in range(seconds):
        page.wait_for_timeout(1000)
        fps, latency = page.text_content("#fps"), page.text_content("#latency")
        shown["fps"].append(float(fps.split()[0]))
        shown["latency_ms"].append(float(latency.split()[0]))
        shown["heap_mb"].append(page.evaluate("performance.memory.usedJSHeapSize / 1e6"))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--screenshots", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        write_site(Path(name) / "mien")
        image = Image.open(PHOTO).convert("RGB").resize((960, 960))
        camera = write_y4m(Path(name) / "camera.y4m", pan(np.asarray(image), (640, 480), frames=60), rate=30)
        handler = functools.partial(_Quiet, directory=name)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}/mien/"
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags(camera))
            page = browser.new_page()
            result: dict[str, Any] = {"first_visit_s": first_answer_s(page, address)}
            page.evaluate("() => navigator.serviceWorker.ready")
            result["from_cache_s"] = [first_answer_s(page, address) for _ in range(5)]
            if options.screenshots:
                page.screenshot(path=options.screenshots / "photo.png")
            shown = live(page, address, options.seconds)
            if options.screenshots:
                page.screenshot(path=options.screenshots / "live.png")
            result |= {key: {"median": float(np.median(values))} for key, values in shown.items()}
            half = len(shown["heap_mb"]) // 2
            result["heap_mb"] |= {
                "first_half": float(np.median(shown["heap_mb"][:half])),
                "second_half": float(np.median(shown["heap_mb"][half:])),
            }
            if options.screenshots:
                page.set_viewport_size({"width": 390, "height": 844})
                page.screenshot(path=options.screenshots / "phone.png")
                page.goto(address)
                page.screenshot(path=options.screenshots / "consent.png")
            browser.close()
            server.shutdown()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
