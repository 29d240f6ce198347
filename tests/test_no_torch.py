"""Looking at a photo needs neither PyTorch nor any other package of the extras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mien.models import registry as weights
from mien.testing.fakes import write_band_model

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "astronaut.jpg"
HEAVY = (
    "torch", "torchvision", "timm", "cv2", "pandas", "matplotlib", "pyarrow", "sklearn", "scipy", "skimage",
    "onnx", "kagglehub", "requests", "tomli_w", "jinja2",
)  # fmt: skip

# Python imports a module of this name by itself when it starts.
BLOCK = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Block())
"""


def run_blocked(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in which none of `HEAVY` can be imported."""
    (folder / "sitecustomize.py").write_text(BLOCK)
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)


def test_the_block_blocks(tmp_path: Path) -> None:
    done = run_blocked(tmp_path, "-c", "import torch")
    assert done.returncode != 0
    assert "torch is blocked" in done.stderr


def test_predict_labels_the_example_photo_without_torch(tmp_path: Path) -> None:
    model = write_band_model(tmp_path)
    saved = tmp_path / "saved"
    arguments = ["predict", str(PHOTO), "--json", "--save", str(saved), "--model", str(model)]
    done = run_blocked(tmp_path, "-m", "mien.cli.app", *arguments)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["results"][0]["faces"]) == 1
    assert (saved / "astronaut.jpg").exists()


@pytest.mark.skipif(weights.DEFAULT not in weights.shipped(), reason="the default model is not here yet")
def test_the_shipped_model_sees_a_smile_without_torch(tmp_path: Path) -> None:
    done = run_blocked(tmp_path, "-m", "mien.cli.app", "predict", str(PHOTO), "--json")
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["results"][0]["faces"]
    assert face["top"] == "happy"


@pytest.mark.parametrize("verb", ["predict", "data", "train", "evaluate", "export", "models", "doctor"])
def test_help_is_printed_without_torch(tmp_path: Path, verb: str) -> None:
    done = run_blocked(tmp_path, "-m", "mien.cli.app", verb, "--help")
    assert done.returncode == 0, done.stderr


def test_importing_mien_imports_nothing_heavy(tmp_path: Path) -> None:
    """Not even what the base install has: pictures and networks are loaded when they are asked for."""
    heavy = [*HEAVY, "numpy", "onnxruntime", "PIL", "rich", "typer"]
    code = f"import mien, sys; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_photo_needs_none_of_the_stages_for_clips(tmp_path: Path) -> None:
    """Each of them is one more file to read before the first face: the options of clips alone are loaded."""
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from mien.cli.app import app\n"
        f"done = CliRunner().invoke(app, ['predict', {str(PHOTO)!r}, '--model', 'mien-tiny', '--csv'])\n"
        "assert done.exit_code == 0, done.output\n"
        "print(*sorted(name for name in sys.modules if name.startswith('mien.video')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    options = {
        f"mien.video{name}" for name in ("", ".options", ".options.clips", ".options.study", ".sources")
    }
    assert set(done.stdout.split()) == options
