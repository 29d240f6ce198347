"""Holds the TypeScript package to Python: the same pixels must give the same faces.

    cd web && npm install && npm run build && cd ..
    python benchmarks/web_parity.py PHOTOS... [--crops fer2013.csv] [--model mien-lite0] [--in node chromium]

Each photo is analyzed as it is, mirrored, at half and at twice the size, in an eighth of the light, lying on
its side and tilted by 30 degrees: so tiles, the second look, turns and brightening all take part. The pixels
are decoded once, by Python. "photos" holds whole images; "crops" holds the same faces as Python cropped them,
and FER2013's. Two builds of ONNX Runtime differ in the last digits of a box; a face whose square lies just
between two lines of the grid of sixteenths of a pixel is then cut one line apart ("beside"). Prints one JSON
object; exits with 1 if faces or boxes are too far apart, or the probabilities of one face in a hundred.
"""

from __future__ import annotations

import argparse
import csv
import functools
import http.server
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien import Analyzer
from mien.detection.turned import detect_turned
from mien.images.crop import FER2013_FRAMING, crop_face
from mien.images.decode import read_image

WEB = Path(__file__).parents[1] / "web"
# The bounds: half a pixel, and two thousandths of probability.
BOX, PROBABILITY = 0.5, 2e-3
_MARGIN = 4e-3  # an answer this close to its threshold may fall on either side
_SIDE = 1600
_BESIDE = 0.01  # so large a share of the faces may be cut one line of the grid apart


def variants(photo: Path) -> Iterator[NDArray[np.uint8]]:
    """A photo, at most 1,600 px long, in seven ways; RGB uint8 (H, W, 3)."""
    image = Image.fromarray(read_image(photo).pixels)
    image.thumbnail((_SIDE, _SIDE))
    yield np.asarray(image)
    yield np.asarray(image)[:, ::-1]
    yield np.asarray(image.resize((max(1, image.width // 2), max(1, image.height // 2))))
    yield np.asarray(image.resize((image.width * 2, image.height * 2)))
    yield np.asarray(image) // 8
    yield np.rot90(np.asarray(image))
    yield np.asarray(image.rotate(30, Image.Resampling.BICUBIC))


def faces_of_csv(path: Path, count: int) -> Iterator[NDArray[np.uint8]]:
    """The first faces of FER2013's PublicTest, RGB uint8 (48, 48, 3)."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["Usage"] == "PublicTest" and count > 0:
                count -= 1
                gray = np.array(row["pixels"].split(), np.uint8).reshape(48, 48)
                yield np.repeat(gray[..., None], 3, axis=2)


def crops_of(analyzer: Analyzer, image: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The crops of an image's faces, as Python gives them to the model, RGB uint8 (S, S, 3)."""
    card = analyzer.classifier.card
    for face in detect_turned(analyzer.detector, image):
        crop = crop_face(image, face, card.framing or FER2013_FRAMING, size=card.input_size)
        yield np.repeat(crop[..., None], 3, axis=2)


def compare(expected: list[list[dict[str, Any]]], given: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """How far the faces of all images differ, and which images have other faces."""
    boxes, points, confidences, probabilities = [0.0], [0.0], [0.0], [0.0]
    qualities: list[float] = []
    other: list[str] = []
    for i, (ours, theirs) in enumerate(zip(expected, given, strict=True)):
        if len(ours) != len(theirs):
            other.append(f"image {i}: {len(ours)} faces in Python, {len(theirs)} here")
            continue
        for a, b in zip(ours, theirs, strict=True):
            boxes.append(_apart(a["box"], b["box"]))
            if a["keypoints"]:
                points.append(_apart(np.ravel(a["keypoints"]), np.ravel(b["keypoints"])))
                confidences.append(abs(a["confidence"] - b["confidence"]))
            shares = [{**face["emotions"], **face["abstentions"]} for face in (a, b)]
            if list(shares[0]) != list(shares[1]):
                other.append(f"image {i}: labels {list(shares[0])} in Python, {list(shares[1])} here")
                continue
            probabilities.append(_apart(list(shares[0].values()), list(shares[1].values())))
            if a.get("quality") is None:  # whole images as crops
                same = b["quality"] is None
            else:
                found = [list(face["quality"].values()) for face in (a, b)]
                qualities.append(_apart(found[0], found[1]))
                same = list(a["quality"]) == list(b["quality"]) and a["warnings"] == b["warnings"]
            same = same and all(a[key] == b[key] for key in ("top", "uncertain"))
            same = same and set(a["set"]) == set(b["set"])
            if not same and not a["close"]:
                other.append(f"image {i}: {a['top']} {a['set']} in Python, {b['top']} {b['set']} here")
    return {
        "faces": sum(map(len, expected)),
        "box_px": max(boxes),
        "keypoints_px": max(points),
        "confidence": max(confidences),
        "quality": max(qualities, default=0.0),
        "probability": max(probabilities),
        "beside": int((np.asarray(probabilities) > PROBABILITY).sum()),
        "other": other,
    }


def _apart(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max()) if len(a) else 0.0


def _plain(face: Any) -> dict[str, Any]:
    """A face as the package gives it, and whether one of its decisions is close."""
    shares = sorted(face.emotions.values(), reverse=True)
    thresholds = list(face.thresholds["0.90"] - np.cumsum(shares))
    last = len(face.set(0.9)) - 1  # a tie here swaps the last emotion of the set
    tie = shares[last] - shares[last + 1] if last + 1 < len(shares) else 1.0
    near = [*thresholds, tie, shares[0] - shares[1], face.margin - (face.certain_margin or 0)]
    close = min(map(abs, near)) < _MARGIN
    return {**face.to_dict(), "set": list(face.set(0.9)), "close": close}


def _in_node(folder: Path, model: str) -> dict[str, Any]:
    script = WEB / "tests" / "analyze_raw.mjs"
    command = ["node", str(script), model, str(folder / "list.json")]
    output: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return output


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _in_chromium(folder: Path, model: str) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    from mien.testing.camera import chromium_flags, find_chromium

    (folder / "dist").symlink_to(WEB / "dist")
    (folder / "index.html").write_text("<!doctype html><title>parity</title>")
    (folder / "analyze_raw.js").write_text((WEB / "tests" / "analyze_raw_page.js").read_text())
    handler = functools.partial(_Quiet, directory=str(folder))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags())
        page = browser.new_page()
        page.set_default_timeout(0)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.add_script_tag(url="analyze_raw.js", type="module")
        page.wait_for_function("!!window.analyzeRaw")
        output: dict[str, Any] = page.evaluate("model => window.analyzeRaw(model)", model)
        browser.close()
        server.shutdown()
    return output


_PLACES = {"node": _in_node, "chromium": _in_chromium}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--crops", type=Path, help="FER2013's csv file")
    parser.add_argument("--count", type=int, default=300, help="how many crops")
    parser.add_argument("--model", default="mien-tiny")
    parser.add_argument("--in", dest="places", choices=list(_PLACES), nargs="+", default=["node"])
    options = parser.parse_args()
    photos = [np.ascontiguousarray(image) for photo in options.photos for image in variants(photo)]
    analyzer = Analyzer(options.model, threads=1)
    crops = [crop for image in photos for crop in crops_of(analyzer, image)]
    if options.crops:
        crops += faces_of_csv(options.crops, options.count)
    expected = [
        *(analyzer.analyze(image) for image in photos),
        *([face] for face in analyzer.analyze_crops(crops)),
    ]
    with tempfile.TemporaryDirectory() as name:
        entries = []
        for i, image in enumerate([*photos, *crops]):
            file = Path(name) / f"{i}.rgb"
            file.write_bytes(image.tobytes())
            height, width = image.shape[:2]
            entry = {"file": str(file), "name": file.name, "width": width, "height": height}
            entries.append({**entry, "crop": i >= len(photos)})
        (Path(name) / "list.json").write_text(json.dumps(entries))
        given = {place: _PLACES[place](Path(name), options.model)["faces"] for place in options.places}
    plain = [[_plain(face) for face in faces] for faces in expected]
    n = len(photos)
    result: dict[str, Any] = {"model": options.model, "images": n}
    for place, faces in given.items():
        result[place] = {"photos": compare(plain[:n], faces[:n]), "crops": compare(plain[n:], faces[n:])}
    print(json.dumps(result, indent=2))
    return 1 if any(_is_too_far(result[place]) for place in given) else 0


def _is_too_far(result: dict[str, Any]) -> bool:
    photos, crops = result["photos"], result["crops"]
    return bool(
        not photos["faces"]
        or photos["other"]
        or crops["other"]
        or photos["box_px"] > BOX
        or photos["beside"] > _BESIDE * photos["faces"]
        or crops["probability"] > PROBABILITY
    )


if __name__ == "__main__":
    sys.exit(main())
