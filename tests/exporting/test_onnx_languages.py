"""The programs of docs/onnx.md give the probabilities that mien gives, where their runtime is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien.data.synthetic.faces import faces
from mien.models.registry import find_model

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web" / "node_modules"


def program(language: str) -> str:
    page = (ROOT / "docs/onnx.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    return str(code)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the programs read: the shipped model, its card, and the bytes of a drawn face."""
    folder = tmp_path_factory.mktemp("onnx")
    onnx = find_model("mien-tiny").onnx
    shutil.copy(onnx, folder)
    shutil.copy(onnx.with_suffix(".json"), folder)
    faces(1, seed=4).pixels[0].tofile(folder / "face.gray")
    return folder


@pytest.fixture(scope="module")
def expected() -> dict[str, float]:
    model = mien.load_model("mien-tiny")
    (row,) = model.predict(faces(1, seed=4).pixels)["fer2013"]
    return dict(zip(model.heads["fer2013"], row.tolist(), strict=True))


def test_python_gives_what_mien_gives(folder: Path, expected: dict[str, float]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program("python")], cwd=folder, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert list(found) == list(expected)
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-5)


@pytest.mark.skipif(
    not (WEB / "onnxruntime-web").is_dir() or shutil.which("node") is None, reason="npm install in web/"
)
def test_javascript_gives_what_mien_gives(folder: Path, expected: dict[str, float]) -> None:
    (folder / "face.mjs").write_text(program("javascript"))
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(WEB.resolve())
    done = subprocess.run(
        ["node", "face.mjs"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == list(expected)
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-4)


def test_the_temperature_in_the_other_programs_is_that_of_the_card() -> None:
    card = json.loads(find_model("mien-tiny").onnx.with_suffix(".json").read_text(encoding="utf-8"))
    (head,) = (each for each in card["heads"] if each["name"] == "fer2013")
    for language in ("cpp", "rust"):
        (number,) = re.findall(r"0\.\d{5,}", program(language))
        assert float(number) == pytest.approx(head["temperature"], abs=1e-6)
    assert len(head["labels"]) == 7
