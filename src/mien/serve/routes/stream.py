"""`/v1/stream`: frames in, tracked faces out, over one WebSocket.

A client sends frames as binary messages: the frame number (uint32) and the time in seconds (float64), both
big-endian, then the bytes of the image (JPEG, WebP, ...). For each analyzed frame it receives a JSON object
with this number.
A frame that arrives during an analysis waits; the next one replaces it. So results are never older than the
time to analyze two frames, at any frame rate.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from mien.errors import ImageError, ImageTooLarge, MienError, UsageError
from mien.images.decode import decoding_cost, read_image
from mien.serve.decoder import describe
from mien.serve.errors import ServiceError, log, to_service_error
from mien.serve.security import SUBPROTOCOL
from mien.serve.service import Service
from mien.serve.uploads import UploadedImage
from mien.video.live import LivePipeline, LiveResult

HEADER = struct.Struct(">Id")
_AFTER_SETTINGS_S = 0.02  # until the next message is read, so that a flood of them does not hold the loop
_MAX_SETTINGS = 1000  # characters of a text message; longer ones are cut and therefore invalid
# `decoding_cost` of a frame: 4K (8.3 megapixels) in one scan is allowed. A frame holds a worker.
_MAX_FRAME_COST = 12_000_000
# From this age of its newest result on, a stream gives its place to a new one.
_DISPLACED_AFTER_S = 5.0
# Source: IANA's registry of WebSocket close codes.
TRY_AGAIN_LATER, INTERNAL_ERROR = 1013, 1011


@dataclass(frozen=True)
class _Frame:
    number: int
    time_s: float
    image: bytes
    arrived_s: float


def stream_routes(service: Service) -> APIRouter:
    """`/v1/stream`."""
    router = APIRouter()
    places = _Places(service)

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        made = _Stream(service, socket)
        if not places.take(made):
            # After accepting, since a page cannot read the reason of a refused connection.
            await socket.close(TRY_AGAIN_LATER, "Too many streams are open; try again later.")
            return
        try:
            await made.serve()
        finally:
            places.leave(made)

    return router


class _Places:
    """The open streams of a server. Where all places are taken, a new stream gets that of an idle one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open: list[_Stream] = []

    def take(self, stream: _Stream) -> bool:
        """Whether the stream has a place now."""
        if len(self._open) >= self._service.settings.limits.streams:
            longest = max(self._open, key=lambda each: each.idle_s, default=None)
            if longest is None or longest.idle_s < _DISPLACED_AFTER_S:
                return False
            longest.end("Another client needed the place of this stream, which sent no frames.")
            self.leave(longest)
        self._open.append(stream)
        self._service.workers.streams = len(self._open)
        return True

    def leave(self, stream: _Stream) -> None:
        """Free the place of a stream, if it has one."""
        if stream in self._open:
            self._open.remove(stream)
            self._service.workers.streams = len(self._open)


class _Stream:
    """One open stream: one task receives and keeps the newest frame, another one analyzes it.

    A third one ends it when no frame was analyzed for a while, or when another stream gets its place.
    """

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self._service = service
        self._socket = socket
        self._labels, self._movements = service.labels, False
        self._pipeline = LivePipeline()
        self._newest: _Frame | None = None
        self._arrived = asyncio.Event()
        self._dropped = 0
        self._analyzed_s, self._analyzing = time.monotonic(), False
        self._ended, self._reason = asyncio.Event(), ""

    @property
    def idle_s(self) -> float:
        """Seconds since the last frame was analyzed, or since the stream was opened."""
        return 0.0 if self._analyzing else time.monotonic() - self._analyzed_s

    def end(self, reason: str) -> None:
        """Close the stream soon."""
        self._reason = reason
        self._ended.set()

    async def serve(self) -> None:
        """Run until the client disconnects."""
        await self._send({"type": "ready", **self._service.about().model_dump()})
        async with anyio.create_task_group() as tasks:

            async def until_one_ends(work: Callable[[], Awaitable[None]]) -> None:
                try:
                    await work()
                except WebSocketDisconnect:
                    pass  # the client left before the results were sent
                except Exception as error:
                    log.error("a stream failed", exc_info=error)
                    with suppress(WebSocketDisconnect, RuntimeError):  # the client may have left
                        await self._socket.close(INTERNAL_ERROR, "The server failed; see its log.")
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_one_ends, self._receive)
            tasks.start_soon(until_one_ends, self._analyze_frames)
            tasks.start_soon(until_one_ends, self._end_when_idle)

    async def _end_when_idle(self) -> None:
        limit = self._service.settings.limits.idle_s
        while not self._ended.is_set() and (left := limit - self.idle_s) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), left)
        reason = self._reason or f"No frame could be analyzed for {limit:g} s."
        await self._socket.close(TRY_AGAIN_LATER, reason)

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                if message.get("bytes") is not None:
                    self._on_frame(message["bytes"])
                    continue
                await self._on_settings(message.get("text") or "")
            except MienError as error:
                await self._send_error(error)
            await asyncio.sleep(_AFTER_SETTINGS_S)

    def _on_frame(self, message: bytes) -> None:
        if len(message) <= HEADER.size:
            raise UsageError(
                f"a frame of {len(message)} bytes is too short. Send the frame number (uint32), the time "
                "(float64), both big-endian, and the bytes of an image."
            )
        number, time_s = HEADER.unpack_from(message)
        if not math.isfinite(time_s):
            raise UsageError(f"frame {number} has the time {time_s}; it must be a finite number of seconds.")
        if self._newest is not None:
            self._dropped += 1
            self._service.metrics.dropped.inc()
        self._newest = _Frame(number, time_s, message[HEADER.size :], time.perf_counter())
        self._arrived.set()

    async def _on_settings(self, message: str) -> None:
        """A JSON object: ``{"labels": "ferplus"}``, ``{"movements": true}``, or both."""
        try:
            settings = json.loads(message[:_MAX_SETTINGS])
            known = set(settings) & {"labels", "movements"}
        except (ValueError, TypeError, RecursionError):
            known = set()
        if not known or not isinstance(settings, dict):
            raise UsageError(
                f'a text message is a JSON object such as {{"labels": "fer2013"}}, not {message[:100]!r}.'
            )
        movements = settings.get("movements", self._movements)
        if not isinstance(movements, bool):
            raise UsageError(f"movements must be true or false, not {movements!r:.100}.")
        self._labels = self._service.resolve_labels(str(settings.get("labels", self._labels)))
        self._movements = movements
        await self._send({"type": "settings", "labels": self._labels, "movements": movements})

    async def _analyze_frames(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            frame, self._newest = self._newest, None
            if frame is None:
                continue
            dropped, self._dropped = self._dropped, 0
            labels, movements = self._labels, self._movements
            self._analyzing = True
            try:
                work = partial(self._analyze, frame, labels, movements=movements)
                result = await self._service.workers.run(work)
                self._analyzed_s = time.monotonic()
            except (MienError, ServiceError) as error:
                await self._send_error(error, frame.number)
                continue
            finally:
                self._analyzing = False
            seconds = time.perf_counter() - frame.arrived_s
            self._record(result, seconds)
            await self._send(
                {
                    "type": "faces",
                    "frame": frame.number,
                    "time_s": frame.time_s,
                    "labels": labels,
                    "dropped_frames": dropped,
                    "server_ms": round(1000 * seconds, 2),
                    **result.to_dict(),
                }
            )

    def _analyze(self, frame: _Frame, labels: str, *, movements: bool) -> LiveResult:
        analyzer = self._service.analyzer(labels, movements=movements)
        upload = UploadedImage(frame.image, f"frame {frame.number}")
        if decoding_cost(frame.image) > _MAX_FRAME_COST:
            raise ImageTooLarge(
                f"{upload.name} is too costly to decode. Send up to {_MAX_FRAME_COST / 1e6:.0f} megapixels "
                "as JPEG (not progressive), PNG or WebP."
            )
        try:
            image = read_image(upload, max_pixels=self._service.settings.limits.pixels)
        except MienError:
            raise
        except Exception as error:  # decoders raise errors of many kinds
            raise ImageError(describe(upload.name, error)) from error
        return self._pipeline.read(image.pixels, frame.time_s, analyzer)

    def _record(self, result: LiveResult, seconds: float) -> None:
        metrics = self._service.metrics
        metrics.frames.inc()
        metrics.faces.inc(len(result.faces))
        metrics.frame_s.observe(seconds)

    async def _send_error(self, error: Exception, frame: int | None = None) -> None:
        sent = to_service_error(error)
        await self._send({"type": "error", "frame": frame, "code": sent.code, "message": sent.message})

    async def _send(self, values: dict[str, Any]) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            await self._socket.send_text(json.dumps(values))
