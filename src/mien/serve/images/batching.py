"""Threads that read pictures. Requests that wait at the same moment are read together.

Nothing is delayed to fill a batch: a reader that becomes free takes its share of what is waiting by then,
so that one request alone is read at once and a hundred share the model's runs. Frames of a stream go
before pictures, since somebody is looking.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from mien.errors import ImageError, ImageTooLarge
from mien.images.decode import DecodedImage, read_image
from mien.inference.face import Face
from mien.inference.sinks import ImageFailure, ImageResult
from mien.serve.errors import Problem
from mien.serve.images.uploads import Upload

T = TypeVar("T")

# The most pictures of one share: the model's time a face no longer falls beyond, and a frame of a stream
# that comes now has to wait for them.
_MOST_TOGETHER = 8
# While a stream is open, so that its next frame does not wait long.
_MOST_BESIDE_STREAM = 2
_STARTING_S = 5.0
# Seconds a picture until some have been measured, and the weight of the newest measurement.
_GUESS_S, _NEWEST = 0.03, 0.1


class ReadsFaces(Protocol):
    """What `mien.inference.analyzer.Analyzer` is to a reader."""

    def analyze(self, source: list[Any]) -> list[list[Face]]:
        """The faces of each picture."""
        ...


@dataclass(frozen=True)
class Outcome:
    """A picture's faces or why it could not be read, and whether the reason was its size."""

    said: ImageResult | ImageFailure
    too_large: bool = False


@dataclass(frozen=True)
class _Task:
    upload: Upload
    labels: str
    answer: asyncio.Future[Outcome]


@dataclass(frozen=True)
class _Call:
    work: Callable[[], Any]
    answer: asyncio.Future[Any]


class Readers:
    """A fixed number of threads before which pictures and frames wait in line.

    Args:
        analyzers: label set -> what reads faces with it.
        workers: threads.
        most_waiting: pictures that may wait before more are refused.
        max_pixels: of a picture, by its header.
        note_share: told of each share how many pictures it had and how many seconds it took.
    """

    def __init__(
        self,
        analyzers: Mapping[str, ReadsFaces],
        *,
        workers: int,
        most_waiting: int,
        max_pixels: int,
        note_share: Callable[[int, float], None] | None = None,
    ) -> None:
        self._analyzers = analyzers
        self._workers = workers
        self._most_waiting = most_waiting
        self._max_pixels = max_pixels
        self._note_share = note_share
        self._tasks: deque[_Task] = deque()
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._picture_s = _GUESS_S
        self.streams = 0

    @property
    def waiting(self) -> int:
        """Pictures that no thread has taken yet."""
        return len(self._tasks)

    def start(self) -> None:
        """Start the threads."""
        for number in range(self._workers):
            thread = threading.Thread(target=self._work, name=f"mien-reader-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let every thread end what it does and wait for it; what still waits is cancelled."""
        with self._changed:
            self._stopped = True
            left = [task.answer for task in self._tasks] + [call.answer for call in self._calls]
            self._tasks.clear()
            self._calls.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for answer in left:
            answer.cancel()

    async def read(self, uploads: Sequence[Upload], labels: str) -> list[Outcome]:
        """The outcome for each picture, in order.

        Raises:
            Problem: 503 where too many are waiting, none of these has been put in line; or nobody reads.
        """
        loop = asyncio.get_running_loop()
        tasks = [_Task(upload, labels, loop.create_future()) for upload in uploads]
        with self._changed:
            self._check_open()
            if len(self._tasks) + len(tasks) > self._most_waiting:
                raise self._too_busy()
            self._tasks.extend(tasks)
            self._changed.notify(len(tasks))
        try:
            return await asyncio.gather(*(task.answer for task in tasks))
        finally:
            for task in tasks:
                task.answer.cancel()  # no effect on what is done; a reader skips the others

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` gives, done by one of the threads before any picture that waits.

        Raises:
            Problem: 503 where nobody reads.
        """
        call = _Call(work, asyncio.get_running_loop().create_future())
        with self._changed:
            self._check_open()
            self._calls.append(call)
            self._changed.notify()
        answer: T = await call.answer
        return answer

    def _check_open(self) -> None:
        """What nobody will take must not wait for ever."""
        if self._stopped or not self._threads:
            raise Problem(503, "stopping", "The server is starting or stopping.", retry_after_s=_STARTING_S)

    def _too_busy(self) -> Problem:
        seconds = len(self._tasks) * self._picture_s / self._workers
        return Problem(
            503,
            "busy",
            f"{len(self._tasks)} pictures are waiting and no more than {self._most_waiting} may. "
            f"Try again in about {max(1, math.ceil(seconds))} s.",
            retry_after_s=seconds,
        )

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._calls or self._tasks)
                if self._stopped:
                    return
                call = self._calls.popleft() if self._calls else None
                share = [] if call else self._take_share()
            if call:
                self._do(call)
            elif share:
                self._read_share(share)

    def _take_share(self) -> list[_Task]:
        """Half of this thread's part of what waits, without what nobody wants.

        The other half waits on, so that no thread is without work while the answers go out and the next
        requests come in.
        """
        most = _MOST_BESIDE_STREAM if self.streams else _MOST_TOGETHER
        count = min(most, math.ceil(len(self._tasks) / (2 * self._workers)))
        share = [self._tasks.popleft() for _ in range(count)]
        return [task for task in share if not task.answer.cancelled()]

    def _do(self, call: _Call) -> None:
        try:
            result = call.work()
        except Exception as error:  # it belongs to whoever waits for the answer
            _answer(call.answer, _fail, error)
        else:
            _answer(call.answer, _succeed, result)

    def _read_share(self, share: list[_Task]) -> None:
        start = time.perf_counter()
        try:
            outcomes = self._outcomes(share)
        except Exception as error:  # of the model, not of a picture: everyone in the share is told
            for task in share:
                _answer(task.answer, _fail, error)
            return
        seconds = time.perf_counter() - start
        self._picture_s += _NEWEST * (seconds / len(share) - self._picture_s)
        if self._note_share:
            self._note_share(len(share), seconds)
        for task, outcome in zip(share, outcomes, strict=True):
            _answer(task.answer, _succeed, outcome)

    def _outcomes(self, share: list[_Task]) -> list[Outcome]:
        """What is said of each picture; those of one label set go through the model together."""
        outcomes: dict[int, Outcome] = {}
        readable: dict[str, dict[int, DecodedImage]] = {}
        for i, task in enumerate(share):
            decoded = self._decode(task.upload)
            if isinstance(decoded, DecodedImage):
                readable.setdefault(task.labels, {})[i] = decoded
            else:
                outcomes[i] = decoded
        for labels, pictures in readable.items():
            answers = self._analyzers[labels].analyze(list(pictures.values()))
            for (i, picture), faces in zip(pictures.items(), answers, strict=True):
                result = ImageResult(picture.source, picture.width, picture.height, tuple(faces))
                outcomes[i] = Outcome(result)
        return [outcomes[i] for i in range(len(share))]

    def _decode(self, upload: Upload) -> DecodedImage | Outcome:
        try:
            return read_image(upload, max_pixels=self._max_pixels)
        except ImageError as error:
            return Outcome(ImageFailure(upload.name, str(error)), isinstance(error, ImageTooLarge))


def _answer(future: asyncio.Future[Any], how: Callable[[asyncio.Future[Any], Any], None], value: Any) -> None:
    """Hands a value to the event loop that waits for it; a loop that has ended waits no more."""
    try:
        future.get_loop().call_soon_threadsafe(how, future, value)
    except RuntimeError:
        if not future.get_loop().is_closed():
            raise


def _succeed(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
