"""Several clips at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.video.job import ClipResult
from mien.video.options.clips import ClipOptions
from mien.video.results import FrameResult
from mien.video.runner import BatchObserver, ClipOutcome, ClipRunner
from mien.video.sources import without_password

if TYPE_CHECKING:
    from mien.video.study.corrections import Corrections


@dataclass(frozen=True)
class ClipWork:
    """What a process needs to read any clip of a run; see `ClipRunner`."""

    analyzer: Analyzer
    options: ClipOptions
    names: dict[str, str]
    corrections: Corrections | None


def read_together(clips: list[str], work: ClipWork, observer: BatchObserver) -> Iterator[ClipOutcome]:
    """Reads clips into a study, `ClipOptions.jobs` at once; yields the outcome of each as it ends.

    A process that ends by itself (a decoder that crashes, a full memory) costs its clip; another one goes on.
    Where the run is interrupted, each process first writes what it has read.

    Raises:
        UsageError: something cannot be written, or no process can be started.
        KeyboardInterrupt: the run was interrupted.
    """
    waiting = deque(clips)
    idle: list[_Reader] = []
    busy: dict[Connection, _Reader] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < work.options.jobs:
                reader = idle.pop() if idle else _Reader(work)
                reader.read(waiting.popleft())
                busy[reader.pipe] = reader
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


class _Reader:
    """A process that reads one clip after another."""

    def __init__(self, work: ClipWork) -> None:
        # A forked process would share the locks of ONNX Runtime's and FFmpeg's threads.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_read_clips, args=(theirs, work), daemon=True)
        self._process.start()
        theirs.close()
        self._clip, self._ready, self.alive = "", False, True

    def read(self, clip: str) -> None:
        self._clip = clip
        with suppress(BrokenPipeError):  # `hear` says so
            self.pipe.send(clip)

    def hear(self, observer: BatchObserver) -> ClipOutcome | None:
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
            outcome: ClipOutcome = values[0]
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

    def _lost(self, observer: BatchObserver) -> ClipOutcome:
        self._process.join()
        self.alive = False
        if not self._ready:
            raise UsageError(
                "the processes for --jobs cannot be started. In a script, call mien under "
                '`if __name__ == "__main__":`, or read one clip at a time.'
            )
        code = self._process.exitcode
        error = f"the process that read it ended (exit code {code}): a decoder crashed, or the memory is full"
        observer.failed(without_password(self._clip), error)
        return ClipOutcome(self._clip, error, 1)


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


def _read_clips(pipe: Connection, work: ClipWork) -> None:
    """Read the clips that are named through the pipe until it says None, or nobody is at its other end."""
    # Ctrl-C goes to the first process alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    runner = ClipRunner(work.analyzer, work.options, work.names, _Speaker(pipe), corrections=work.corrections)
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        pipe.send(("ready", ()))
        while (clip := pipe.recv()) is not None:
            pipe.send(_outcome(runner, clip))


def _outcome(runner: ClipRunner, clip: str) -> tuple[str, tuple[Any]]:
    try:
        return "done", (runner.read(clip),)
    except BrokenPipeError:
        raise
    except Exception as error:
        return "raised", (error,)
