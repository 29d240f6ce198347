"""How much the faces of mien-js differ from Python's where Chromium decodes a photo, and where it resizes it.

    make web && python benchmarks/web_decoding.py PHOTOS...

"decoded": both analyze the same file. "halved": both analyze it at half its size; Chromium's canvas resizes
one copy (`drawImage`, high quality), Pillow the other (bicubic). Faces are matched by overlap. Prints one
JSON object.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien import Analyzer
from mien.geometry import iou
from mien.images.decode import read_image
from mien.testing.camera import chromium_flags, find_chromium

WEB = Path(__file__).parents[1] / "web"
_SAME = 0.5

_SCRIPT = """async ({ names, model }) => {
  const { Analyzer } = await import("./dist/index.js");
  const analyzer = await Analyzer.create({ model });
  const result = { decoded: [], halved: [] };
  for (const name of names) {
    const blob = await (await fetch(name)).blob();
    result.decoded.push(await analyzer.analyze(blob));
    const image = await createImageBitmap(blob);
    const half = new OffscreenCanvas(Math.max(1, image.width >> 1), Math.max(1, image.height >> 1));
    const context = half.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, half.width, half.height);
    result.halved.push(await analyzer.analyze(context.getImageData(0, 0, half.width, half.height)));
  }
  analyzer.dispose();
  return result;
}"""


def in_chromium(photos: list[Path], model: str) -> dict[str, list[list[dict[str, Any]]]]:
    """The faces of each photo, decoded and resized by Chromium."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        (folder / "dist").symlink_to(WEB / "dist")
        (folder / "index.html").write_text("<!doctype html><title>decoding</title>")
        names = [f"{i}{photo.suffix}" for i, photo in enumerate(photos)]
        for photo, copy in zip(photos, names, strict=True):
            shutil.copy(photo, folder / copy)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=name)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags())
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            found: dict[str, list[list[dict[str, Any]]]] = page.evaluate(
                _SCRIPT, {"names": names, "model": model}
            )
            browser.close()
            server.shutdown()
    return found


def differences(expected: list[list[dict[str, Any]]], given: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """How far the matched faces of all photos differ, and how many have no match."""
    boxes, shares, same, alone = [], [], 0, 0
    for ours, theirs in zip(expected, given, strict=True):
        pairs = [(a, b) for a in ours for b in theirs if iou(tuple(a["box"]), tuple(b["box"])) > _SAME]
        alone += len(ours) + len(theirs) - 2 * len(pairs)
        for a, b in pairs:
            boxes.append(float(np.abs(np.subtract(a["box"], b["box"])).max()))
            shares.append(max(abs(share - b["emotions"][name]) for name, share in a["emotions"].items()))
            same += a["top"] == b["top"]
    return {
        "faces": len(boxes),
        "unmatched": alone,
        "box_px": _spread(boxes),
        "probability": _spread(shares),
        "same_top": same,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(float(np.median(values)), 4),
        "p95": round(float(np.percentile(values, 95)), 4),
        "largest": round(max(values), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--model", default="mien-tiny")
    options = parser.parse_args()
    analyzer = Analyzer(options.model, threads=1)
    given = in_chromium(options.photos, options.model)
    images = [Image.fromarray(read_image(photo).pixels) for photo in options.photos]
    halves = [image.resize((max(1, image.width // 2), max(1, image.height // 2))) for image in images]
    expected = {"decoded": images, "halved": halves}
    result = {
        way: differences(
            [[face.to_dict() for face in analyzer.analyze(np.asarray(image))] for image in expected[way]],
            given[way],
        )
        for way in expected
    }
    print(json.dumps({"model": options.model, "photos": len(images), **result}, indent=2))


if __name__ == "__main__":
    main()
