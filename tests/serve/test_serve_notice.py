"""The notice to the people in front of the camera, and the log for operators."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from mien.cli.app import app
from mien.cli.serve import resolve_notice
from mien.errors import UsageError
from mien.serve.settings import NOTICE, Settings

STREAM = "ws://127.0.0.1:8000/v1/stream"


def shown(client: TestClient) -> tuple[str, str | None, str | None]:
    """The page, the header of a response, and the notice in a stream's first message."""
    with client.websocket_connect(STREAM) as stream:
        first = stream.receive_json()["notice"]
    return client.get("/").text, client.get("/v1/about").headers.get("mien-notice"), first


def test_the_notice_is_shown_by_default(client: TestClient) -> None:
    page, header, first = shown(client)
    assert f'<p class="notice" role="note">{NOTICE}</p>' in page
    assert header == first == NOTICE


def test_the_text_can_be_changed(make_client: Callable[..., TestClient]) -> None:
    text = "Gesichter werden <b>ausgewertet</b>: größer & 100 %"
    page, header, first = shown(make_client(notice=text))
    assert "Gesichter werden &lt;b&gt;ausgewertet&lt;/b&gt;: größer &amp; 100 %" in page
    assert unquote(header or "") == first == text


def test_it_is_removed_only_by_name(make_client: Callable[..., TestClient]) -> None:
    page, header, first = shown(make_client(notice=None))
    assert ('class="notice"' in page, header, first) == (False, None, None)
    assert resolve_notice(None, True) is None
    assert resolve_notice(None, False) == NOTICE
    for text in ("", " ", "two\nlines"):
        with pytest.raises(UsageError, match="--without-notice"):
            Settings(notice=text)
    with pytest.raises(UsageError, match="exclude each other"):
        CliRunner().invoke(app, ["serve", "--notice", "x", "--without-notice"], catch_exceptions=False)


def test_the_log_for_operators_has_one_line_per_request_and_no_secrets(
    make_client: Callable[..., TestClient], photo: bytes, tmp_path: Path
) -> None:
    path, key = tmp_path / "audit.jsonl", "a-key-of-24-characters-x"
    client = make_client(audit_log=path, api_key=key)
    headers = {"Authorization": f"Bearer {key}"}
    client.post("/v1/analyze?note=SECRET", files={"f": ("SECRET.jpg", photo)}, headers=headers)
    client.get("/v1/video/SECRET", headers=headers)
    client.get("/v1/about")
    client.get("/healthz")
    with client.websocket_connect(STREAM, headers=headers):
        pass
    text = path.read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert [(each["method"], each["path"], each["status"]) for each in records] == [
        ("POST", "/v1/analyze", 200),
        ("GET", "/v1/video/{job_id}", 404),
        ("GET", "other", 401),
        ("WEBSOCKET", "/v1/stream", 101),
    ]
    assert records[0]["client"] == "testclient"
    assert key not in text
    assert "SECRET" not in text
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_is_named(
    make_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--audit-log .*no/file cannot be written"):
        make_client(audit_log=tmp_path / "no" / "file")
