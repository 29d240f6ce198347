"""A folder of jobs that several servers share: one analyzes a job, and each of them answers for it."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mien.errors import UsageError
from mien.files import write_atomically
from mien.names import json_text
from mien.serve.schemas import JobStatus
from mien.serve.video.job import JobOptions, VideoJob

_STATUS = "status.json"
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")  # a path of a client's must not lead elsewhere
# Progress is written this often; a change of state at once.
_EVERY_S = 1.0
# A job whose server has not written for so long is lost. Servers write at least every 30 s.
LOST_S = 120.0


class SharedFolder:
    """The statuses of jobs in a folder.

    Args:
        path: made if it is missing, for this user alone.
        clock: seconds since 1970; the servers' clocks should agree to some seconds.

    Raises:
        UsageError: the folder cannot be made, or every user of the machine may open it.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock = path, clock
        self._server = secrets.token_hex(8)
        self._written: dict[str, tuple[str, float]] = {}
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = path.stat().st_mode
        except OSError as error:
            raise UsageError(f"--jobs-dir {path} cannot be used: {error.strerror or error}.") from error
        if mode & 0o007:
            raise UsageError(
                f"--jobs-dir {path} can be opened by every user of the machine, and clips show people. "
                f"Close it: chmod o-rwx {path}"
            )

    def write(self, job: VideoJob) -> None:
        """Write a job's status, if it is news; stop a job whose folder another server has deleted."""
        now, state = self._clock(), job.status.state
        before = self._written.get(job.id)
        if before is not None and before[0] == state and now - before[1] < _EVERY_S:
            return
        ended = state in ("done", "failed")
        content = {"server": self._server, "written_s": now, "ended_s": now if ended else None}
        content |= {"options": asdict(job.options), "status": job.status.model_dump()}
        try:
            write_atomically(job.folder / _STATUS, json_text(content))
        except FileNotFoundError:
            job.stop.set()
        self._written[job.id] = (state, now)

    def beat(self, job: VideoJob) -> None:
        """Show the others that a job's server is alive."""
        self._written.pop(job.id, None)
        self.write(job)

    def read(self, job_id: str) -> VideoJob | None:
        """A job of any server, or None."""
        if not _ID.fullmatch(job_id):
            return None
        content = self._content(self.path / job_id)
        if content is None:
            return None
        status = JobStatus(**content["status"])
        job = VideoJob(job_id, status.source, self.path / job_id, JobOptions(**content["options"]))
        job.status = status
        if content["ended_s"] is None and self._clock() - content["written_s"] > LOST_S:
            job.fail("server_lost", "The server that analyzed the clip has ended. Send the clip again.")
        return job

    def remove_expired(self, keep_s: float) -> None:
        """Delete the jobs of all servers whose results were kept long enough, or that nobody finishes."""
        now = self._clock()
        for folder in self._folders():
            content = self._content(folder)
            if content is None:  # its clip is still on the way, or never came
                since = folder.stat().st_mtime
            else:
                since = content["ended_s"] or content["written_s"] + LOST_S
            if now - since >= keep_s:
                shutil.rmtree(folder, ignore_errors=True)

    def forget(self, job: VideoJob) -> None:
        """Keep nothing about a job in memory."""
        self._written.pop(job.id, None)

    def _folders(self) -> Iterator[Path]:
        return (path for path in self.path.iterdir() if path.is_dir() and _ID.fullmatch(path.name))

    @staticmethod
    def _content(folder: Path) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((folder / _STATUS).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content


def stopped(job: VideoJob) -> None:
    """Mark an unfinished job of a server that ends."""
    if job.status.state in ("waiting", "running"):
        job.fail("server_stopped", "The server that analyzed the clip was stopped. Send the clip again.")
