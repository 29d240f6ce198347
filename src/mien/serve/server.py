"""Runs the server until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI

from mien.errors import UsageError
from mien.serve.access_log import Redaction
from mien.serve.app import create_app
from mien.serve.protocols import http_protocol, websocket_protocol
from mien.serve.settings import Settings

# Streams are pinged at this interval, so that a phone that was switched off does not keep its slot for long.
_PING_S = 15.0
_STOP_WITHIN_S = 5
_BACKLOG = 2048
# Connections that are accepted before those accepted earlier are read.
_ACCEPTED_AT_ONCE = 64


class Stoppable(Protocol):
    """What a server announces its end to."""

    stopping: bool

    @property
    def settings(self) -> Settings:
        """Of the server."""


class Server(uvicorn.Server):
    """A server that announces its end: `/readyz` turns to 503, then time passes, then the port closes.

    After Ctrl-C no time passes, because a person waits. A second signal ends the waiting.

    Attributes:
        stopped_by: the first signal that was received, or None.
    """

    def __init__(self, config: uvicorn.Config, service: Stoppable) -> None:
        super().__init__(config)
        self._service = service
        self.stopped_by: signal.Signals | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals; uvicorn's own raises them again at the end, which a process 1 would ignore."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in handled}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to stop; at the second signal without waiting."""
        self.stopped_by = self.stopped_by or signal.Signals(sig)
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections; as many as before may wait for that, which `backlog` has changed."""
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(_BACKLOG)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to be ready, wait, close the port, finish what has begun."""
        self._service.stopping = True
        waits = self.stopped_by is signal.SIGTERM
        ends = asyncio.get_running_loop().time() + self._service.settings.limits.grace_s
        while waits and not self.force_exit and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def run(
    settings: Settings,
    *,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
    access_log: bool = False,
    on_listening: Callable[[str], None] | None = None,
) -> signal.Signals | None:
    """Serve until Ctrl-C or SIGTERM; returns the signal.

    The log has no secrets: see `mien.serve.access_log`.

    Args:
        settings: of the server.
        certificate, certificate_key: PEM files for HTTPS.
        access_log: print one line per request.
        on_listening: called with the page's address, such as ``http://127.0.0.1:8000``.

    Raises:
        UsageError: the address or port is not available, or a certificate without its key.
        UnknownModel, CardError, ModelError: the model cannot be used.
    """
    if (certificate is None) != (certificate_key is None):
        raise UsageError("--certificate and --certificate-key belong together; give both.")
    for path in (certificate, certificate_key):
        if path is not None and not path.is_file():
            raise UsageError(f"{path} is not a file; a certificate and its key are PEM files.")
    server = make_server(
        settings, access_log=access_log, ssl_certfile=certificate, ssl_keyfile=certificate_key
    )
    return run_server(server, settings, "http" if certificate is None else "https", on_listening)


def run_server(
    server: Server, settings: Settings, scheme: str, on_listening: Callable[[str], None] | None
) -> signal.Signals | None:
    """Listen, and serve until a signal, which is returned.

    Raises:
        UsageError: the address or port is not available.
    """
    listener = listen(settings.host, settings.port)
    with listener:
        if on_listening:
            on_listening(f"{scheme}://{address_of(settings.host, listener)}")
        server.run(sockets=[listener])
    return server.stopped_by


def make_server(settings: Settings, *, access_log: bool = False, **tls: Any) -> Server:
    """A server with its limits on headers, sends, frames and the end; `tls` goes to uvicorn."""
    app = create_app(settings)
    return server_of(app, app.state.service, access_log=access_log, **tls)


def server_of(app: FastAPI, service: Stoppable, *, access_log: bool = False, **tls: Any) -> Server:
    """A server of an application, with the limits in the settings of `service`."""
    settings = service.settings
    config = uvicorn.Config(
        app,
        log_level="warning" if not access_log else "info",
        access_log=access_log,
        server_header=False,
        backlog=_ACCEPTED_AT_ONCE,
        date_header=True,
        proxy_headers=False,
        http=http_protocol(settings.limits),
        ws=websocket_protocol(settings.limits),
        ws_max_size=settings.limits.frame_bytes,
        ws_per_message_deflate=False,  # images do not get smaller, and results should not wait
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        **tls,
    )
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(Redaction())
    return Server(config, service)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 chooses a free one.

    Its protocol is set to TCP explicitly: only then does asyncio turn off Nagle's algorithm, with which each
    response waited 40 ms for the client's delayed acknowledgement.

    Raises:
        UsageError: the address is not this machine's, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    try:
        if os.name == "posix":  # on Windows it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> UsageError:
    return UsageError(
        f"cannot listen on {host}, port {port}: {error.strerror or error}. "
        "Choose another one with --port (0 chooses a free one) or --host."
    )


def address_of(host: str, listener: socket.socket) -> str:
    """Host and port as a browser on this machine writes them."""
    port = listener.getsockname()[1]
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
