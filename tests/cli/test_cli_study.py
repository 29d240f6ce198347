"""`mien study` as a person runs it: on drawn faces, without PyTorch, and where it must refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.cli.app import app
from mien.data.synthetic.faces import faces
from mien.emotions import FER2013, VOTES
from mien.errors import SourceNotFound, UsageError
from mien.models.card import Head
from mien.reports import study as report
from mien.testing.fakes import write_band_model


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """FER2013's CSV with 105 drawn faces."""
    table = faces(105)
    rows = ["emotion,pixels,Usage"]
    for label, face, split in zip(table.labels, table.pixels, table.splits, strict=True):
        rows.append(f"{label},{' '.join(map(str, face.ravel()))},{split}")
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path, heads=(Head("fer2013", FER2013), Head("votes", VOTES)))


@pytest.mark.usefixtures("png_only")
def test_study_writes_the_page_and_says_where(
    tmp_path: Path, small: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "ROBUSTNESS_FACES", 2)
    out = tmp_path / "out"
    arguments = ["study", "--data", str(small), "--model", str(model), "--out", str(out)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "study.html: 105 faces" in result.stdout
    assert (out / "study.html").exists()
    assert (out / "study.json").exists()


def test_study_needs_no_torch(tmp_path: Path, small: Path, model: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'timm'): sys.modules[name] = None\n"
        "from mien.cli.app import app\n"
        "from mien.reports import study\n"
        "study.ROBUSTNESS_FACES = 2\n"
        f"app(['study', '--data', {str(small)!r}, '--model', {str(model)!r}, "
        f"'--out', {str(tmp_path / 'out')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "study.html").exists()


def test_a_run_that_is_none_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="runs/NAME"):
        CliRunner().invoke(
            app,
            ["study", "--data", "synthetic", "--run", str(tmp_path / "no"), "--out", str(tmp_path / "out")],
            catch_exceptions=False,
        )


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        CliRunner().invoke(
            app,
            ["study", "--data", str(tmp_path / "no.csv"), "--out", str(tmp_path / "out")],
            catch_exceptions=False,
        )
