"""`/v1/video`: a clip becomes a job, the job a table; and what is refused."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from mien.inference.analyzer import Analyzer
from mien.serve.uploads import is_container
from mien.serve.video import queue
from mien.testing.camera import pan
from mien.testing.clips import write_clip
from mien.video.analysis import analyze_video

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
MP4 = {"Content-Type": "video/mp4"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of one face that moves."""
    with Image.open(PHOTO) as image:
        pictures = list(pan(np.asarray(image.convert("RGB")), (320, 240), frames=10))
    return write_clip(tmp_path_factory.mktemp("clips") / "face.mp4", pictures, rate=10)


def finished(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it is done or failed."""
    for _ in range(1200):
        now = client.get(f"/v1/video/{job['id']}").json()
        if now["state"] in ("done", "failed"):
            return dict(now)
        threading.Event().wait(0.05)
    pytest.fail("the clip was not read within a minute")


def on_disk(client: TestClient) -> list[str]:
    """What the server has on disk."""
    folder = client.app.state.service.jobs._folder  # type: ignore[attr-defined]
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_clip_becomes_the_table_that_the_analyzer_gives(
    client: TestClient, clip: Path, model: Path
) -> None:
    begun = client.post("/v1/video?labels=fer2013", files=[("clip", ("face.mp4", clip.read_bytes()))])
    assert begun.status_code == 202
    job = begun.json()
    assert begun.headers["location"] == f"/v1/video/{job['id']}"
    done = finished(client, job)
    assert (done["state"], done["progress"], done["frames"], done["error"], done["warning"]) == (
        "done",
        1.0,
        10,
        None,
        None,
    )
    assert done["source"] == "face.mp4"
    answer = client.get(done["result"])
    assert answer.headers["content-type"].startswith("text/csv")
    got = list(csv.DictReader(io.StringIO(answer.text)))
    analyzer = Analyzer(model, threads=1, labels="fer2013")
    expected = [row for result in analyze_video(clip, analyzer=analyzer) for row in result.rows()]
    assert len(got) == len(expected) == 10
    for left, right in zip(got, expected, strict=True):
        assert left["source"] == "face.mp4"
        for name, value in right.items():
            if name != "source":
                assert left[name] == str(value), name
    (person,) = done["people"]
    assert person["face_id"] == 1
    assert sum(person["emotions"].values()) == pytest.approx(person["seconds"], abs=0.01)
    assert on_disk(client) == ["faces.csv"]  # the clip is gone
    assert client.delete(f"/v1/video/{job['id']}").status_code == 204
    assert on_disk(client) == []
    assert client.get(f"/v1/video/{job['id']}").status_code == 404


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("jsonl", "application/x-ndjson"),
        ("json", "application/json"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
def test_the_table_comes_in_the_form_that_was_asked_for(
    client: TestClient, clip: Path, form: str, kind: str
) -> None:
    query = f"/v1/video?format={form}&interval=0.5&faces=biggest"
    job = client.post(query, content=clip.read_bytes(), headers=MP4).json()
    answer = client.get(finished(client, job)["result"])
    assert answer.headers["content-type"].startswith(kind)
    if form == "jsonl":
        frames = [json.loads(line)["frame"] for line in answer.text.splitlines()]
    elif form == "json":
        frames = [result["frame"] for result in answer.json()["results"]]
    else:
        import pyarrow.parquet as pq

        frames = pq.read_table(io.BytesIO(answer.content)).column("frame").to_pylist()
    assert frames == [0, 5]  # every half second
    client.delete(f"/v1/video/{job['id']}")


def test_a_clip_that_is_cut_short_gives_what_could_be_read(client: TestClient, tmp_path: Path) -> None:
    with Image.open(PHOTO) as image:
        pictures = list(pan(np.asarray(image.convert("RGB")), (320, 240), frames=40))
    whole = write_clip(tmp_path / "whole.mkv", pictures, rate=10)
    cut = whole.read_bytes()[: whole.stat().st_size // 2]
    done = finished(
        client, client.post("/v1/video", content=cut, headers={"Content-Type": "video/x-matroska"}).json()
    )
    assert done["state"] == "done"
    assert 5 < done["frames"] < 40
    assert "ended at" in done["warning"]
    client.delete(f"/v1/video/{done['id']}")


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"https://example.org/clip.mp4", "text/plain", 415, "unsupported_content_type"),
        (b"no clip", "video/mp4", 422, "unsupported_video"),
        (b"", "video/mp4", 422, "unsupported_video"),
        (PLAYLIST, "video/mp4", 422, "unsupported_video"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "application/octet-stream", 422, "unsupported_video"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422, "no_file"),
    ],
)
def test_what_is_no_clip_is_refused(
    client: TestClient, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = client.post("/v1/video", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert on_disk(client) == []


@pytest.mark.parametrize(
    "codec", [("mpeg4", ".mp4"), ("libvpx", ".webm"), ("mpeg4", ".avi"), ("mpeg2video", ".ts")]
)
def test_containers_are_known_by_how_they_begin(codec: tuple[str, str], tmp_path: Path) -> None:
    pictures = [np.full((64, 64, 3), 100, np.uint8)] * 20
    path = write_clip(tmp_path / f"clip{codec[1]}", pictures, codec=codec[0])
    assert is_container(path.read_bytes()[:400])
    assert not is_container(PLAYLIST)
    assert not is_container(PHOTO.read_bytes()[:400])


def test_a_file_that_only_begins_like_a_clip_fails_with_its_name_and_no_path(client: TestClient) -> None:
    files = [("clip", ("holiday.mp4", b"\0\0\0\x18ftypmp42" + b"\0" * 500))]
    done = finished(client, client.post("/v1/video", files=files).json())
    assert (done["state"], done["error"]["code"]) == ("failed", "unreadable")
    assert done["error"]["message"].startswith("holiday.mp4")
    assert "mien-" not in done["error"]["message"]
    answer = client.get(f"/v1/video/{done['id']}/result")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    client.delete(f"/v1/video/{done['id']}")


@pytest.mark.parametrize(
    "query", ["format=exe", "interval=0", "interval=nan", "interval=x", "faces=mine", "labels=x"]
)
def test_arguments_that_make_no_sense_are_named(client: TestClient, clip: Path, query: str) -> None:
    answer = client.post(f"/v1/video?{query}", content=clip.read_bytes(), headers=MP4)
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["message"]


@pytest.mark.parametrize("call", [("GET", ""), ("GET", "/result"), ("DELETE", "")])
def test_a_job_that_is_not_there_is_said(client: TestClient, call: tuple[str, str]) -> None:
    answer = client.request(call[0], f"/v1/video/nothing{call[1]}")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


class TestLimits:
    def test_a_clip_that_is_too_large_is_cut_off(
        self, make_client: Callable[..., TestClient], clip: Path
    ) -> None:
        client = make_client(video_bytes=5000)
        answer = client.post("/v1/video", content=clip.read_bytes(), headers=MP4)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert on_disk(client) == []

    @pytest.mark.parametrize("limit", [{"video_s": 0.5}, {"pixels": 1000}])
    def test_a_clip_that_is_too_long_or_has_too_large_pictures_fails(
        self, make_client: Callable[..., TestClient], clip: Path, limit: dict[str, float]
    ) -> None:
        client = make_client(**limit)
        done = finished(client, client.post("/v1/video", content=clip.read_bytes(), headers=MP4).json())
        assert (done["state"], done["error"]["code"]) == ("failed", "image_too_large")
        assert "limit" in done["error"]["message"]

    def test_one_clip_too_many_is_told_to_come_later_and_a_running_one_can_be_given_up(
        self, make_client: Callable[..., TestClient], clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = threading.Event()

        def slowly(job: Any, *_: Any) -> None:
            begun.set()
            assert job.stop.wait(30)

        monkeypatch.setattr(queue, "analyze_clip", slowly)
        client = make_client(jobs=1)
        first = client.post("/v1/video", content=clip.read_bytes(), headers=MP4).json()
        assert begun.wait(30)
        answer = client.post("/v1/video", content=clip.read_bytes(), headers=MP4)
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert "retry-after" in answer.headers
        assert client.delete(f"/v1/video/{first['id']}").status_code == 204
        assert client.post("/v1/video", content=clip.read_bytes(), headers=MP4).status_code == 202

    def test_results_are_thrown_away_after_a_while(
        self, make_client: Callable[..., TestClient], clip: Path
    ) -> None:
        client = make_client(keep_s=60)
        jobs = client.app.state.service.jobs  # type: ignore[attr-defined]
        now = [0.0]
        jobs._clock = lambda: now[0]
        done = finished(client, client.post("/v1/video", content=clip.read_bytes(), headers=MP4).json())
        assert client.portal is not None
        for seconds, status in ((59.0, 200), (61.0, 404)):
            now[0] = seconds
            client.portal.call(jobs.remove_expired)
            assert client.get(f"/v1/video/{done['id']}").status_code == status
        assert on_disk(client) == []

    def test_nothing_is_left_on_disk_when_the_server_stops(self, model: Path, clip: Path) -> None:
        from mien.serve.app import create_app
        from mien.serve.settings import Settings

        app = create_app(Settings(model=model))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            client.post("/v1/video", content=clip.read_bytes(), headers=MP4)
            folder = app.state.service.jobs._folder
            assert folder.stat().st_mode & 0o077 == 0
        assert not folder.exists()


def test_the_server_goes_on_behind_a_clip_that_breaks_it(
    make_client: Callable[..., TestClient], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = queue.analyze_clip

    def breaks(*_: Any) -> None:
        raise ZeroDivisionError

    client = make_client()
    monkeypatch.setattr(queue, "analyze_clip", breaks)
    failed = finished(client, client.post("/v1/video", content=clip.read_bytes(), headers=MP4).json())
    assert (failed["state"], failed["error"]["code"]) == ("failed", "internal_error")
    monkeypatch.setattr(queue, "analyze_clip", read)
    done = finished(client, client.post("/v1/video", content=clip.read_bytes(), headers=MP4).json())
    assert done["state"] == "done"


def test_jobs_that_are_given_up_while_the_server_stops_do_not_hold_it(model: Path, clip: Path) -> None:
    """Stopping waits for the reader to notice, not for the clip's end."""
    from mien.serve.settings import Limits
    from mien.serve.video.job import JobOptions
    from mien.serve.video.queue import JobQueue

    async def main() -> None:
        jobs = JobQueue({"fer2013": Analyzer(model, threads=1)}, Limits())
        jobs.start()
        job = jobs.reserve("long.mp4", JobOptions("fer2013"))
        job.clip.write_bytes(clip.read_bytes())
        jobs.add(job)
        while job.status.state == "waiting":
            await asyncio.sleep(0.005)
        await asyncio.wait_for(jobs.stop(), 20)
        assert not job.folder.exists()

    asyncio.run(main())
