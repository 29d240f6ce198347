"""Several servers with one folder of jobs, behind a proxy that takes the next server for each request."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.errors import UsageError
from mien.serve.video.job import JobOptions, VideoJob
from mien.serve.video.shared_folder import LOST_S, SharedFolder, stopped
from mien.testing.camera import pan
from mien.testing.clips import write_clip

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A second of one face that moves."""
    with Image.open(PHOTO) as image:
        frames = list(pan(np.asarray(image.convert("RGB")), (320, 240), frames=10))
    return write_clip(tmp_path_factory.mktemp("clips") / "face.mp4", frames, rate=10).read_bytes()


@contextmanager
def process(model: Path, jobs: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`mien serve` as a process of its own, and its port."""
    code = "from mien.cli.app import main; main()"
    options = ["serve", "--port", "0", "--model", str(model), "--workers", "1", "--jobs-dir", str(jobs)]
    server = subprocess.Popen(
        [sys.executable, "-c", code, *options, "--grace", "0"], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    with server.stderr:
        line = server.stderr.readline()
        rest = threading.Thread(target=server.stderr.read)
        rest.start()
        try:
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found, line
            yield server, int(found[1])
        finally:
            server.terminate()
            server.wait(30)
            rest.join()


@contextmanager
def balancer(ports: list[int]) -> Iterator[tuple[str, list[int]]]:
    """The address of a proxy that hands each request to the next server, and the servers in their order."""
    following, taken = cycle(ports), []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            port = next(following)
            taken.append(port)
            server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {"Content-Type": self.headers.get("Content-Type") or "", "Host": f"127.0.0.1:{port}"}
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            content = answer.read()
            server.close()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = handle_request

        def log_message(self, *_: Any) -> None: ...

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", taken
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def call(method: str, address: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(address, body, {"Content-Type": "video/mp4"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def test_each_server_answers_for_a_job_of_another(model: Path, clip: bytes, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    with process(model, jobs) as (_, one), process(model, jobs) as (_, two), balancer([one, two]) as (
        address, taken
    ):  # fmt: skip
        for port in (one, two):
            until = time.monotonic() + 60
            while call("GET", f"http://127.0.0.1:{port}/readyz")[0] != 200 and time.monotonic() < until:
                time.sleep(0.1)
        started = [json.loads(call("POST", f"{address}/v1/video", clip)[1]) for _ in range(2)]
        for job in started:
            states: dict[int, str] = {}
            until = time.monotonic() + 120
            while set(states.values()) != {"done"} or len(states) < 2:
                assert time.monotonic() < until, states
                status, content = call("GET", f"{address}/v1/video/{job['id']}")
                assert status == 200, content
                states[taken[-1]] = json.loads(content)["state"]
                time.sleep(0.05)
            tables = {call("GET", f"{address}/v1/video/{job['id']}/result")[1] for _ in range(2)}
            assert len(tables) == 1
            assert tables.pop().count(b"\n") == 11
            # The one that is next deletes it, whoever analyzed it; then none has it.
            assert call("DELETE", f"{address}/v1/video/{job['id']}")[0] == 204
            assert {call("GET", f"{address}/v1/video/{job['id']}")[0] for _ in range(2)} == {404}
        assert {one, two} == set(taken)
        assert list(jobs.iterdir()) == []


def test_the_results_of_a_server_that_ended_stay(model: Path, clip: bytes, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    with process(model, jobs) as (server, port):
        address = f"http://127.0.0.1:{port}/v1/video"
        until = time.monotonic() + 60
        while call("GET", f"http://127.0.0.1:{port}/readyz")[0] != 200 and time.monotonic() < until:
            time.sleep(0.1)
        job = json.loads(call("POST", address, clip)[1])["id"]
        while json.loads(call("GET", f"{address}/{job}")[1])["state"] != "done":
            time.sleep(0.05)
        server.terminate()
        server.wait(30)
    with process(model, jobs) as (_, port):
        assert call("GET", f"http://127.0.0.1:{port}/v1/video/{job}/result")[0] == 200
    assert not list(jobs.rglob("clip"))


class TestSharedFolder:
    def make(self, folder: Path) -> tuple[list[float], SharedFolder, SharedFolder, VideoJob]:
        """Two servers, their clock, and a job of the first."""
        now = [1000.0]
        first, second = (SharedFolder(folder, clock=lambda: now[0]) for _ in range(2))
        job = VideoJob("a-job-that-nobody-guesses", "face.mp4", folder / "a-job-that-nobody-guesses",
                       JobOptions("votes"))  # fmt: skip
        job.folder.mkdir()
        job.on_update = first.write
        job.update()
        return now, first, second, job

    def test_a_job_is_read_with_its_options_and_progress(self, tmp_path: Path) -> None:
        now, _, second, job = self.make(tmp_path / "jobs")
        now[0] += 2
        job.update(state="running", frames=3, time_s=0.3, duration_s=1.0)
        read = second.read(job.id)
        assert read is not None
        assert (read.options, read.status, read.result) == (job.options, job.status, job.result)
        assert second.read("../secret") is second.read("no-such-job") is None

    def test_a_job_of_a_lost_server_fails_and_a_stopped_one_too(self, tmp_path: Path) -> None:
        now, first, second, job = self.make(tmp_path / "jobs")
        now[0] += LOST_S - 1
        first.beat(job)
        now[0] += LOST_S - 1
        assert second.read(job.id).status.state == "waiting"
        now[0] += 2
        lost = second.read(job.id).status
        assert (lost.state, lost.error.code) == ("failed", "server_lost")
        stopped(job)
        assert second.read(job.id).status.error.code == "server_stopped"

    def test_expired_jobs_and_abandoned_uploads_are_removed(self, tmp_path: Path) -> None:
        now, _, second, job = self.make(tmp_path / "jobs")
        abandoned = tmp_path / "jobs" / "upload-of-nobody"
        abandoned.mkdir()
        os.utime(abandoned, (now[0], now[0]))
        job.update(state="done")
        now[0] += 50
        second.remove_expired(60)
        assert job.folder.exists()
        now[0] += 11
        second.remove_expired(60)
        assert list((tmp_path / "jobs").iterdir()) == []

    def test_a_job_that_another_server_deleted_stops(self, tmp_path: Path) -> None:
        now, _, _, job = self.make(tmp_path / "jobs")
        (job.folder / "status.json").unlink()
        job.folder.rmdir()
        now[0] += 2
        job.update(state="running")
        assert job.stop.is_set()

    def test_a_folder_that_everybody_may_open_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o755)
        with pytest.raises(UsageError, match="chmod o-rwx"):
            SharedFolder(tmp_path / "open")
        SharedFolder(tmp_path / "new" / "jobs")
        assert (tmp_path / "new" / "jobs").stat().st_mode & 0o777 == 0o700
