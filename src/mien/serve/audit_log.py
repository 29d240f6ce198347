"""A log for operators: who used the API, when, with which model and result; no images, no faces, no keys."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien import __version__
from mien.errors import UsageError


def open_log(path: Path) -> int:
    """The descriptor of a log, opened for appending.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"--audit-log {path} cannot be written: {error.strerror}.") from error


class AuditLog:
    """ASGI middleware: appends a line of JSON per request or stream of `/v1`.

    The file is readable by its owner only, if it is new. Lines are whole also if several servers
    write to one file.
    """

    def __init__(self, app: ASGIApp, file: int, model: str | Path) -> None:
        self._app, self._file, self._model = app, file, Path(model).stem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record it."""
        if scope["type"] not in ("http", "websocket") or not scope["path"].startswith("/v1"):
            await self._app(scope, receive, send)
            return
        begun, start, status = datetime.now(UTC), time.perf_counter(), 500

        async def recording_send(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await self._app(scope, receive, recording_send)
        finally:
            client = scope.get("client")
            record = {
                "time": begun.isoformat(timespec="milliseconds"),
                "client": client[0] if client else None,
                "method": scope.get("method", "WEBSOCKET"),
                # The pattern of the route: ids of clips give access to results.
                "path": getattr(scope.get("route"), "path", "other"),
                "status": status,
                "seconds": round(time.perf_counter() - start, 3),
                "model": self._model,
                "mien": __version__,
            }
            os.write(self._file, (json.dumps(record) + "\n").encode())
