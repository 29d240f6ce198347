"""Worker threads that analyze images; requests that wait at the same time share a batch.

No request waits for a batch to fill: a free worker takes a share of the images that are waiting. A single
request is analyzed at once, and many requests share the runs of the model. Frames of a stream go before
images, because a person is watching.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from mien.errors import ImageError, ImageTooLarge
from mien.images.decode import DecodedImage, read_image
from mien.inference.face import Face
from mien.inference.sinks import ImageResult, ReadFailure
from mien.serve.errors import ServiceError
from mien.serve.uploads import UploadedImage

T = TypeVar("T")

# Beyond this the model's time per face no longer falls, and a frame that arrives now would wait longer.
_MAX_BATCH = 8
_MAX_BATCH_BESIDE_STREAM = 2  # while a stream is open, so that its next frame does not wait long
_STARTING_S = 5.0
# Seconds per image before the first measurement, and the weight of the newest measurement.
_INITIAL_S, _NEWEST = 0.03, 0.1


class FaceAnalyzer(Protocol):
    """The method of `mien.inference.analyzer.Analyzer` that a worker calls."""

    def analyze_label_sets(self, sources: list[Any]) -> list[dict[str, list[Face]]]:
        """For each image, label set -> faces."""
        ...


@dataclass(frozen=True)
class ImageOutcome:
    """The faces of an image, or why it could not be read and whether it was too large."""

    result: ImageResult | ReadFailure
    too_large: bool = False


@dataclass(frozen=True)
class _PendingImage:
    upload: UploadedImage
    labels: str
    future: asyncio.Future[ImageOutcome]


@dataclass(frozen=True)
class _PendingCall:
    function: Callable[[], Any]
    future: asyncio.Future[Any]


class WorkerPool:
    """A fixed number of threads with a queue of images and a queue of calls.

    Args:
        analyzer: predicts all label sets in one run of the model.
        workers: number of threads.
        max_waiting: images that may wait; further ones are refused.
        max_pixels: of an image, checked in its header.
        on_batch: called with the size and the seconds of each batch.
    """

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        *,
        workers: int,
        max_waiting: int,
        max_pixels: int,
        on_batch: Callable[[int, float], None] = lambda _size, _seconds: None,
    ) -> None:
        self._analyzer = analyzer
        self._workers = workers
        self._max_waiting = max_waiting
        self._max_pixels = max_pixels
        self._on_batch = on_batch
        self._images: deque[_PendingImage] = deque()
        self._calls: deque[_PendingCall] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._image_s = _INITIAL_S
        self.streams = 0

    @property
    def waiting(self) -> int:
        """Images that no worker has taken yet."""
        return len(self._images)

    def start(self) -> None:
        """Start the threads."""
        for number in range(self._workers):
            thread = threading.Thread(target=self._work, name=f"mien-worker-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Wait until every thread has finished its batch; cancel what is still waiting."""
        with self._changed:
            self._stopped = True
            waiting = [image.future for image in self._images] + [call.future for call in self._calls]
            self._images.clear()
            self._calls.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for future in waiting:
            future.cancel()

    async def analyze(self, uploads: Sequence[UploadedImage], labels: str) -> list[ImageOutcome]:
        """The outcome for each image, in order.

        Raises:
            ServiceError: 503 if too many images are waiting (none of these is queued then) or no worker runs.
        """
        loop = asyncio.get_running_loop()
        images = [_PendingImage(upload, labels, loop.create_future()) for upload in uploads]
        with self._changed:
            self._check_running()
            if len(self._images) + len(images) > self._max_waiting:
                raise self._busy()
            self._images.extend(images)
            self._changed.notify(len(images))
        try:
            return await asyncio.gather(*(image.future for image in images))
        finally:
            for image in images:
                image.future.cancel()  # no effect on finished ones; workers skip the others

    async def run(self, function: Callable[[], T]) -> T:
        """The result of a function, called by a worker before any waiting image.

        Raises:
            ServiceError: 503 if no worker runs.
        """
        call = _PendingCall(function, asyncio.get_running_loop().create_future())
        with self._changed:
            self._check_running()
            self._calls.append(call)
            self._changed.notify()
        result: T = await call.future
        return result

    def _check_running(self) -> None:
        if self._stopped or not self._threads:  # a request would wait for ever
            raise ServiceError(
                503, "unavailable", "The server is starting or stopping.", retry_after_s=_STARTING_S
            )

    def _busy(self) -> ServiceError:
        seconds = len(self._images) * self._image_s / self._workers
        return ServiceError(
            503,
            "busy",
            f"{len(self._images)} images are waiting; the limit is {self._max_waiting}. "
            f"Try again in about {max(1, math.ceil(seconds))} s.",
            retry_after_s=seconds,
        )

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._calls or self._images)
                if self._stopped:
                    return
                call = self._calls.popleft() if self._calls else None
                batch = [] if call else self._take_batch()
            if call:
                _settle([call.future], partial(_call, call))
            elif batch:
                _settle([image.future for image in batch], partial(self._analyze, batch))

    def _take_batch(self) -> list[_PendingImage]:
        """Half of this worker's part of the waiting images, without cancelled ones.

        The other half stays in the queue, so that no worker is idle while the responses go out and the next
        requests come in.
        """
        most = _MAX_BATCH_BESIDE_STREAM if self.streams else _MAX_BATCH
        count = min(most, math.ceil(len(self._images) / (2 * self._workers)))
        batch = [self._images.popleft() for _ in range(count)]
        return [image for image in batch if not image.future.cancelled()]

    def _analyze(self, batch: list[_PendingImage]) -> list[ImageOutcome]:
        """The outcome of each image; all of them share the runs of the model."""
        start = time.perf_counter()
        outcomes: dict[int, ImageOutcome] = {}
        decoded: dict[int, DecodedImage] = {}
        for i, pending in enumerate(batch):
            try:
                image = read_image(pending.upload, max_pixels=self._max_pixels)
            except ImageError as error:
                failure = ReadFailure(pending.upload.name, str(error))
                outcomes[i] = ImageOutcome(failure, isinstance(error, ImageTooLarge))
            else:
                decoded[i] = image
        predictions = self._analyzer.analyze_label_sets(list(decoded.values()))
        for (i, image), faces in zip(decoded.items(), predictions, strict=True):
            of_labels = tuple(faces[batch[i].labels])
            outcomes[i] = ImageOutcome(ImageResult(image.source, image.width, image.height, of_labels))
        seconds = time.perf_counter() - start
        self._image_s += _NEWEST * (seconds / len(batch) - self._image_s)
        self._on_batch(len(batch), seconds)
        return [outcomes[i] for i in range(len(batch))]


def _call(call: _PendingCall) -> list[Any]:
    return [call.function()]


def _settle(futures: Sequence[asyncio.Future[Any]], function: Callable[[], Sequence[Any]]) -> None:
    """Calls a function and passes its results, or its error, to futures of another thread's event loop."""
    results: Sequence[Any] = [None] * len(futures)
    error: Exception | None = None
    try:
        results = function()
    except Exception as raised:  # for the waiting requests, not for this thread
        error = raised

    def settle(future: asyncio.Future[Any], result: Any) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    for future, result in zip(futures, results, strict=True):
        try:
            future.get_loop().call_soon_threadsafe(settle, future, result)
        except RuntimeError:
            if not future.get_loop().is_closed():  # with the loop, the request has ended
                raise
