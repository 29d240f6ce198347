"""Open connections and streams have limits: idle ones make room, and those that are read slowly stay."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Response
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from mien.serve.protocols import possible_connections
from mien.serve.routes import stream as stream_module
from mien.serve.server import server_of
from mien.serve.settings import Limits, Settings

STREAM = "ws://127.0.0.1:8000/v1/stream"
Listen = Callable[[Settings], AbstractContextManager[str]]


def status(address: str, path: str = "/openapi.json") -> tuple[int, str | None]:
    """Of a request on a new connection, with its `Retry-After`."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("Retry-After")
    finally:
        connection.close()


def opened(address: str, sent: bytes) -> socket.socket:
    """A connection on which something was sent."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    made = socket.create_connection((host, int(port)), timeout=30)
    made.sendall(sent)
    return made


def is_open(peer: socket.socket) -> bool:
    """Whether the server has not ended a connection on which it sends nothing."""
    peer.settimeout(0.05)
    try:
        return peer.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def test_a_connection_that_waits_makes_room_for_a_new_one(model: Path, listen: Listen) -> None:
    """A hundred slow headers stayed open, and nothing limited their number."""
    limits = Limits(connections=8, header_s=60)
    with listen(Settings(model=model, workers=1, limits=limits)) as address, ExitStack() as stack:
        slow = [stack.enter_context(opened(address, b"GET / HTTP/1.1\r\nX: ")) for _ in range(30)]
        assert sum(map(is_open, slow)) <= 16  # twice the limit, until their headers had time to arrive
        threading.Event().wait(0.4)
        for _ in range(10):
            assert status(address) == (200, None)
        assert sum(map(is_open, slow)) <= 8


def test_where_all_connections_are_busy_a_request_gets_503_and_a_probe_200(
    model: Path, listen: Listen
) -> None:
    limits = Limits(connections=4)
    head = "POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
    body = f"{head}Content-Length: 9\r\n\r\n".encode()
    with listen(Settings(model=model, workers=1, limits=limits)) as address, ExitStack() as stack:
        deadline = time.monotonic() + 30
        while status(address)[0] == 200:  # a connection whose header has not been read yet makes room
            assert time.monotonic() < deadline
            stack.enter_context(opened(address, body))
        assert status(address) == (503, "1")
        assert status(address, "/healthz") == (200, None)
        with pytest.raises(InvalidStatus, match="503"):
            connect(address.replace("http", "ws") + "/v1/stream", compression=None)
        stack.close()
        while status(address)[0] != 200:
            assert time.monotonic() < deadline


def test_the_limit_leaves_files_for_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert possible_connections(512) == 78
    assert possible_connections(50) == 50
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 4096))
    assert possible_connections(512) == 512


def frame(number: int, image: bytes) -> bytes:
    return struct.pack(">Id", number, number / 10) + image


def test_a_stream_without_frames_is_closed_and_says_why(make_client: Callable[..., TestClient]) -> None:
    client = make_client(idle_s=0.3, streams=1)
    for _ in range(2):  # its place is free again
        with client.websocket_connect(STREAM) as stream:
            assert stream.receive_json()["type"] == "ready"
            with pytest.raises(WebSocketDisconnect) as ended:
                stream.receive_json()
            assert (ended.value.code, ended.value.reason) == (1013, "No frame could be analyzed for 0.3 s.")


def test_frames_that_cannot_be_read_do_not_keep_a_stream_open(
    make_client: Callable[..., TestClient],
) -> None:
    client = make_client(idle_s=0.5)
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        deadline = time.monotonic() + 30
        with pytest.raises(WebSocketDisconnect):  # noqa: PT012
            while time.monotonic() < deadline:
                stream.send_bytes(frame(1, b"no image"))
                assert stream.receive_json()["type"] == "error"
                threading.Event().wait(0.02)


def test_frames_keep_a_stream_open(make_client: Callable[..., TestClient], photo: bytes) -> None:
    client = make_client(idle_s=1.5)
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        ends, number = time.monotonic() + 3, 0
        while time.monotonic() < ends:
            stream.send_bytes(frame(number := number + 1, photo))
            assert stream.receive_json()["frame"] == number
            threading.Event().wait(0.05)


def test_a_new_stream_gets_the_place_of_the_one_that_is_idle_longest(
    make_client: Callable[..., TestClient], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(streams=2)
    with client.websocket_connect(STREAM) as first, client.websocket_connect(STREAM) as second:
        first.receive_json()
        second.receive_json()
        with client.websocket_connect(STREAM) as third, pytest.raises(WebSocketDisconnect) as refused:
            third.receive_json()  # both are new
        assert refused.value.reason == "Too many streams are open; try again later."
        monkeypatch.setattr(stream_module, "_DISPLACED_AFTER_S", 0.0)
        second.send_bytes(frame(1, photo))
        assert second.receive_json()["frame"] == 1
        with client.websocket_connect(STREAM) as third:
            assert third.receive_json()["type"] == "ready"
            with pytest.raises(WebSocketDisconnect) as ended:
                first.receive_json()
            assert ended.value.reason.startswith("Another client needed the place")
            second.send_bytes(frame(2, photo))
            assert second.receive_json()["frame"] == 2


SMALL_BUFFER = 8192


@pytest.fixture
def large_response() -> Iterator[Callable[[int], socket.socket]]:
    """Makes connections on which a response of so many bytes waits; buffers of the system are small."""
    app = FastAPI()

    @app.get("/{size}")
    def read(size: int) -> Response:
        return Response(bytes(size))

    service = SimpleNamespace(stopping=False, settings=SimpleNamespace(limits=Limits(send_s=0.5)))
    server = server_of(app, service)  # type: ignore[arg-type]
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()

        def request(size: int) -> socket.socket:
            peer = stack.enter_context(socket.socket())
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            peer.settimeout(30)
            peer.connect(listener.getsockname())
            peer.sendall(f"GET /{size} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            return peer

        yield request
        server.should_exit = True
        thread.join()


def test_a_short_response_that_is_not_read_ends_the_connection(
    large_response: Callable[[int], socket.socket],
) -> None:
    """What was less than 64 kB stayed in memory for ever, with its connection."""
    peer = large_response(60_000)
    threading.Event().wait(2)
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while block := peer.recv(65536):
            received += len(block)
    assert 0 < received < 60_000


def test_a_client_that_reads_slowly_gets_a_whole_response(
    large_response: Callable[[int], socket.socket],
) -> None:
    """A response that took longer than the limit for unread ones was cut, although its client read it."""
    peer, received = large_response(400_000), b""
    start = time.monotonic()
    while len(received) < 400_000:
        block = peer.recv(10_000)
        assert block, f"cut after {len(received)} bytes"
        received += block
        threading.Event().wait(0.04)
    assert time.monotonic() - start > 1
    assert b"content-length: 400000" in received[:500].lower()
