"""docs/serve.md and the Containerfile agree with the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from starlette.testclient import TestClient

from mien.cli.app import app
from mien.serve import errors
from mien.serve.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
CONTAINER = (ROOT / "Containerfile").read_text(encoding="utf-8")
SERVE: Any = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
OPTIONS = {name for parameter in SERVE.params for name in parameter.opts}


def test_every_path_of_the_api_is_on_the_page(client: TestClient) -> None:
    for path in client.get("/openapi.json").json()["paths"]:
        assert path.replace("{job_id}", "ID") in PAGE


def test_every_status_is_on_the_page() -> None:
    table = PAGE[PAGE.index("| status | when |") :]
    documented = {
        int(status)
        for row in re.findall(r"^\| (4[0-9, ]+|5[0-9, ]+)", table, re.M)
        for status in row.split(",")
    }
    assert set(errors._MEANINGS) - {404, 409} <= documented


def test_the_options_on_the_page_exist() -> None:
    named = set(re.findall(r"`(--[a-z-]+)", PAGE)) | set(re.findall(r"mien serve.* (--[a-z-]+)", PAGE))
    assert len(named) > 10
    assert named <= OPTIONS


def test_the_websocket_example_runs(
    listen: Callable[..., Any],
    model: Path,
    photo: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(photo)
    monkeypatch.chdir(tmp_path)
    with listen(Settings(model=model, workers=1)) as address:
        code = block.replace("127.0.0.1:8000", address.removeprefix("http://"))
        code = code.replace('open(path, "rb").read()', '__import__("pathlib").Path(path).read_bytes()')
        exec(compile(code, "docs/serve.md", "exec"), {})
    # A face is reported from the third frame on.
    assert capsys.readouterr().out.splitlines() == [
        "bands",
        "[]",
        "[]",
    ]


def test_the_container_copies_existing_files_and_starts_an_existing_command() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINER, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
    (entry,) = re.findall(r"^ENTRYPOINT \[(.*)\]$", CONTAINER, re.M)
    command = shlex.split(entry.replace(",", " "))
    assert command[:2] == ["mien", "serve"]
    SERVE.make_context("serve", command[2:])
    assert re.search(r"^USER (?!root)\w+$", CONTAINER, re.M)
