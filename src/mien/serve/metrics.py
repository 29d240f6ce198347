"""Metrics in Prometheus' text format: numbers only, no names, addresses or images."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.3, 2.5, 5.0, 10.0, 30.0)
_BATCH_SIZES = (1, 2, 4, 8)
# A client may send any word as the method, and each would become a series.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Metrics:
    """The metrics of one server; a registry of its own keeps two servers in one process apart."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("mien_requests", "Responses sent.", "method", "path", "status")
        self.request_s = self._histogram(
            "mien_request_seconds", "Time from the headers of a request to the end of the response.", "path"
        )
        self.images = self._counter("mien_images", "Images analyzed.")
        self.unreadable = self._counter("mien_unreadable_images", "Images that could not be read.")
        self.faces = self._counter("mien_faces", "Faces detected, in images and frames.")
        self.batch_size = self._histogram("mien_batch_size", "Images per batch.", buckets=_BATCH_SIZES)
        self.image_s = self._histogram(
            "mien_image_seconds", "Time per image: decoding, detection and classification."
        )
        self.frames = self._counter("mien_frames", "Stream frames analyzed.")
        self.dropped = self._counter("mien_dropped_frames", "Stream frames replaced by newer ones.")
        self.frame_s = self._histogram("mien_frame_seconds", "Time from a stream frame to its results.")

    def add_gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a value that is read when the metrics are requested."""
        Gauge(name, description, registry=self._registry).set_function(value)

    def observe_batch(self, size: int, seconds: float) -> None:
        """Count a batch of images and its duration."""
        self.batch_size.observe(size)
        for _ in range(size):
            self.image_s.observe(seconds / size)

    def text(self) -> bytes:
        """All metrics in the text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self._registry)

    def _histogram(
        self, name: str, description: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, description, labels, buckets=buckets, registry=self._registry)


class RequestMetrics:
    """ASGI middleware: counts the requests and measures their duration."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def recording_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, recording_send)
        finally:
            # The pattern of the route, not the path: clients may send any path, and each would be a series.
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, path, str(status)).inc()
            self._metrics.request_s.labels(path).observe(time.perf_counter() - start)
