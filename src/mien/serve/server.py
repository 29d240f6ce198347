"""Runs the server until it is stopped."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn

from mien.errors import UsageError
from mien.serve.app import create_app
from mien.serve.settings import Settings

# Streams are pinged at this interval, so that a phone that was switched off does not keep its slot for long.
_PING_S = 15.0
_STOP_WITHIN_S = 5
_BACKLOG = 2048


def run(
    settings: Settings,
    *,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
    access_log: bool = False,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM.

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
    app = create_app(settings)
    listener = listen(settings.host, settings.port)
    scheme = "http" if certificate is None else "https"
    config = uvicorn.Config(
        app,
        log_level="warning" if not access_log else "info",
        access_log=access_log,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        ws_max_size=settings.limits.frame_bytes,
        ws_per_message_deflate=False,  # images do not get smaller, and results should not wait
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        ssl_certfile=certificate,
        ssl_keyfile=certificate_key,
    )
    with listener:
        if on_listening:
            on_listening(f"{scheme}://{address_of(settings.host, listener)}")
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after an orderly stop
            uvicorn.Server(config).run(sockets=[listener])


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
