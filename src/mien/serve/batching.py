"""Worker threads that analyze images; requests that wait at the same time share a batch.

No request waits for a batch to fill: a free worker takes a share of the images that are waiting. A single
request is analyzed at once, and many requests share the runs of the model. Frames of a stream go before
images, because a person is watching. Images that are costly to decode have threads and a queue of their own,
and are decoded in a process that can be ended: they delay each other, but no other image.
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

from mien.errors import ImageTooLarge
from mien.images.decode import DecodedImage, decoding_cost, read_image
from mien.inference.face import Face
from mien.inference.sinks import ImageResult, ReadFailure
from mien.serve.decoder import DecoderProcess, describe
from mien.serve.errors import ServiceError
from mien.serve.uploads import UploadedImage

T = TypeVar("T")

# Beyond this the model's time per face no longer falls, and a frame that arrives now would wait longer.
_MAX_BATCH = 8
_MAX_BATCH_BESIDE_STREAM = 2  # while a stream is open, so that its next frame does not wait long
_STARTING_S = 5.0
# `decoding_cost` from which an image is costly. 4 megapixels take about 0.3 s of a core, analysis included.
_COSTLY = 4_000_000
_MAX_COSTLY_WAITING = 32
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
    movements: bool
    future: asyncio.Future[ImageOutcome]


@dataclass(frozen=True)
class _PendingCall:
    function: Callable[[], Any]
    future: asyncio.Future[Any]


class WorkerPool:
    """A fixed number of threads with a queue of images and a queue of calls; and some for costly images.

    Args:
        analyzer: predicts all label sets in one run of the model.
        workers: number of threads.
        max_waiting: images that may wait; further ones are refused.
        max_pixels: of an image, checked in its header.
        max_decode_s: seconds to decode a costly image.
        on_batch: called with the size and the seconds of each batch.
        measuring: returns the analyzer for images whose movements are requested.
    """

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        *,
        workers: int,
        max_waiting: int,
        max_pixels: int,
        max_decode_s: float = 4.0,
        on_batch: Callable[[int, float], None] = lambda _size, _seconds: None,
        measuring: Callable[[], FaceAnalyzer] | None = None,
    ) -> None:
        self._analyzer, self._measuring = analyzer, measuring or (lambda: analyzer)
        self._workers = workers
        self._max_waiting = max_waiting
        self._max_pixels, self._max_decode_s = max_pixels, max_decode_s
        self._on_batch = on_batch
        self._images: deque[_PendingImage] = deque()
        self._costly: deque[_PendingImage] = deque()
        self._calls: deque[_PendingCall] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._image_s = _INITIAL_S
        self.streams = 0

    @property
    def waiting(self) -> int:
        """Images that no worker has taken yet."""
        return len(self._images) + len(self._costly)

    def start(self) -> None:
        """Start the threads."""
        costly = max(1, self._workers // 2)
        for target, count in ((self._work, self._workers), (self._work_on_costly, costly)):
            for number in range(count):
                name = f"mien{target.__name__.replace('_', '-')}-{number}"
                thread = threading.Thread(target=target, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def stop(self) -> None:
        """Wait until every thread has finished its batch; cancel what is still waiting."""
        with self._changed:
            self._stopped = True
            images = (*self._images, *self._costly)
            waiting = [image.future for image in images] + [call.future for call in self._calls]
            self._images.clear()
            self._costly.clear()
            self._calls.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for future in waiting:
            future.cancel()

    async def analyze(
        self, uploads: Sequence[UploadedImage], labels: str, *, movements: bool = False
    ) -> list[ImageOutcome]:
        """The outcome for each image, in order.

        Raises:
            ServiceError: 503 if too many images are waiting (none of these is queued then) or no worker runs.
        """
        loop = asyncio.get_running_loop()
        images = [_PendingImage(upload, labels, movements, loop.create_future()) for upload in uploads]
        with self._changed:
            self._check_running()
            if self.waiting + len(images) > self._max_waiting:
                raise self._busy()
            self._images.extend(images)
            self._changed.notify_all()
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
            self._changed.notify_all()
        result: T = await call.future
        return result

    def _check_running(self) -> None:
        if self._stopped or not self._threads:  # a request would wait for ever
            raise ServiceError(
                503, "unavailable", "The server is starting or stopping.", retry_after_s=_STARTING_S
            )

    def _busy(self) -> ServiceError:
        seconds = self.waiting * self._image_s / self._workers
        return ServiceError(
            503,
            "busy",
            f"{self.waiting} images are waiting; the limit is {self._max_waiting}. "
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
                _settle(call.future, _call(call.function))
            elif batch:
                self._analyze(batch)

    def _work_on_costly(self) -> None:
        """Decode costly images one at a time, then analyze them."""
        decoder = DecoderProcess(max_pixels=self._max_pixels, max_s=self._max_decode_s)
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or self._costly)
                    if self._stopped:
                        return
                    pending = self._costly.popleft()
                if not pending.future.cancelled():
                    self._analyze([pending], decoder)
        finally:
            decoder.stop()

    def _take_batch(self) -> list[_PendingImage]:
        """Half of this worker's part of the waiting images, without cancelled ones.

        The other half stays in the queue, so that no worker is idle while the responses go out and the next
        requests come in.
        """
        most = _MAX_BATCH_BESIDE_STREAM if self.streams else _MAX_BATCH
        count = min(most, math.ceil(len(self._images) / (2 * self._workers)))
        batch = [self._images.popleft() for _ in range(count)]
        return [image for image in batch if not image.future.cancelled()]

    def _analyze(self, batch: list[_PendingImage], decoder: DecoderProcess | None = None) -> None:
        """Settle the images of a batch; all of them share the runs of the model. One that fails, fails alone.

        Without a decoder, costly images are left to the threads that have one.
        """
        start = time.perf_counter()
        decoded: dict[int, DecodedImage] = {}
        for i, pending in enumerate(batch):
            cost = 0.0 if decoder else _call(partial(decoding_cost, pending.upload.data))
            if isinstance(cost, Exception) or cost > _COSTLY:
                self._leave(pending)
                continue
            image = self._decode(pending.upload, decoder)
            if isinstance(image, DecodedImage):
                decoded[i] = image
            else:
                _settle(pending.future, image)
        for movements in (False, True):
            images = {i: image for i, image in decoded.items() if batch[i].movements == movements}
            predicted = self._predict(list(images.values()), movements=movements)
            for (i, image), faces in zip(images.items(), predicted, strict=True):
                if isinstance(faces, Exception):
                    _settle(batch[i].future, faces)
                else:
                    _settle(batch[i].future, _outcome(image, faces[batch[i].labels]))
        seconds = time.perf_counter() - start
        if decoder is None:
            self._image_s += _NEWEST * (seconds / len(batch) - self._image_s)
        self._on_batch(len(batch), seconds)

    def _decode(self, upload: UploadedImage, decoder: DecoderProcess | None) -> DecodedImage | ImageOutcome:
        """The image, or why it cannot be read; decoders raise errors of many kinds."""
        try:
            if decoder is None:
                return read_image(upload, max_pixels=self._max_pixels)
            return decoder.read(upload.data, upload.name)
        except Exception as error:
            failure = ReadFailure(upload.name, describe(upload.name, error))
            return ImageOutcome(failure, isinstance(error, ImageTooLarge))

    def _predict(
        self, images: list[DecodedImage], *, movements: bool
    ) -> list[dict[str, list[Face]] | Exception]:
        """The faces of each image, or its error; if the model fails with all of them, each is tried alone."""
        try:
            if not images:
                return []
            analyzer = self._measuring() if movements else self._analyzer
            return list(analyzer.analyze_label_sets(images))
        except Exception as error:
            if len(images) == 1:
                return [error]
            return [self._predict([image], movements=movements)[0] for image in images]

    def _leave(self, pending: _PendingImage) -> None:
        """Put a costly image into the queue of those, or refuse it."""
        with self._changed:
            waiting = len(self._costly)
            if not self._stopped and waiting < _MAX_COSTLY_WAITING:
                self._costly.append(pending)
                self._changed.notify_all()
                return
        message = f"{waiting} large images are waiting; the limit is {_MAX_COSTLY_WAITING}. Try again later."
        _settle(pending.future, ServiceError(503, "busy", message, retry_after_s=self._max_decode_s))


def _outcome(image: DecodedImage, faces: Sequence[Face]) -> ImageOutcome:
    return ImageOutcome(ImageResult(image.source, image.width, image.height, tuple(faces)))


def _call(function: Callable[[], Any]) -> Any:
    """What a function returns or raises."""
    try:
        return function()
    except Exception as raised:  # for the waiting request, not for this thread
        return raised


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    """Passes a result, or an error, to a future of another thread's event loop."""

    def settle() -> None:
        if future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    try:
        future.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:
        if not future.get_loop().is_closed():  # with the loop, the request has ended
            raise
