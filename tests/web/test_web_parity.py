"""The TypeScript package gives the faces that Python gives, from the same pixels."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mien.data.synthetic.faces import faces as draw_faces
from mien.testing.camera import find_chromium

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"


def parity(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "benchmarks" / "web_parity.py"), str(PHOTO), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_node_gives_python_s_faces(web_package: Path, tmp_path: Path) -> None:
    """Seven variants of a photo, and 300 drawn crops."""
    crops = tmp_path / "crops.csv"
    table = draw_faces(300)
    with crops.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["pixels", "Usage"])
        writer.writerows([" ".join(map(str, face.ravel())), "PublicTest"] for face in table.pixels)
    result = parity("--crops", str(crops))
    assert result["photos"]["faces"] == 7
    assert result["photos"]["box_px"] <= 0.5
    assert result["photos"]["quality"] <= 0.2  # degrees and pixels, rounded to a tenth
    assert result["crops"]["faces"] == 307
    assert result["crops"]["probability"] <= 2e-3


def test_the_larger_model_gives_python_s_faces_too(web_package: Path) -> None:
    assert parity("--model", "mien-lite0")["crops"]["faces"] == 7


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium: install it, or name one in MIEN_CHROMIUM")
def test_chromium_gives_python_s_faces(web_package: Path) -> None:
    assert parity("--in", "chromium")["photos"]["faces"] == 7
