"""`/v1/stream`: frames in, followed faces out, over one WebSocket.

A client sends frames as binary messages: a number (uint32) and a time in seconds (float64), both
big-endian, then the picture's bytes (JPEG, WebP, ...). It gets a JSON object with that number for each
frame that is read.
A frame that arrives while another is being read waits; if a third comes, the waiting one is dropped. So an
answer is never older than the time it takes to read two frames, however fast they come.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from mien.errors import MienError, UsageError
from mien.images.decode import read_image
from mien.serve.errors import Problem, as_problem
from mien.serve.images.uploads import Upload
from mien.serve.security import SUBPROTOCOL
from mien.serve.service import Service
from mien.video.live import LivePipeline, LiveResult

log = logging.getLogger("mien.serve")

HEADER = struct.Struct(">Id")
# Source: IANA's registry of WebSocket close codes.
TRY_AGAIN_LATER, INTERNAL_ERROR = 1013, 1011


@dataclass(frozen=True)
class _Frame:
    number: int
    time_s: float
    picture: bytes
    arrived_s: float


def stream_routes(service: Service) -> APIRouter:
    """`/v1/stream`."""
    router = APIRouter()

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        if service.readers.streams >= service.settings.limits.streams:
            # Refused before it is accepted, a page could not tell why.
            await socket.close(TRY_AGAIN_LATER, "Too many streams are open; try again later.")
            return
        service.readers.streams += 1
        try:
            await _Stream(service, socket).serve()
        finally:
            service.readers.streams -= 1

    return router


class _Stream:
    """One open stream: a task that receives and keeps the newest frame alone, and one that answers."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self._service = service
        self._socket = socket
        self._labels = service.labels
        self._reader = LivePipeline()
        self._newest: _Frame | None = None
        self._arrived = asyncio.Event()
        self._dropped = 0

    async def serve(self) -> None:
        """Until the client goes."""
        await self._send({"type": "ready", **self._service.about()})
        async with anyio.create_task_group() as tasks:

            async def until_one_ends(work: Callable[[], Awaitable[None]]) -> None:
                try:
                    await work()
                except WebSocketDisconnect:
                    pass  # it went while an answer was on its way
                except Exception as error:
                    log.error("a stream failed", exc_info=error)
                    with suppress(WebSocketDisconnect, RuntimeError):  # it may be gone by now
                        await self._socket.close(INTERNAL_ERROR, "The server failed; its log says why.")
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_one_ends, self._receive)
            tasks.start_soon(until_one_ends, self._answer)

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                if message.get("bytes") is not None:
                    self._take_frame(message["bytes"])
                else:
                    await self._take_settings(message.get("text") or "")
            except MienError as error:
                await self._fail(as_problem(error))

    def _take_frame(self, message: bytes) -> None:
        if len(message) <= HEADER.size:
            raise UsageError(
                f"a frame of {len(message)} bytes is too short: it is a number (uint32), a time (float64), "
                "both big-endian, and a picture."
            )
        number, time_s = HEADER.unpack_from(message)
        if not math.isfinite(time_s):
            raise UsageError(f"frame {number} has the time {time_s}; it must be a number of seconds.")
        if self._newest is not None:
            self._dropped += 1
            self._service.metrics.dropped.inc()
        self._newest = _Frame(number, time_s, message[HEADER.size :], time.perf_counter())
        self._arrived.set()

    async def _take_settings(self, message: str) -> None:
        """A JSON object: ``{"labels": "ferplus"}``."""
        try:
            wanted = json.loads(message)
            labels = wanted["labels"]
        except (ValueError, TypeError, KeyError):
            raise UsageError(
                f'a text message is a JSON object such as {{"labels": "fer2013"}}, not {message[:100]!r}.'
            ) from None
        self._labels = self._service.check_labels(str(labels))
        await self._send({"type": "settings", "labels": self._labels})

    async def _answer(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            frame, self._newest = self._newest, None
            if frame is None:
                continue
            dropped, self._dropped = self._dropped, 0
            labels = self._labels
            try:
                answer = await self._read(frame, labels)
            except (MienError, Problem) as error:
                problem = as_problem(error) if isinstance(error, MienError) else error
                await self._fail(problem, frame.number)
                continue
            seconds = time.perf_counter() - frame.arrived_s
            self._note(answer, seconds)
            await self._send(
                {
                    "type": "faces",
                    "number": frame.number,
                    "time_s": frame.time_s,
                    "labels": labels,
                    "dropped": dropped,
                    "server_ms": round(1000 * seconds, 2),
                    **answer.to_dict(),
                }
            )

    async def _read(self, frame: _Frame, labels: str) -> LiveResult:
        analyzer = self._service.analyzers[labels]
        upload, most = Upload(frame.picture, "the frame"), self._service.settings.limits.pixels

        def read() -> LiveResult:
            image = read_image(upload, max_pixels=most)
            return self._reader.read(image.pixels, frame.time_s, analyzer)

        return await self._service.readers.run(read)

    def _note(self, answer: LiveResult, seconds: float) -> None:
        metrics = self._service.metrics
        metrics.frames.inc()
        metrics.faces.inc(len(answer.faces))
        metrics.frame_s.observe(seconds)

    async def _fail(self, problem: Problem, number: int | None = None) -> None:
        await self._send(
            {"type": "error", "number": number, "code": problem.code, "message": problem.message}
        )

    async def _send(self, values: dict[str, Any]) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            await self._socket.send_text(json.dumps(values))
