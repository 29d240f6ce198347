"""Make docs/images/viewer.jpg: the page of `mien view` with the study of a clip made of the example photo.

    python scripts/make_viewer_image.py

It needs Chromium and playwright.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from playwright.sync_api import sync_playwright

import mien
from mien.inference.analyzer import Analyzer
from mien.testing.camera import chromium_flags, find_chromium
from mien.testing.clips import Actor, play, write_clip
from mien.video.batch import predict_clips
from mien.video.options.clips import ClipOptions
from mien.video.options.study import StudyOptions

ROOT = Path(__file__).parent.parent
PHOTO, TARGET = ROOT / "examples" / "astronaut.jpg", ROOT / "docs" / "images" / "viewer.jpg"
_SECONDS = 8
_ENTRIES = (
    {"clip": "talk", "kind": "rename", "person": 1, "name": "Eileen"},
    {"clip": "talk", "kind": "exclude", "person": 2, "from_s": 0.4, "to_s": 1.0},
)


def make_study(folder: Path) -> Path:
    """A study of a clip whose sharpness changes, so that expressions do."""
    with Image.open(PHOTO) as image:
        person = np.asarray(image.convert("RGB").crop((60, 0, 400, 400)))
    scene = [
        Actor(person, lambda t: (330 + 8 * t, 370, 620)),
        Actor(person[:, ::-1], lambda t: (950, 380, 520) if t < 3 or t > 4.5 else None),
    ]
    frames = play(scene, _SECONDS, size=(1280, 720))
    blurred = (blur(frame, float(9 * np.sin(i / 32) ** 2)) for i, frame in enumerate(frames))
    clip = write_clip(folder / "talk.mp4", blurred, codec="h264")
    study = folder / "study"
    predict_clips([str(clip)], Analyzer(), ClipOptions(out=study, study=StudyOptions()))
    mien.apply_corrections(study, _ENTRIES)
    return study


def blur(frame: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """A frame out of focus."""
    return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(radius)))


def main() -> None:
    with TemporaryDirectory() as folder:
        study = make_study(Path(folder))
        command = [sys.executable, "-m", "mien.cli.app", "view", str(study), "--no-browser"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            address = re.search(r"http://\S+", server.stderr.readline() if server.stderr else "")
            if address is None:
                raise RuntimeError("the viewer printed no address")
            with sync_playwright() as started:
                browser = started.chromium.launch(executable_path=find_chromium(), args=chromium_flags())
                page = browser.new_page(viewport={"width": 1360, "height": 800})
                page.goto(address[0])
                page.wait_for_selector(".person")
                page.wait_for_timeout(3000)
                for key in ("PageUp", *["Shift+ArrowRight"] * 4, "i", "Shift+ArrowRight", "o"):
                    page.keyboard.press(key)
                    page.wait_for_timeout(400)
                page.screenshot(path=Path(folder) / "page.png")
                browser.close()
            with Image.open(Path(folder) / "page.png") as image:
                image.convert("RGB").save(TARGET, quality=86)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
