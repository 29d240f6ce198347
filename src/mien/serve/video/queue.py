"""Clips that are analyzed one after the other in the background.

Clips are the only uploads that are written to disk: to a folder that only the server's user can open, and
that is deleted with the job. Several servers may share the folder of their jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mien.serve.errors import ServiceError, to_service_error
from mien.serve.settings import Limits
from mien.serve.video.job import AnalyzerOf, JobOptions, VideoJob, analyze_clip
from mien.serve.video.shared_folder import SharedFolder, stopped

_CLEANUP_S = 30.0


class JobQueue:
    """The jobs of one server; one runs at a time, since each keeps the cores busy.

    Args:
        analyzer_of: returns the analyzer of a label set.
        limits: how many, how long and how large clips may be, and how long results are kept.
        folder: of jobs, shared with other servers; for None a private one that is deleted at the end.
        clock: seconds, for the age of results.

    Raises:
        UsageError: the folder cannot be used.
    """

    def __init__(
        self,
        analyzer_of: AnalyzerOf,
        limits: Limits,
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._analyzer_of, self._limits, self._clock = analyzer_of, limits, clock
        self._jobs: dict[str, VideoJob] = {}
        self._folder: Path | None = None
        self._shared = None if folder is None else SharedFolder(folder)
        self._queue: asyncio.Queue[VideoJob] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def open(self) -> int:
        """Jobs that wait or run."""
        return sum(job.status.state in ("waiting", "running") for job in self._jobs.values())

    def start(self) -> None:
        """Start to run jobs; to be called in the event loop."""
        # Only this user may open it.
        self._folder = self._shared.path if self._shared else Path(tempfile.mkdtemp(prefix="mien-"))
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._clean_up())]

    async def stop(self) -> None:
        """Stop all jobs, and delete all files but the results in a shared folder."""
        for job in self._jobs.values():
            job.stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._shared:
            for job in self._jobs.values():
                stopped(job)
                await asyncio.to_thread(job.clip.unlink, missing_ok=True)
        elif self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def reserve(self, name: str, options: JobOptions) -> VideoJob:
        """A new job; write its clip to `VideoJob.clip`, then call `add` (or `remove`).

        Raises:
            ServiceError: 503 if too many jobs are open.
        """
        if self._folder is None:
            raise ServiceError(
                503, "unavailable", "The server is starting or stopping.", retry_after_s=_CLEANUP_S
            )
        if self.open >= self._limits.jobs:
            raise ServiceError(
                503,
                "busy",
                f"{self.open} clips are waiting or running; the limit is {self._limits.jobs}.",
                retry_after_s=_CLEANUP_S,
            )
        job_id = secrets.token_urlsafe(18)  # cannot be guessed: the id gives access to the result
        job = VideoJob(job_id, name, self._folder / job_id, options)
        job.on_update = self._shared.write if self._shared else None
        job.folder.mkdir()
        self._jobs[job_id] = job
        return job

    def add(self, job: VideoJob) -> None:
        """Queue a job whose clip is saved."""
        job.update()
        self._queue.put_nowait(job)

    def get(self, job_id: str) -> VideoJob:
        """The job with this id.

        Raises:
            ServiceError: 404 if there is none, or no longer.
        """
        job = self._jobs.get(job_id)
        if self._shared and (job is None or not job.folder.is_dir()):
            job = self._shared.read(job_id)
        if job is None:
            raise ServiceError(
                404,
                "job_not_found",
                f"There is no job {job_id[:40]!r}, or no longer: results are kept for "
                f"{self._limits.keep_s / 60:g} minutes.",
            )
        return job

    async def remove(self, job: VideoJob) -> None:
        """Stop a job and delete its clip and its result."""
        job.stop.set()
        self._jobs.pop(job.id, None)
        if self._shared:
            self._shared.forget(job)
        await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)

    async def remove_expired(self) -> None:
        """Remove the jobs whose results were kept long enough."""
        now = self._clock()
        for job in list(self._jobs.values()):
            if job.ended_s is not None and now - job.ended_s >= self._limits.keep_s:
                await self.remove(job)
        if self._shared:
            for job in self._jobs.values():
                if job.ended_s is None and job.folder.is_dir():
                    await asyncio.to_thread(self._shared.beat, job)
            await asyncio.to_thread(self._shared.remove_expired, self._limits.keep_s)

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            if not job.stop.is_set():
                await self._run(job)

    async def _run(self, job: VideoJob) -> None:
        analysis = asyncio.create_task(asyncio.to_thread(analyze_clip, job, self._analyzer_of, self._limits))
        try:
            await asyncio.shield(analysis)
        except asyncio.CancelledError:
            job.stop.set()
            with contextlib.suppress(Exception):  # nobody waits for its result
                await analysis
            raise
        except Exception as raised:  # of this clip only: the next one may succeed
            error = to_service_error(raised)
            # Messages contain the path of the file; clients know it by another name.
            message = error.message.replace(str(job.clip), job.name)
            job.fail(error.code, message)
        job.ended_s = self._clock()
        await asyncio.to_thread(job.clip.unlink, missing_ok=True)

    async def _clean_up(self) -> None:
        while True:
            await asyncio.sleep(_CLEANUP_S)
            await self.remove_expired()
