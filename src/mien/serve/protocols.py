"""uvicorn's protocols with limits: on open connections, on the time of a header, and on unread responses.

uvicorn waits without end for the last two. A client that holds a connection open like that loses it.
Where too many connections are open, the one that has waited longest for a header makes room for the new one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mien.serve.errors import ServiceError
from mien.serve.settings import Limits

# Answered however many connections are open, since an operator restarts a server that is silent.
_ALWAYS = ("/healthz", "/readyz", "/metrics")
# Of a response that does not fit into the buffers of the system.
_LEAST_BYTES_PER_S = 1000
# A connection is not ended before its header can have been read, unless this many times the limit are open.
_LEAST_WAITING_S, _MORE_FOR_A_MOMENT = 0.3, 2
# Open files beside connections: models, the processes that decode images, clips.
_OTHER_FILES = 100


class _Deadline:
    """Ends a connection at once, without sending what waits, unless it is cleared in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop, self._seconds = loop, seconds
        self._handle: asyncio.TimerHandle | None = None

    def set(self, transport: asyncio.Transport) -> None:
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, transport.abort)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class _Unread:
    """Ends a connection whose client reads less than a minimum of what waits for it, unless it is cleared."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop, self._seconds = loop, seconds
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, transport: asyncio.Transport) -> None:
        if self._handle is None:
            waiting = transport.get_write_buffer_size()
            self._handle = self._loop.call_later(self._seconds, self._check, transport, waiting)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self, transport: asyncio.Transport, before: int) -> None:
        self._handle = None
        if before - transport.get_write_buffer_size() < _LEAST_BYTES_PER_S * self._seconds:
            transport.abort()
        else:
            self.watch(transport)


def http_protocol(limits: Limits) -> type[H11Protocol]:
    """HTTP/1.1 with the limits of a server."""
    most = possible_connections(limits.connections)
    waiting: dict[Http, float] = {}  # connections that wait for a header, since when, the longest first

    class Http(H11Protocol):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._header = _Deadline(self.loop, limits.header_s)
            self._unread = _Unread(self.loop, limits.send_s)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=0)  # `pause_writing` whenever something is unread
            if len(self.connections) > most and not self._has_room():
                self.ws_protocol_class = None  # the request for a stream gets the same response
                self.app = partial(_refuse, self.app)
            self._wait_for_header()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._follow_header()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._follow_header()

        def connection_lost(self, exc: Exception | None) -> None:
            self._has_header()
            self._unread.clear()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread.watch(self.transport)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._unread.clear()

        def _has_room(self) -> bool:
            """Whether there is room for this connection; the one that has waited longest makes it."""
            longest = next(iter(waiting), None)
            if longest is None or len(self.connections) - len(waiting) > most:
                return False
            young = self.loop.time() - waiting[longest] < _LEAST_WAITING_S
            if young and len(self.connections) <= _MORE_FOR_A_MOMENT * most:
                return True
            longest.end()
            return True

        def end(self) -> None:
            """End the connection."""
            self._has_header()
            self.connections.discard(self)
            self.transport.abort()

        def _unsupported_upgrade_warning(self) -> None:
            """No line in the log for each request of an attacker."""

        def _follow_header(self) -> None:
            upgraded = self.transport.get_protocol() is not self
            if upgraded or not (self.cycle is None or self.cycle.response_complete):
                self._has_header()
            elif not self.transport.is_closing():
                self._wait_for_header()

        def _wait_for_header(self) -> None:
            self._header.set(self.transport)
            waiting.setdefault(self, self.loop.time())

        def _has_header(self) -> None:
            self._header.clear()
            waiting.pop(self, None)

    return Http


def possible_connections(wanted: int) -> int:
    """As many connections as wanted, or as the system's limit on open files has room for."""
    with suppress(ImportError):  # Windows has no such limit
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            return max(1, min(wanted, (files - _OTHER_FILES) // _MORE_FOR_A_MOMENT))
    return wanted


async def _refuse(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """503, unless the path is that of a probe."""
    if scope["type"] == "http" and scope["path"] not in _ALWAYS:
        error = ServiceError(
            503, "busy", "Too many connections are open; try again in a second.", retry_after_s=1.0
        )
        response = error.response()
        response.headers["Connection"] = "close"
        await response(scope, receive, send)
    else:
        await app(scope, receive, send)


def websocket_protocol(limits: Limits) -> type[WebSocketsSansIOProtocol]:
    """WebSockets with the limits of a server."""

    class WebSocket(WebSocketsSansIOProtocol):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._unread = _Unread(self.loop, limits.send_s)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.set_write_buffer_limits(high=0)

        def connection_lost(self, exc: Exception | None) -> None:
            self._unread.clear()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread.watch(self.transport)
            self.transport.pause_reading()  # each ping would be answered

        def resume_writing(self) -> None:
            super().resume_writing()
            self._unread.clear()
            if not self.read_paused:
                self.transport.resume_reading()

    return WebSocket
