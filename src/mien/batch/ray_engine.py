"""The engine of many machines: actors of Ray that read batches of files, each on one core.

It uses Ray's core, not Ray Data: the files are listed before anyway, to find those that are missing, and
parts are written in the order of the list. Ray Data would hold the whole list in its store.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mien.batch.pool import Batch
from mien.batch.sources import is_store
from mien.batch.worker import ImageRows, ImageWorker, ReadOptions, joined, unread_rows
from mien.errors import MissingExtra, UsageError

# Batches that an actor has at once: it reads one while another is on its way.
_PER_ACTOR = 2
# Batches whose rows wait for those of an earlier one, for each actor.
_AHEAD = 4
# How often a batch may lose its actor before its files are read one by one.
_TRIES = 2
# Seconds to wait for what a lost actor had read already.
_LOST_S = 5.0
# Seconds to wait for a first actor.
_START_S = 120.0


@dataclass
class _Task:
    """A batch, its place in the order, how often it ended its actor, and a file's place in a split batch."""

    place: int
    batch: Batch
    lost: int = 0
    piece: int | None = None


@dataclass
class _Actor:
    """An actor and the batches that it reads, by the reference of their rows."""

    handle: Any
    ready: Any
    started: bool = False
    tasks: dict[Any, _Task] = field(default_factory=dict)


def read_with_ray(
    batches: Iterable[Batch],
    options: ReadOptions,
    workers: int | None,
    address: str | None,
    gpus: float = 0.0,
) -> Iterator[ImageRows]:
    """Yields the rows of each batch, in their order.

    An actor that ends, with its machine or alone, is replaced, and what it was reading is read again. A file
    that ends every actor that reads it gets a row that says so. Each machine must see the files under the
    same path.

    Args:
        batches: taken as they are needed.
        options: of the data set.
        workers: number of actors; one per core of the cluster for None.
        address: of a cluster that runs, or ``"auto"``; for None a cluster is started on this machine.
        gpus: of each actor, such as 0.25 for four actors on one.

    Raises:
        MissingExtra: Ray is not installed.
        UsageError: there is no such cluster, or no actor can be started in it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use to its makers
    try:
        import ray
    except ImportError:
        raise MissingExtra("the engine ray (Ray runs on CPython; --shard needs nothing)", "ray") from None
    own = not ray.is_initialized()
    if own:
        try:
            local = {"include_dashboard": False, "num_cpus": workers} if address is None else {}
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"--address {address}: no cluster of Ray can be used there: {error}") from error
    count = workers or int(ray.cluster_resources().get("CPU", 1))
    engine = _Engine(ray, options, max(1, count), gpus)
    try:
        yield from engine.run(batches)
    finally:
        engine.stop()
        if own:
            ray.shutdown()


class _Engine:
    """A pool of actors that gives rows in the order of the batches."""

    def __init__(self, ray: Any, options: ReadOptions, count: int, gpus: float) -> None:
        self._ray, self._options, self._count = ray, options, count
        self._remote = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(RayWorker)
        self._actors = [self._start() for _ in range(count)]
        self._again: deque[_Task] = deque()
        self._done: dict[int, ImageRows] = {}
        self._pieces: dict[int, list[ImageRows | None]] = {}

    def run(self, batches: Iterable[Batch]) -> Iterator[ImageRows]:
        """Yields the rows of each batch, in order."""
        tasks = (_Task(place, batch) for place, batch in enumerate(batches))
        following, last, more = 0, 0, True
        while True:
            while more and last - following < self._count * _AHEAD and (actor := self._free()):
                task = self._again.popleft() if self._again else next(tasks, None)
                if task is None:
                    more = False
                    break
                last = max(last, task.place + 1)
                self._submit(actor, task)
            while self._again and (actor := self._free()):
                self._submit(actor, self._again.popleft())
            while following in self._done:
                yield self._done.pop(following)
                following += 1
            if not more and following == last:
                return
            self._wait()

    def stop(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor.handle)

    def _start(self) -> _Actor:
        handle = self._remote.remote(self._options)
        return _Actor(handle, handle.ready.remote())

    def _free(self) -> _Actor | None:
        """The actor with the fewest batches, if it can take one more."""
        started = [actor for actor in self._actors if actor.started]
        actor = min(started, key=lambda each: len(each.tasks), default=None)
        return actor if actor is not None and len(actor.tasks) < _PER_ACTOR else None

    def _submit(self, actor: _Actor, task: _Task) -> None:
        actor.tasks[actor.handle.read.remote(task.batch)] = task

    def _wait(self) -> None:
        """Wait until an actor is ready or has read a batch, or has ended."""
        pending = {ref: actor for actor in self._actors for ref in actor.tasks}
        pending |= {actor.ready: actor for actor in self._actors if not actor.started}
        anybody = any(actor.started for actor in self._actors)
        finished, _ = self._ray.wait(list(pending), timeout=None if anybody else _START_S)
        if not finished:
            raise UsageError(
                f"the cluster started no worker within {_START_S:.0f} s. It has "
                f"{self._ray.cluster_resources()}; each worker needs one core and the GPUs you gave."
            )
        actor = pending[finished[0]]
        try:
            rows = self._ray.get(finished[0])
        except self._ray.exceptions.RayActorError:
            self._replace(actor)
            return
        if finished[0] is actor.ready or not actor.started:
            actor.started = True
        else:
            self._finish(actor.tasks.pop(finished[0]), rows)

    def _replace(self, actor: _Actor) -> None:
        """Start another actor, and read again what the lost one had."""
        if not actor.started and not any(each.started for each in self._actors):
            self._ray.get(actor.ready)  # it cannot be made: raise why
        self._actors.remove(actor)
        self._actors.append(self._start())
        again: list[_Task] = []
        for reference, task in actor.tasks.items():
            try:
                self._finish(task, self._ray.get(reference, timeout=_LOST_S))
            except self._ray.exceptions.RayError:
                if not again:  # it was read when the actor ended; those behind it only waited
                    task.lost += 1
                again += self._split(task)
        self._again.extendleft(reversed(again))

    def _split(self, task: _Task) -> list[_Task]:
        """What to do with a lost batch: try it again, then its files one by one, then none."""
        if task.lost < _TRIES:
            return [task]
        if len(task.batch) == 1:
            message = "each process that read the file ended: its decoder crashed, or the memory is full"
            self._finish(task, unread_rows(self._options, *task.batch[0], message))
            return []
        self._pieces[task.place] = [None] * len(task.batch)
        return [_Task(task.place, [each], piece=piece) for piece, each in enumerate(task.batch)]

    def _finish(self, task: _Task, rows: ImageRows) -> None:
        """Keep the rows of a batch, or of one file of a batch that was split."""
        if task.piece is None:
            self._done[task.place] = rows
            return
        pieces = self._pieces[task.place]
        pieces[task.piece] = rows
        whole = [piece for piece in pieces if piece is not None]
        if len(whole) == len(pieces):
            self._done[task.place] = joined(whole)
            del self._pieces[task.place]


class RayWorker:
    """What an actor holds."""

    def __init__(self, options: ReadOptions) -> None:
        self._worker = ImageWorker(options)

    def ready(self) -> bool:
        """True, once the model is loaded."""
        return True

    def read(self, batch: Batch) -> ImageRows:
        """The rows of a batch."""
        return self._worker.read([file for file, _ in batch], [number for _, number in batch])


def with_absolute_paths(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches whose files are found from any working folder."""
    for batch in batches:
        yield [
            (
                file
                if is_store(file.location)
                else replace(file, location=str(Path(file.location).absolute())),
                n,
            )
            for file, n in batch
        ]
