"""Clips read one after the other in the background, each with its progress and a table as the result.

A clip is the one thing that goes to disk: into a folder that this user alone can open, gone with the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mien.errors import MienError
from mien.inference.analyzer import Analyzer
from mien.serve.errors import Problem, as_problem, log
from mien.serve.settings import Limits
from mien.serve.video.job import Job, VideoOptions, read_clip

_SWEEP_S = 30.0


class Jobs:
    """The jobs of one server; one is read at a time, since each keeps the cores busy.

    Args:
        analyzers: label set -> analyzer.
        limits: how many, how long and how large clips may be, and how long results are kept.
        clock: seconds, for what is to be thrown away.
    """

    def __init__(
        self,
        analyzers: Mapping[str, Analyzer],
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._analyzers, self._limits, self._clock = analyzers, limits, clock
        self._jobs: dict[str, Job] = {}
        self._folder: Path | None = None
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def open(self) -> int:
        """Jobs that wait or are read."""
        return sum(job.progress.state in ("waiting", "running") for job in self._jobs.values())

    def start(self) -> None:
        """Begin to read what is added; to be called in the event loop."""
        self._folder = Path(tempfile.mkdtemp(prefix="mien-"))  # for this user alone, as mkdtemp makes it
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._sweep())]

    async def stop(self) -> None:
        """Give up all jobs and remove everything that lies on disk."""
        for job in self._jobs.values():
            job.stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def reserve(self, name: str, options: VideoOptions) -> Job:
        """A job whose clip is still to be written to `Job.clip`; `add` or `remove` it then.

        Raises:
            Problem: 503 where too many wait already.
        """
        if self._folder is None:
            raise Problem(503, "stopping", "The server is not taking clips.", retry_after_s=_SWEEP_S)
        if self.open >= self._limits.jobs:
            raise Problem(
                503,
                "busy",
                f"{self.open} clips wait or are being read and no more than {self._limits.jobs} may.",
                retry_after_s=_SWEEP_S,
            )
        number = secrets.token_urlsafe(18)  # not to be guessed: who knows it may have the result
        job = Job(number, name, self._folder / number, options)
        job.folder.mkdir()
        self._jobs[number] = job
        return job

    def add(self, job: Job) -> None:
        """Put a job whose clip is there in line."""
        self._queue.put_nowait(job)

    def get(self, number: str) -> Job:
        """The job of that id.

        Raises:
            Problem: 404 where there is none, or no longer.
        """
        if number not in self._jobs:
            raise Problem(
                404,
                "no_such_job",
                f"There is no job {number[:40]!r}, or no longer: results are kept for "
                f"{self._limits.keep_s / 60:g} minutes.",
            )
        return self._jobs[number]

    async def remove(self, job: Job) -> None:
        """Give a job up and forget it, its clip and its result."""
        job.stop.set()
        self._jobs.pop(job.id, None)
        await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            if not job.stop.is_set():
                await self._finish(job)

    async def _finish(self, job: Job) -> None:
        reading = asyncio.create_task(asyncio.to_thread(read_clip, job, self._analyzers, self._limits))
        try:
            await asyncio.shield(reading)
        except asyncio.CancelledError:
            job.stop.set()
            with contextlib.suppress(Exception):  # nobody is left to be told
                await reading
            raise
        except MienError as error:
            self._fail(job, as_problem(error), str(error))
        except Exception as error:  # of this clip alone: the next one may be read
            log.error("reading a clip failed", exc_info=error)
            self._fail(job, as_problem(MienError()), "The server could not read it; its log says why.")
        job.ended_s = self._clock()
        await asyncio.to_thread(job.clip.unlink, missing_ok=True)

    def _fail(self, job: Job, problem: Problem, text: str) -> None:
        # Messages name the file, which clients know by another name.
        said = text.replace(str(job.clip), job.name)
        job.progress = replace(job.progress, state="failed", code=problem.code, problem=said)

    async def _sweep(self) -> None:
        """Throws away what was kept long enough."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            await self.throw_away_old()

    async def throw_away_old(self) -> None:
        """Forget the jobs that ended longer ago than results are kept."""
        now = self._clock()
        for job in list(self._jobs.values()):
            if job.ended_s is not None and now - job.ended_s >= self._limits.keep_s:
                await self.remove(job)
