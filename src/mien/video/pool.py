"""Several clips at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.video.job import ClipResult
from mien.video.options.clips import ClipOptions
from mien.video.results import FrameResult
from mien.video.runner import BatchObserver, ClipOutcome, ClipRunner
from mien.video.sources import without_password

if TYPE_CHECKING:
    from mien.video.study.corrections import Corrections


Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
_Item = TypeVar("_Item", contravariant=True)
_Outcome = TypeVar("_Outcome", covariant=True)


class Work(Protocol[_Item, _Outcome]):
    """What a process needs to read any clip of a run. It is pickled."""

    def reader(self, observer: BatchObserver) -> Callable[[_Item], _Outcome]:
        """Prepares a process; what comes back reads one clip and calls `observer.analyzed` for each frame."""

    def lost(self, item: _Item, error: str, observer: BatchObserver) -> _Outcome:
        """The outcome of a clip whose process ended."""


@dataclass(frozen=True)
class ClipWork:
    """Reads clips into a study; see `ClipRunner`."""

    analyzer: Analyzer
    options: ClipOptions
    names: dict[str, str]
    corrections: Corrections | None

    def reader(self, observer: BatchObserver) -> Callable[[str], ClipOutcome]:
        """A function that reads a clip."""
        corrections = self.corrections
        return ClipRunner(self.analyzer, self.options, self.names, observer, corrections=corrections).read

    def lost(self, item: str, error: str, observer: BatchObserver) -> ClipOutcome:
        """The outcome of a clip whose process ended."""
        observer.failed(without_password(item), error)
        return ClipOutcome(item, error, 1)


def read_together(
    clips: Iterable[Item], work: Work[Item, Outcome], jobs: int, observer: BatchObserver
) -> Iterator[Outcome]:
    """Reads clips, `jobs` at once, each in a process; yields the outcome of each as it ends.

    A process that ends by itself (a decoder that crashes, a full memory) costs its clip; another one goes on.
    Where the run is interrupted, each process first writes what it has read.

    Raises:
        UsageError: something cannot be written, or no process can be started.
        KeyboardInterrupt: the run was interrupted.
    """
    waiting, more = iter(clips), True
    idle: list[_Reader[Item, Outcome]] = []
    busy: dict[Connection, _Reader[Item, Outcome]] = {}
    try:
        while more or busy:
            while more and len(busy) < jobs:
                try:
                    clip = next(waiting)
                except StopIteration:
                    more = False
                    break
                reader = idle.pop() if idle else _Reader(work)
                reader.read(clip)
                busy[reader.pipe] = reader
            if not busy:  # to wait for nothing would take for ever
                return
            heard = wait(list(busy))
            for pipe, reader in [it for it in busy.items() if it[0] in heard]:
                outcome = reader.hear(observer)
                if outcome is not None:
                    del busy[pipe]
                    if reader.alive:
                        idle.append(reader)
                    yield outcome
    except (KeyboardInterrupt, GeneratorExit):
        observer.stopped(resumable=True)
        raise
    finally:
        for reader in (*busy.values(), *idle):
            reader.stop()
        for reader in (*busy.values(), *idle):
            reader.join()


class _Reader(Generic[Item, Outcome]):
    """A process that reads one clip after another."""

    def __init__(self, work: Work[Item, Outcome]) -> None:
        self._work = work
        # A forked process would share the locks of ONNX Runtime's and FFmpeg's threads.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_read_clips, args=(theirs, work), daemon=True)
        self._process.start()
        theirs.close()
        self._clip: Item | None = None
        self._ready, self.alive = False, True

    def read(self, clip: Item) -> None:
        self._clip = clip
        with suppress(BrokenPipeError):  # `hear` says so
            self.pipe.send(clip)

    def hear(self, observer: BatchObserver) -> Outcome | None:
        """Pass on what the process says; the outcome of its clip once there is one.

        Raises:
            UsageError: the process could not be started.
            Exception: what ended the run in the process.
        """
        try:
            name, values = self.pipe.recv()
        except (EOFError, ConnectionError):
            return self._lost(observer)
        if name == "ready":
            self._ready = True
        elif name == "raised":
            raise values[0]
        elif name == "done":
            outcome: Outcome = values[0]
            return outcome
        else:
            getattr(observer, name)(*values)
        return None

    def stop(self) -> None:
        """Let the process write what it has read, and end."""
        with suppress(BrokenPipeError):
            self.pipe.send(None)

    def join(self) -> None:
        """Wait for its end; what it says meanwhile is of a clip that is not done."""
        with suppress(EOFError, ConnectionError):
            while True:
                self.pipe.recv()
        self._process.join()

    def _lost(self, observer: BatchObserver) -> Outcome:
        self._process.join()
        self.alive = False
        if not self._ready:
            raise UsageError(
                "the processes that read clips cannot be started. In a script, call mien under "
                '`if __name__ == "__main__":`, or read one clip at a time.'
            )
        code = self._process.exitcode
        error = f"the process that read it ended (exit code {code}): a decoder crashed, or the memory is full"
        clip: Any = self._clip
        return self._work.lost(clip, error, observer)


class _Speaker(BatchObserver):
    """Tells the first process what happens, and hears from it when to stop."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def started(self, source: str, name: str, start_s: float, length_s: float | None) -> None:
        self._pipe.send(("started", (source, name, start_s, length_s)))

    def analyzed(self, result: FrameResult) -> None:
        # There is something to read if the run is to stop, or if the first process has ended.
        if self._pipe.poll():
            raise KeyboardInterrupt
        self._pipe.send(("analyzed", (result,)))

    def finished(self, source: str, result: ClipResult) -> None:
        self._pipe.send(("finished", (source, result)))

    def failed(self, source: str, error: str) -> None:
        self._pipe.send(("failed", (source, error)))


def _read_clips(pipe: Connection, work: Work[Any, Any]) -> None:
    """Read the clips that are named through the pipe until it says None, or nobody is at its other end."""
    # Ctrl-C goes to the first process alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    read = work.reader(_Speaker(pipe))
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        pipe.send(("ready", ()))
        while (clip := pipe.recv()) is not None:
            pipe.send(_outcome(read, clip))


def _outcome(read: Callable[[Any], Any], clip: Any) -> tuple[str, tuple[Any]]:
    try:
        return "done", (read(clip),)
    except BrokenPipeError:
        raise
    except Exception as error:
        return "raised", (error,)
