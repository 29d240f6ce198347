"""`mien audit`, and `mien data convert --apply` with what was decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import mien
from mien.cli.app import app
from mien.data import load

BLANK, TWIN = 3, 5


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def faces_csv(tmp_path: Path) -> Path:
    """Eight faces of noise; row 3 is blank, row 5 repeats row 0."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 2304))
    pixels[BLANK], pixels[TWIN] = 128, pixels[0]
    lines = [f"3,{' '.join(map(str, face))},Training" for face in pixels.tolist()]
    path = tmp_path / "fer2013.csv"
    path.write_text("emotion,pixels,Usage\n" + "\n".join(lines) + "\n")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_what_was_found_can_be_decided_and_applied(faces_csv: Path, tmp_path: Path) -> None:
    result = run("audit", "--data", faces_csv, "--out", tmp_path / "audit")
    assert "1  blank" in result.stdout
    assert "1  duplicate" in result.stdout
    assert (tmp_path / "audit" / "gallery.html").exists()
    decisions = tmp_path / "decisions.csv"
    decisions.write_text(f"row,decision,label\n{BLANK},accept,\n{TWIN},reject,\n7,relabel,sad\n")
    out = tmp_path / "clean.parquet"
    result = run("data", "convert", faces_csv, out, "--apply", decisions)
    assert "1 faces left out, 1 relabelled, 1 findings rejected" in result.stdout
    clean = load(str(out))
    assert clean.rows.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert clean.labels.tolist() == [3, 3, 3, 3, 3, 3, 4]


def test_without_a_model_no_image_is_called_not_a_face_by_one(faces_csv: Path, tmp_path: Path) -> None:
    result = run("audit", "--data", faces_csv, "--out", tmp_path / "audit", "--model", "none")
    assert "0  not a face (model)" in result.stdout
    assert "1  blank" in result.stdout


def test_without_decisions_every_face_stays(faces_csv: Path, tmp_path: Path) -> None:
    run("data", "convert", faces_csv, tmp_path / "all.parquet")
    assert len(load(str(tmp_path / "all.parquet"))) == 8


def test_the_library_returns_the_findings_and_writes_only_when_asked(faces_csv: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    findings = mien.audit(faces_csv, model=None, progress=lambda *step: steps.append(step))
    assert [(each.kind, each.row) for each in findings] == [("blank", BLANK), ("duplicate", TWIN)]
    assert repr(findings) == "<Findings: 1 blank, 1 duplicate>"
    assert findings.of("blank")[0].row == BLANK
    assert {(what, total) for what, done, total in steps if done == total} == {
        ("detecting faces", 8),
        ("searching", 12),
    }
    assert not (tmp_path / "audit").exists()
    again = mien.audit(load(str(faces_csv)), model=None, out=tmp_path / "audit")
    assert again.findings == findings.findings
    assert (tmp_path / "audit" / "findings.csv").exists()
