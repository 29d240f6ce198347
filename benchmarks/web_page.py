"""Times the static page in Chromium: the first answer after a load from the cache, frames per second, memory.

    make web
    python benchmarks/web_page.py [--seconds 60] [--screenshots FOLDER]
    taskset -c 0 python benchmarks/web_page.py --seconds 600       # on one core, for ten minutes (Linux)

The camera is a photo of one face that moves in a circle, 640 by 480, 30 frames per second. Memory is that of
all processes of the browser (Linux: shared pages count once), and the page's heap. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import math
import os
import tempfile
import threading
import time
from contextlib import suppress
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


def memory_mb(parent: int) -> float:
    """The memory of the processes below a process (proportional set sizes); 0 where there is no /proc."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    below = {parent}
    while more := {child for child, of in parents.items() if of in below} - below:
        below |= more
    total = 0
    for number in below - {parent}:
        with suppress(OSError):
            lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def live(page: Any, address: str, seconds: int) -> dict[str, list[float]]:
    """Once a second, the frames per second and the latency in ms that the page shows, and memory in MB."""
    page.goto(address)
    page.check("#agreed")
    page.click("#start")
    page.wait_for_selector("#faces li")
    page.wait_for_timeout(3000)
    shown: dict[str, list[float]] = {"fps": [], "latency_ms": [], "heap_mb": [], "processes_mb": []}
    for second in range(seconds):
        page.wait_for_timeout(1000)
        fps, latency = page.text_content("#fps"), page.text_content("#latency").removesuffix(" ms")
        shown["fps"].append(float(fps) if fps != "–" else 0.0)
        shown["latency_ms"].append(float(latency) if latency != "–" else math.nan)
        shown["heap_mb"].append(page.evaluate("performance.memory.usedJSHeapSize / 1e6"))
        if second % 10 == 0:  # reading it costs some milliseconds
            shown["processes_mb"].append(memory_mb(os.getpid()))
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
            result |= {key: {"median": float(np.nanmedian(values))} for key, values in shown.items()}
            for key in ("heap_mb", "processes_mb"):
                thirds = np.array_split(shown[key], 3)
                result[key] |= {"thirds": [float(np.median(part)) for part in thirds if len(part)]}
            result["frames_analyzed"] = int(page.text_content("#rows"))
            result["load_average"] = os.getloadavg()
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
