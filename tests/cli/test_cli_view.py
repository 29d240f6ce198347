"""`mien view`: starts, prints its address, and stops."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from urllib.request import urlopen

import pytest

from mien.cli.app import main
from mien.errors import UsageError
from mien.video.options.study import StudyOptions


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study without clips."""
    facts = {"clips": [], "errors": [], "study_options": asdict(StudyOptions())}
    (tmp_path / "study.json").write_text(json.dumps(facts))
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_it_serves_the_page_until_ctrl_c(study: Path) -> None:
    command = [sys.executable, "-m", "mien.cli.app", "view", str(study), "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        address = re.fullmatch(r"Page: (http://127\.0\.0\.1:\d+)\n", line)
        assert address, line + server.stderr.read()
        with urlopen(f"{address[1]}/v1/study") as response:
            assert json.load(response)["clips"] == []
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 130
        assert "Traceback" not in server.stderr.read()


def test_what_is_no_study_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mien", "view", str(tmp_path), "--no-browser"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == UsageError.exit_code
    assert "is not the folder of a study" in capsys.readouterr().err
