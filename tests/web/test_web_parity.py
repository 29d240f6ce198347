"""The TypeScript package gives the faces that Python gives, from the same pixels."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien import analyze
from mien.data.synthetic.faces import faces as draw_faces
from mien.testing.camera import find_chromium

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"


def mosaic(seed: int) -> Image.Image:
    """Twelve faces side by side: one photo's, of different size, tilt and light."""
    random = np.random.default_rng(seed)
    photo = Image.open(PHOTO).convert("RGB")
    x, y, width, height = analyze(PHOTO)[0].box
    head = photo.crop((int(x - width / 2), int(y - height / 2), int(x + 1.5 * width), int(y + 1.5 * height)))
    image = Image.new("RGB", (800, 600), (90, 100, 110))
    for cell in range(12):
        side = int(random.integers(120, 200))
        tilted = head.rotate(float(random.uniform(-30, 30)), Image.Resampling.BICUBIC).resize((side, side))
        lit = np.asarray(tilted) * random.uniform(0.4, 1.1)
        image.paste(Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8)), (cell % 4 * 200, cell // 4 * 200))
    return image


def parity(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "benchmarks" / "web_parity.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_node_and_chromium_give_python_s_faces(web_package: Path, tmp_path: Path) -> None:
    """A photo and three mosaics in seven variants each, and 300 drawn crops. 30 s, most of it Python's."""
    crops = tmp_path / "crops.csv"
    table = draw_faces(300)
    with crops.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["pixels", "Usage"])
        writer.writerows([" ".join(map(str, face.ravel())), "PublicTest"] for face in table.pixels)
    photos = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, photo in enumerate(photos):
        mosaic(seed).save(photo)
    places = ["node", "chromium"] if find_chromium() else ["node"]
    result = parity(str(PHOTO), *map(str, photos), "--crops", str(crops), "--in", *places)
    for place in places:
        of_photos, of_crops = result[place]["photos"], result[place]["crops"]
        assert of_photos["faces"] >= 200
        assert of_photos["box_px"] <= 0.5
        assert of_photos["beside"] <= 2
        assert of_photos["quality"] <= 0.2  # degrees and pixels, rounded to a tenth
        assert of_crops["faces"] == of_photos["faces"] + 300
        assert of_crops["probability"] <= 2e-3


def test_the_larger_model_gives_python_s_faces_too(web_package: Path) -> None:
    assert parity(str(PHOTO), "--model", "mien-lite0")["node"]["crops"]["faces"] == 7
