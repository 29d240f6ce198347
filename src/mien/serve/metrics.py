"""What the server counts, in Prometheus' text format. Numbers only: no name, address or picture."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.3, 2.5, 5.0, 10.0, 30.0)
_SHARES = (1, 2, 4, 8)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The counters of one server; each has its own, so that two in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "mien_requests", "Requests answered.", ("method", "path", "status"), registry=self._registry
        )
        self.request_s = Histogram(
            "mien_request_seconds",
            "From a request's headers to the end of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.pictures = Counter("mien_pictures", "Pictures that were read.", registry=self._registry)
        self.unreadable = Counter(
            "mien_unreadable_pictures", "Pictures that could not be read.", registry=self._registry
        )
        self.faces = Counter("mien_faces", "Faces found, in pictures and frames.", registry=self._registry)
        self.share = Histogram(
            "mien_pictures_read_together",
            "Pictures that one run of the model shared.",
            buckets=_SHARES,
            registry=self._registry,
        )
        self.picture_s = Histogram(
            "mien_picture_seconds",
            "Work on one picture: decode, find faces, read them.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.frames = Counter("mien_frames", "Frames of streams answered.", registry=self._registry)
        self.dropped = Counter(
            "mien_dropped_frames", "Frames of streams dropped for a newer one.", registry=self._registry
        )
        self.frame_s = Histogram(
            "mien_frame_seconds",
            "From a frame's arrival to its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )

    def watch(self, name: str, explanation: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when somebody asks."""
        Gauge(name, explanation, registry=self._registry).set_function(value)

    def note_share(self, count: int, seconds: float) -> None:
        """A reader took `count` pictures together, for so long."""
        self.share.observe(count)
        for _ in range(count):
            self.picture_s.observe(seconds / count)

    def text(self) -> bytes:
        """All of it, in the text format."""
        return generate_latest(self._registry)
