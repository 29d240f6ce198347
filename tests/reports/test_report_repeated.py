"""The page docs/guides/report.md: five commands repeat the report, and each of its figures is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.cli.app import app
from mien.data.synthetic.faces import faces
from mien.reports import study
from mien.reports.study import REPORT

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "report.md"
# A network of seconds instead of two hours, without ImageNet's weights, which need a network.
_SMALL = ["epochs=1", "network.init=random", "network.width=0.25", "network.depth=0.4", "loop.batch_size=28"]


def commands() -> list[list[str]]:
    (block,) = re.findall(r"^```\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [shlex.split(line)[1:] for line in block.splitlines()]


def rows() -> list[tuple[str, list[str], list[str]]]:
    """Place in the report, commands, and names of figures of each row of the page's table."""
    found = re.findall(r"^\| ([fs]\w+ [\d.]+) \| .*? \| (.*?) \| (.*?) \|$", PAGE.read_text("utf-8"), re.M)
    names = [
        (place, re.findall("`mien (\\w+)`", by), re.findall("`(\\w+)`", figures))
        for place, by, figures in found
    ]
    assert len(names) == 14
    return names


def test_the_page_has_every_place_of_the_report() -> None:
    assert {place for place, _, _ in rows()} >= set(REPORT)


def test_five_commands_repeat_the_report_and_show_each_of_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow because it is the promise itself: it trains, and draws all figures of the study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(study, "ROBUSTNESS_FACES", 2)
    table = faces(105)
    pixels = table.pixels.copy()
    pixels[[0, 50]] = 0  # FER2013 has blank images too
    rows_of_csv = ["emotion,pixels,Usage"]
    for label, face, split in zip(table.labels, pixels, table.splits, strict=True):
        rows_of_csv.append(f"{label},{' '.join(map(str, face.ravel()))},{split}")
    Path("fer2013.csv").write_text("\n".join(rows_of_csv) + "\n")
    calls = commands()
    assert [call[0] for call in calls] == ["explore", "audit", "train", "study", "evaluate"]
    for call in calls:
        more = [word for text in _SMALL for word in ("--set", text)] if call[0] == "train" else []
        result = CliRunner().invoke(app, [*call, *more], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    folders = {"explore": "explored", "study": "study", "evaluate": "measured"}
    for place, by, names in rows():
        for name in names:
            where = [folders[command] for command in by if command in folders]
            assert any((Path(folder) / f"{name}.pdf").is_file() for folder in where), (place, name)
    assert Path("audited/gallery.html").is_file()
    assert Path("runs/report/training.pdf").is_file()
