"""What the routes share: models, worker threads, jobs, metrics and limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from fastapi import Query, Request

import mien
from mien.detection.blazeface import BlazeFace
from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.models.card import LABEL_SETS, Card
from mien.models.onnx import OnnxModel
from mien.movements.facemesh import FaceMesh
from mien.serve.batching import WorkerPool
from mien.serve.errors import ServiceError
from mien.serve.metrics import Metrics
from mien.serve.schemas import RequestLimits, ServerInfo
from mien.serve.settings import Settings
from mien.serve.video.queue import JobQueue

LabelsParameter = Annotated[
    str | None,
    Query(
        description="`combined`: eight emotions, from both heads of the model; `ferplus`: eight, as ten "
        "people would vote; `fer2013`: seven, as FER2013 is labelled."
    ),
]
MovementsParameter = Annotated[
    Literal["on", "off"],
    Query(description="`on`: each face also has `movements`: pose of the head, eyes, brows, mouth, gaze."),
]
_RETRY_S = 1.0


class Service:
    """Everything behind the routes of one server.

    Attributes:
        settings: as given.
        analyzers: label set -> analyzer, for the label sets of the model.
        labels: the label set of requests that name none.
        workers, jobs, metrics: the threads, the clips, the counters.
        ready: whether the models are warm.
        stopping: whether the server is about to close its port.

    Raises:
        UnknownModel, CardError, ModelError, UsageError: as `Analyzer` does.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Many images are analyzed at once, each with one thread. All label sets share one session.
        model, detector = OnnxModel(settings.model, device=settings.device, threads=1), BlazeFace(threads=1)
        label_sets = [labels for labels, head in LABEL_SETS.items() if head in model.heads]
        self.labels = settings.labels or _default_labels(model.card, label_sets)
        if self.labels not in label_sets:
            raise UsageError(
                f"model {model.name!r} has the label sets {', '.join(label_sets)}, not {self.labels!r}."
            )
        self._parts = (model, detector)
        self.analyzers = {labels: Analyzer(model, detector, labels=labels) for labels in label_sets}
        self.metrics = Metrics()
        self.workers = WorkerPool(
            self.analyzers[self.labels],
            workers=settings.threads,
            max_waiting=settings.limits.waiting,
            max_pixels=settings.limits.pixels,
            max_decode_s=settings.limits.decode_s,
            on_batch=self.metrics.observe_batch,
            measuring=lambda: self.analyzer(self.labels, movements=True),
        )
        self.jobs = JobQueue(self.analyzer, settings.limits, folder=settings.jobs_dir)
        self.ready = self.stopping = False
        self._open: Counter[str] = Counter()
        self.metrics.add_gauge("mien_waiting_images", "Images waiting.", lambda: self.workers.waiting)
        self.metrics.add_gauge("mien_open_streams", "Open streams.", lambda: self.workers.streams)
        self.metrics.add_gauge("mien_open_jobs", "Clips waiting or running.", lambda: self.jobs.open)

    def analyzer(self, labels: str, *, movements: bool = False) -> Analyzer:
        """The analyzer of a label set; the face mesh is loaded when it is first needed."""
        return (self._measuring if movements else self.analyzers)[labels]

    @cached_property
    def _measuring(self) -> dict[str, Analyzer]:
        mesh = FaceMesh()
        return {labels: Analyzer(*self._parts, labels=labels, movements=mesh) for labels in self.analyzers}

    def warm_up(self) -> None:
        """Run the detector and the model once, because the first run allocates memory."""
        analyzer = self.analyzers[self.labels]
        size = analyzer.classifier.card.input_size
        analyzer.classifier.predict(np.zeros((1, size, size), np.uint8))
        analyzer.analyze(np.zeros((64, 64, 3), np.uint8))
        self.ready = True

    def resolve_labels(self, labels: str | None) -> str:
        """The label set of a request.

        Raises:
            UsageError: the model does not have it.
        """
        if labels is None:
            return self.labels
        if labels not in self.analyzers:
            raise UsageError(f"labels must be one of {', '.join(self.analyzers)}, not {labels[:100]!r}.")
        return labels

    def about(self) -> ServerInfo:
        """The model, its label sets and the limits."""
        return ServerInfo(
            mien=mien.__version__,
            model=self.analyzers[self.labels].classifier.name,
            notice=self.settings.notice,
            labels=self.labels,
            label_sets={
                name: [label for label in a.classifier.labels if label not in a.classifier.head.abstain]
                for name, a in self.analyzers.items()
            },
            limits=RequestLimits.model_validate(self.settings.limits),
        )

    @contextmanager
    def client_slot(self, client: str) -> Iterator[None]:
        """A with block for one request of a client.

        Raises:
            ServiceError: 429 if the client has too many open requests.
        """
        limit = self.settings.limits.per_client
        if self._open[client] >= limit:
            raise ServiceError(
                429,
                "too_many_requests",
                f"This client has {self._open[client]} open requests; the limit is {limit}. "
                "Wait for a response first.",
                retry_after_s=_RETRY_S,
            )
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def client_address(request: Request) -> str:
    """The address of a client, for the limit per client."""
    return request.client.host if request.client else "unknown"


def _default_labels(card: Card, label_sets: list[str]) -> str:
    """The label set of the model's default head."""
    for labels in label_sets:
        if LABEL_SETS[labels] == card.default_head:
            return labels
    raise UsageError(f"model {card.name!r} has none of the label sets {', '.join(LABEL_SETS)}.")
