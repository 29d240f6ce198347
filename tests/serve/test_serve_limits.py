"""One client cannot harm another: slow headers, unread responses, disconnects, a full disk; log and end."""

from __future__ import annotations

import io
import json
import logging
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient
from websockets.sync.client import connect

from mien.serve.access_log import Redaction, redact
from mien.serve.errors import to_service_error
from mien.serve.server import make_server
from mien.serve.settings import Limits, Settings
from mien.serve.video.full_disk import OverflowFile
from mien.testing.clips import write_clip


@pytest.fixture(scope="module")
def address(model: Path, listen: Callable[[Settings], AbstractContextManager[str]]) -> Iterator[str]:
    """A server with short limits."""
    limits = Limits(header_s=0.5, send_s=0.5, streams=1)
    with listen(Settings(model=model, workers=1, limits=limits)) as made:
        yield made


def connected(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").rpartition(":")
    made = socket.create_connection((host, int(port)))
    made.settimeout(30)
    return made


def test_a_header_that_does_not_arrive_in_time_ends_the_connection(address: str) -> None:
    for begun in (b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "):
        with connected(address) as slow:
            slow.sendall(begun)
            assert end_of(slow)


def test_the_second_header_of_a_connection_has_the_same_limit(address: str) -> None:
    with connected(address) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in slow.recv(1000)
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0")
        assert end_of(slow)


def end_of(peer: socket.socket) -> bool:
    """Whether the server ends the connection."""
    try:
        while peer.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def test_a_stream_whose_client_does_not_read_ends_and_frees_its_place(address: str) -> None:
    """Eight peers that never read held all eight streams for ever."""
    url = address.replace("http", "ws") + "/v1/stream"
    deaf = connected(address)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    ping = struct.pack(">BB4x", 0x89, 0x80 | 125) + bytes(125)  # each is answered; masked with zeros
    try:
        for _ in range(1000):
            deaf.sendall(ping * 1000)
    except OSError:
        pass  # the server ended it
    else:
        pytest.fail("a million responses fit into the buffers")
    finally:
        deaf.close()
    with connect(url, compression=None) as stream:
        assert json.loads(stream.recv(timeout=30))["type"] == "ready"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"labels": ' + "[" * 900, "{" * 1_000_000])
def test_nested_brackets_do_not_end_a_stream(client: TestClient, text: str) -> None:
    with client.websocket_connect("ws://127.0.0.1:8000/v1/stream") as stream:
        stream.receive_json()
        stream.send_text(text)
        assert stream.receive_json()["code"] == "invalid_argument"
        stream.send_json({"labels": "ferplus"})
        assert stream.receive_json()["type"] == "settings"


def test_a_costly_frame_is_refused_and_the_stream_continues(client: TestClient, photo: bytes) -> None:
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "JPEG2000")
    with client.websocket_connect("ws://127.0.0.1:8000/v1/stream") as stream:
        stream.receive_json()
        stream.send_bytes(struct.pack(">Id", 1, 0.0) + buffer.getvalue())
        error = stream.receive_json()
        assert (error["frame"], error["code"]) == (1, "image_too_large")
        stream.send_bytes(struct.pack(">Id", 2, 0.1) + photo)
        assert stream.receive_json()["frame"] == 2


def test_clients_that_leave_are_counted_as_499_and_not_logged(
    model: Path,
    photo: bytes,
    listen: Callable[[Settings], AbstractContextManager[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hundred disconnects logged a hundred tracebacks as status 500."""
    with listen(Settings(model=model, workers=1)) as address:
        head = b"POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: "
        for sent in (photo[:1000], photo):  # during the upload, and while it is analyzed
            with connected(address) as leaving:
                leaving.sendall(head + str(len(photo)).encode() + b"\r\n\r\n" + sent)
        deadline = time.monotonic() + 30
        while (metrics := urlopen(f"{address}/metrics").read().decode()).count('status="499"') == 0:
            assert time.monotonic() < deadline, metrics
            threading.Event().wait(0.1)
        assert 'status="500"' not in metrics
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_client_that_left_has_no_place_in_the_errors() -> None:
    assert to_service_error(ClientDisconnect()).status == 499


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/v1/analyze?api_key=SECRET&labels=ferplus", "/v1/analyze?api_key=***&labels=ferplus"),
        ("/v1/analyze?key=a%20b&x", "/v1/analyze?key=***&x"),
        ("/v1/analyze?SECRET", "/v1/analyze?***"),
        ("/v1/analyze?labels=a-secret-in-the-wrong-place", "/v1/analyze?labels=***"),
        ("/v1/video/Zx81abc/result", "/v1/video/***/result"),
        ("http://host/v1/stream?token=SECRET", "http://host/v1/stream?token=***"),
        ("/healthz", "/healthz"),
    ],
)
def test_the_access_log_has_no_secrets(target: str, shown: str) -> None:
    assert redact(target) == shown
    record = logging.LogRecord(
        "uvicorn.access", 20, "", 0, '%s - "%s %s"', ("1.2.3.4:5", "GET", target), None
    )
    assert Redaction().filter(record)
    assert record.getMessage() == f'1.2.3.4:5 - "GET {shown}"'


def test_the_servers_log_is_redacted(model: Path, listen: Callable[..., object]) -> None:
    make_server(Settings(model=model))
    for name in ("uvicorn.access", "uvicorn.error"):
        assert any(isinstance(each, Redaction) for each in logging.getLogger(name).filters)


@pytest.mark.skipif(sys.platform == "win32", reason="one process cannot be sent SIGTERM there")
def test_readiness_turns_before_the_port_closes(model: Path) -> None:
    """The port closed before `/readyz` turned, so that a load balancer sent requests to a closed port."""
    command = [sys.executable, "-m", "mien.cli.app", "serve", "--port", "0", "--grace", "60"]
    with subprocess.Popen([*command, "--model", str(model)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        try:
            assert urlopen(f"{address}/healthz", timeout=60).status == 200
            process.send_signal(signal.SIGTERM)
            deadline, state = time.monotonic() + 60, ""
            while state != "stopping":
                assert time.monotonic() < deadline, state
                try:
                    urlopen(f"{address}/readyz", timeout=60).close()
                    state = "ready"  # the signal has not arrived yet
                except HTTPError as refused:
                    state = json.load(refused)["code"]
            assert urlopen(f"{address}/healthz", timeout=60).status == 200  # requests are still served
        finally:
            process.send_signal(signal.SIGTERM)  # a second signal ends the grace period
        assert process.wait(60) == 143


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_rows_of_a_finished_clip_are_not_lost_on_a_full_disk(
    make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path, max_bytes: int) -> OverflowFile:
        path.touch()
        return OverflowFile(Path("/dev/full"), max_bytes)

    clip = write_clip(tmp_path / "clip.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 4, rate=4)
    client = make_client()

    def table(kind: str) -> tuple[dict[str, Any], bytes]:
        job = client.post("/v1/video", params={"format": kind}, files={"clip": clip.read_bytes()}).json()
        while (status := client.get(f"/v1/video/{job['id']}").json())["state"] in ("waiting", "running"):
            threading.Event().wait(0.05)
        return status, client.get(f"/v1/video/{job['id']}/result").content

    expected = {kind: table(kind)[1] for kind in ("csv", "json", "jsonl")}
    monkeypatch.setattr("mien.serve.video.job.OverflowFile", full)
    for kind, content in expected.items():
        status, rows = table(kind)
        assert (status["state"], rows) == ("done", content)
        assert len(content.splitlines()) >= 4
    status, _ = table("parquet")  # cannot be added to in parts
    assert (status["state"], status["error"]["code"]) == ("failed", "disk_full")
    monkeypatch.setattr("mien.serve.video.job._MAX_OVERFLOW", 10)
    assert table("csv")[0]["error"]["code"] == "disk_full"
