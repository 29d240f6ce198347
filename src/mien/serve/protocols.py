"""uvicorn's protocols with limits: a header arrives in time, and a client reads what it is sent.

uvicorn waits without end for both. A client that holds a connection open in one of these ways loses it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mien.serve.settings import Limits


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


def http_protocol(limits: Limits) -> type[H11Protocol]:
    """HTTP/1.1 with the limits of a server."""

    class Http(H11Protocol):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._header = _Deadline(self.loop, limits.header_s)
            self._unread = _Deadline(self.loop, limits.send_s)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._header.set(transport)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport.get_protocol() is not self or not self._waits_for_header():
                self._header.clear()
            elif not self.transport.is_closing():
                self._header.set(self.transport)

        def connection_lost(self, exc: Exception | None) -> None:
            self._header.clear()
            self._unread.clear()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread.set(self.transport)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._unread.clear()

        def _waits_for_header(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

    return Http


def websocket_protocol(limits: Limits) -> type[WebSocketsSansIOProtocol]:
    """WebSockets with the limits of a server."""

    class WebSocket(WebSocketsSansIOProtocol):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._unread = _Deadline(self.loop, limits.send_s)

        def connection_lost(self, exc: Exception | None) -> None:
            self._unread.clear()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread.set(self.transport)
            self.transport.pause_reading()  # each ping would be answered

        def resume_writing(self) -> None:
            super().resume_writing()
            self._unread.clear()
            if not self.read_paused:
                self.transport.resume_reading()

    return WebSocket
