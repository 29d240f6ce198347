"""What the routes share: the models, the threads that run them, the counters and the limits in force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import mien
from mien.detection.blazeface import BlazeFace
from mien.errors import UsageError
from mien.inference.analyzer import LABELS, Analyzer
from mien.models.card import Card
from mien.models.registry import find_model
from mien.serve.errors import Problem
from mien.serve.images.batching import Readers
from mien.serve.metrics import Metrics
from mien.serve.settings import Settings
from mien.serve.video.queue import Jobs

_BUSY_S = 1.0


class Service:
    """Everything behind the routes, made once a server.

    Attributes:
        settings: as given.
        analyzers: label set -> analyzer; those that the model can answer with.
        labels: the label set of requests that name none.

    Raises:
        UnknownModel, CardError, ModelError, UsageError: as `Analyzer` does.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        card = find_model(settings.model).card
        heads = {head.name for head in card.heads}
        known = [labels for labels, head in LABELS.items() if head in heads]
        self.labels = settings.labels or _default_labels(card, known)
        if self.labels not in known:
            raise UsageError(
                f"model {card.name!r} has the label sets {', '.join(known)}, not {self.labels!r}."
            )
        # Many pictures are read at once, so each is given one thread.
        detector = BlazeFace(threads=1)
        self.analyzers = {
            labels: Analyzer(settings.model, detector, device=settings.device, threads=1, labels=labels)
            for labels in known
        }
        self.metrics = Metrics()
        self.readers = Readers(
            self.analyzers,
            workers=settings.readers,
            most_waiting=settings.limits.waiting,
            max_pixels=settings.limits.pixels,
            note_share=self.metrics.note_share,
        )
        self.jobs = Jobs(self.analyzers, settings.limits)
        self.ready = False
        self._open: Counter[str] = Counter()
        self.metrics.watch("mien_waiting_pictures", "Pictures waiting.", lambda: self.readers.waiting)
        self.metrics.watch("mien_open_streams", "Streams open.", lambda: self.readers.streams)
        self.metrics.watch("mien_open_jobs", "Clips that wait or are read.", lambda: self.jobs.open)

    def warm_up(self) -> None:
        """Run each model once: the first run allocates, and nobody should wait for it."""
        for analyzer in self.analyzers.values():
            size = analyzer.classifier.card.input_size
            analyzer.classifier.predict(np.zeros((1, size, size), np.uint8))
            analyzer.analyze(np.zeros((64, 64, 3), np.uint8))
        self.ready = True

    def check_labels(self, labels: str | None) -> str:
        """The label set that a request asks for.

        Raises:
            UsageError: the model does not have it.
        """
        if labels is None:
            return self.labels
        if labels not in self.analyzers:
            raise UsageError(f"labels must be one of {', '.join(self.analyzers)}, not {labels[:100]!r}.")
        return labels

    def about(self) -> dict[str, Any]:
        """What a client should know: the model, the label sets, the limits."""
        limits = self.settings.limits
        return {
            "mien": mien.__version__,
            "model": self.analyzers[self.labels].classifier.name,
            "labels": self.labels,
            "label_sets": {
                name: [label for label in a.classifier.labels if label not in a.classifier.head.abstain]
                for name, a in self.analyzers.items()
            },
            "limits": {
                "body_bytes": limits.body_bytes,
                "pictures": limits.pictures,
                "pixels": limits.pixels,
                "frame_bytes": limits.frame_bytes,
                "video_bytes": limits.video_bytes,
                "video_s": limits.video_s,
            },
        }

    @contextmanager
    def one_more(self, client: str) -> Iterator[None]:
        """A with block for one request of a client.

        Raises:
            Problem: 429 where the client has too many open.
        """
        most = self.settings.limits.per_client
        if self._open[client] >= most:
            raise Problem(
                429,
                "too_many_requests",
                f"{self._open[client]} requests of yours are open and no more than {most} may. "
                "Wait for an answer first.",
                retry_after_s=_BUSY_S,
            )
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def _default_labels(card: Card, known: list[str]) -> str:
    """The label set of the model's default head."""
    for labels in known:
        if LABELS[labels] == card.default_head:
            return labels
    raise UsageError(f"model {card.name!r} has none of the label sets {', '.join(LABELS)}.")
