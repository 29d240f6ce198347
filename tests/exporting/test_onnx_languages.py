"""The programs of docs/onnx.md give the probabilities that mien gives, where their runtime is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien.data.synthetic.faces import faces
from mien.models.registry import find_model
from mien.models.runtime import onnxruntime

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


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the C library of ONNX Runtime's Python package, by the names that linkers look for."""
    folder = tmp_path_factory.mktemp("library")
    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not found:
        pytest.skip("the Python package of ONNX Runtime holds no C library")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(found[0])
    return folder


HEADERS = [
    Path(folder)
    for folder in (*os.environ.get("CPATH", "").split(":"), "/usr/include/onnxruntime", "/usr/local/include")
    if folder and (Path(folder) / "onnxruntime_cxx_api.h").is_file()
]


@pytest.mark.skipif(
    not HEADERS or shutil.which("g++") is None, reason="g++ and ONNX Runtime's headers (CPATH)"
)
def test_cpp_gives_what_mien_gives(folder: Path, library: Path, expected: dict[str, float]) -> None:
    (folder / "face.cpp").write_text(program("cpp"))
    build = ["g++", f"-I{HEADERS[0]}", "face.cpp", f"-L{library}", "-lonnxruntime", "-o", "face"]
    subprocess.run(build, cwd=folder, check=True, timeout=120)
    done = subprocess.run(
        ["./face"],
        cwd=folder,
        env={**os.environ, "LD_LIBRARY_PATH": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [float(each) for each in done.stdout.split()] == pytest.approx(list(expected.values()), abs=1e-5)


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo")
def test_rust_gives_what_mien_gives(folder: Path, library: Path, expected: dict[str, float]) -> None:
    package = folder / "rust"
    (package / "src").mkdir(parents=True)
    (package / "src/main.rs").write_text(program("rust"))
    (package / "Cargo.toml").write_text(
        '[package]\nname = "face"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n'
        'ort = { version = "2.0.0-rc.10", default-features = false, features = ["std", "load-dynamic"] }\n'
    )
    cargo = ["cargo", "build", "--offline", "--quiet", "--target-dir", str(package / "target")]
    built = subprocess.run(cargo, cwd=package, capture_output=True, text=True, check=False, timeout=300)
    if (
        "no matching package named `ort` found" in built.stderr
        or "attempting to make an HTTP" in built.stderr
    ):
        pytest.skip("cargo has not got the crate ort: `cargo fetch` it first")
    assert built.returncode == 0, built.stderr
    done = subprocess.run(
        [package / "target/debug/face"],
        cwd=folder,
        env={**os.environ, "ORT_DYLIB_PATH": str(library / "libonnxruntime.so")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == pytest.approx(list(expected.values()), abs=1e-5)


def test_the_temperature_in_rust_is_that_of_the_card() -> None:
    card = json.loads(find_model("mien-tiny").onnx.with_suffix(".json").read_text(encoding="utf-8"))
    (head,) = (each for each in card["heads"] if each["name"] == "fer2013")
    (number,) = re.findall(r"0\.\d{5,}", program("rust"))
    assert float(number) == pytest.approx(head["temperature"], abs=1e-6)
    assert len(head["labels"]) == 7
