"""The engine of one machine: worker processes that read batches of files, each on one core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeAlias

from mien.batch.sources import SourceFile
from mien.batch.worker import ImageRows, ImageWorker, OnImage, ReadOptions, joined, unread_rows
from mien.errors import UsageError

# Files with their numbers (`DataSet.number_of`); they are read together.
Batch: TypeAlias = list[tuple[SourceFile, int]]
# Batches that wait for each worker, so that none is idle while the rows of another are written.
_WAITING = 3

_worker: ImageWorker | None = None


def read_batches(
    batches: Iterable[Batch], options: ReadOptions, workers: int, on_image: OnImage | None = None
) -> Iterator[ImageRows]:
    """Yields the rows of each batch, in their order; some batches more are taken from the iterable.

    A worker process that ends (a decoder that crashes, a full memory) costs no more than the file that did
    it: the batches that were read are read again, one file at a time, and the file gets a row that says so.
    With one worker, or with `on_image`, there is no other process, and such a file ends the run.

    Raises:
        UsageError: no process can be started.
    """
    if workers == 1 or on_image is not None:
        worker = ImageWorker(options, on_image)
        yield from (_read(worker, batch) for batch in batches)
        return
    waiting: deque[tuple[Batch, Future[ImageRows]]] = deque()
    pool = _Pool(options, workers)
    try:
        for batch in batches:
            waiting.append((batch, pool.submit(batch)))
            if len(waiting) >= workers * _WAITING:
                yield pool.result(waiting)
        while waiting:
            yield pool.result(waiting)
    finally:
        pool.stop()


class _Pool:
    """Worker processes, and new ones where one of them ended."""

    def __init__(self, options: ReadOptions, workers: int) -> None:
        self._options, self._workers = options, workers
        self._pool = self._start(workers)

    def submit(self, batch: Batch) -> Future[ImageRows]:
        try:
            return self._pool.submit(_read_in_process, batch)
        except BrokenProcessPool as error:  # `result` starts another one
            broken: Future[ImageRows] = Future()
            broken.set_exception(error)
            return broken

    def result(self, waiting: deque[tuple[Batch, Future[ImageRows]]]) -> ImageRows:
        """The rows of the first batch."""
        batch, future = waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            rows = self._read_alone(batch)
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._start(self._workers)
            again = [(each, self.submit(each) if _is_broken(old) else old) for each, old in waiting]
            waiting.clear()
            waiting.extend(again)
            return rows

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _read_alone(self, batch: Batch) -> ImageRows:
        """The rows of a batch, each file in a process that it may end."""
        several: list[ImageRows] = []
        pool = self._start(1)
        for file, number in batch:
            try:
                several.append(pool.submit(_read_in_process, [(file, number)]).result())
            except BrokenProcessPool:
                message = "the process that read the file ended: its decoder crashed, or the memory is full"
                several.append(unread_rows(self._options, file, number, message))
                pool.shutdown(wait=False)
                pool = self._start(1)
        pool.shutdown()
        return joined(several)

    def _start(self, workers: int) -> ProcessPoolExecutor:
        # A forked process would share the locks of ONNX Runtime's and Arrow's threads.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, context, _begin, (self._options,))
        try:
            with _interrupts_ignored():  # one process starts for each of these calls, and inherits it
                ready = [pool.submit(_is_ready) for _ in range(workers)]
            for each in ready:
                each.result()
        except BrokenProcessPool:
            raise UsageError(
                "worker processes cannot be started. In a script, call mien under "
                '`if __name__ == "__main__":`, or use one worker.'
            ) from None
        return pool


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Without Ctrl-C for a moment; only the main thread can set this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_ready() -> bool:
    return _worker is not None


def _is_broken(future: Future[ImageRows]) -> bool:
    """Whether the rows of a batch were lost with its process."""
    return future.cancelled() or not future.done() or future.exception() is not None


def _begin(options: ReadOptions) -> None:
    """Prepare a worker process. Ctrl-C goes to the first process alone, and a killed one takes all along."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="mien-parent", daemon=True).start()
    _worker = ImageWorker(options)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _read_in_process(batch: Batch) -> ImageRows:
    if _worker is None:
        raise RuntimeError("the worker process was not prepared.")
    return _read(_worker, batch)


def _read(worker: ImageWorker, batch: Batch) -> ImageRows:
    return worker.read([file for file, _ in batch], [number for _, number in batch])
