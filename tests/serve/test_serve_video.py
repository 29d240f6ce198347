"""`/v1/video`: a clip becomes a job, the job becomes a table; and refused requests."""

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
from mien.testing.clips import Actor, play, write_clip
from mien.video.analysis import analyze_video
from mien.video.output.table import columns

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
MP4 = {"Content-Type": "video/mp4"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of one face that moves."""
    with Image.open(PHOTO) as image:
        frames = list(pan(np.asarray(image.convert("RGB")), (320, 240), frames=10))
    return write_clip(tmp_path_factory.mktemp("clips") / "face.mp4", frames, rate=10)


def finished(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it is done or failed."""
    for _ in range(1200):
        now = client.get(f"/v1/video/{job['id']}").json()
        if now["state"] in ("done", "failed"):
            return dict(now)
        threading.Event().wait(0.05)
    pytest.fail("the clip was not read within a minute")


def on_disk(client: TestClient) -> list[str]:
    """The server's files on disk."""
    folder = client.app.state.service.jobs._folder  # type: ignore[attr-defined]
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_table_of_a_clip_equals_the_analyzers(client: TestClient, clip: Path, model: Path) -> None:
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
    response = client.get(done["result"])
    assert response.headers["content-type"].startswith("text/csv")
    got = list(csv.DictReader(io.StringIO(response.text)))
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
def test_the_table_has_the_requested_format(client: TestClient, clip: Path, form: str, kind: str) -> None:
    query = f"/v1/video?format={form}&interval=0.5&faces=biggest"
    job = client.post(query, content=clip.read_bytes(), headers=MP4).json()
    response = client.get(finished(client, job)["result"])
    assert response.headers["content-type"].startswith(kind)
    if form == "jsonl":
        frames = [json.loads(line)["frame"] for line in response.text.splitlines()]
    elif form == "json":
        frames = [result["frame"] for result in response.json()["results"]]
    else:
        import pyarrow.parquet as pq

        frames = pq.read_table(io.BytesIO(response.content)).column("frame").to_pylist()
    assert frames == [0, 5]  # every half second
    client.delete(f"/v1/video/{job['id']}")


def test_the_table_has_movements_on_request(client: TestClient, model: Path, clip: Path) -> None:
    analyzer = Analyzer(model, threads=1, labels="fer2013", movements=True)
    expected = [
        row for result in analyze_video(clip, analyzer=analyzer, interval_s=0.5) for row in result.rows()
    ]
    query = "/v1/video?interval=0.5&movements=on"
    job = client.post(query, content=clip.read_bytes(), headers=MP4).json()
    rows = list(csv.DictReader(io.StringIO(client.get(finished(client, job)["result"]).text)))
    assert list(rows[0]) == columns(analyzer.classifier.head, movements=True)
    for name in ("head_yaw", "gaze_pitch", "mouth_open"):
        assert [row[name] for row in rows] == [str(row[name]) for row in expected]
    client.delete(f"/v1/video/{job['id']}")


def test_a_person_who_returns_gets_their_number_back_unless_told_otherwise(
    client: TestClient, tmp_path: Path
) -> None:
    anna = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    seen = [Actor(anna, lambda t: (300, 180, 220) if t < 0.8 or t > 2.8 else None)]
    path = write_clip(tmp_path / "gone.mp4", play(seen, 3.6, rate=10), rate=10)
    numbers = {}
    for people in ("clip", "off"):
        job = client.post(f"/v1/video?people={people}", content=path.read_bytes(), headers=MP4).json()
        numbers[people] = [person["face_id"] for person in finished(client, job)["people"]]
        client.delete(f"/v1/video/{job['id']}")
    assert numbers == {"clip": [1], "off": [1, 2]}


def test_a_truncated_clip_gives_the_frames_before_the_cut(client: TestClient, tmp_path: Path) -> None:
    with Image.open(PHOTO) as image:
        frames = list(pan(np.asarray(image.convert("RGB")), (320, 240), frames=40))
    whole = write_clip(tmp_path / "whole.mkv", frames, rate=10)
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
def test_content_that_is_not_a_clip_is_refused(
    client: TestClient, content: bytes, kind: str, status: int, code: str
) -> None:
    response = client.post("/v1/video", content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert on_disk(client) == []


@pytest.mark.parametrize(
    "codec", [("mpeg4", ".mp4"), ("libvpx", ".webm"), ("mpeg4", ".avi"), ("mpeg2video", ".ts")]
)
def test_containers_are_recognized_by_their_first_bytes(codec: tuple[str, str], tmp_path: Path) -> None:
    frames = [np.full((64, 64, 3), 100, np.uint8)] * 20
    path = write_clip(tmp_path / f"clip{codec[1]}", frames, codec=codec[0])
    assert is_container(path.read_bytes()[:400])
    assert not is_container(PLAYLIST)
    assert not is_container(PHOTO.read_bytes()[:400])


def test_the_error_of_a_broken_clip_has_its_name_and_no_path(client: TestClient) -> None:
    files = [("clip", ("holiday.mp4", b"\0\0\0\x18ftypmp42" + b"\0" * 500))]
    done = finished(client, client.post("/v1/video", files=files).json())
    assert (done["state"], done["error"]["code"]) == ("failed", "unreadable")
    assert done["error"]["message"].startswith("holiday.mp4")
    assert "mien-" not in done["error"]["message"]
    response = client.get(f"/v1/video/{done['id']}/result")
    assert (response.status_code, response.json()["code"]) == (409, "not_ready")
    client.delete(f"/v1/video/{done['id']}")


@pytest.mark.parametrize(
    "query",
    ["format=exe", "interval=0", "interval=nan", "interval=x", "faces=mine", "people=all", "labels=x"],
)
def test_invalid_arguments_are_named(client: TestClient, clip: Path, query: str) -> None:
    response = client.post(f"/v1/video?{query}", content=clip.read_bytes(), headers=MP4)
    assert response.status_code == 422
    assert query.partition("=")[0] in response.json()["message"]


@pytest.mark.parametrize("call", [("GET", ""), ("GET", "/result"), ("DELETE", "")])
def test_a_missing_job_is_reported(client: TestClient, call: tuple[str, str]) -> None:
    response = client.request(call[0], f"/v1/video/nothing{call[1]}")
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")


class TestLimits:
    def test_a_too_large_clip_is_cut_off(self, make_client: Callable[..., TestClient], clip: Path) -> None:
        client = make_client(video_bytes=5000)
        response = client.post("/v1/video", content=clip.read_bytes(), headers=MP4)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        assert on_disk(client) == []

    @pytest.mark.parametrize("limit", [{"video_s": 0.5}, {"pixels": 1000}])
    def test_a_clip_that_is_too_long_or_has_too_large_frames_fails(
        self, make_client: Callable[..., TestClient], clip: Path, limit: dict[str, float]
    ) -> None:
        client = make_client(**limit)
        done = finished(client, client.post("/v1/video", content=clip.read_bytes(), headers=MP4).json())
        assert (done["state"], done["error"]["code"]) == ("failed", "image_too_large")
        assert "limit" in done["error"]["message"]

    def test_one_clip_too_many_gets_503_and_a_running_one_can_be_deleted(
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
        response = client.post("/v1/video", content=clip.read_bytes(), headers=MP4)
        assert (response.status_code, response.json()["code"]) == (503, "busy")
        assert "retry-after" in response.headers
        assert client.delete(f"/v1/video/{first['id']}").status_code == 204
        assert client.post("/v1/video", content=clip.read_bytes(), headers=MP4).status_code == 202

    def test_results_are_deleted_after_the_limit(
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


def test_the_server_continues_after_a_clip_that_fails_unexpectedly(
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


def test_running_jobs_do_not_delay_the_stop_of_the_server(model: Path, clip: Path) -> None:
    """Stopping waits for the current frame, not for the end of the clip."""
    from mien.serve.settings import Limits
    from mien.serve.video.job import JobOptions
    from mien.serve.video.queue import JobQueue

    async def main() -> None:
        jobs = JobQueue(
            lambda _labels, *, movements: Analyzer(model, threads=1, movements=movements), Limits()
        )
        jobs.start()
        job = jobs.reserve("long.mp4", JobOptions("fer2013"))
        job.clip.write_bytes(clip.read_bytes())
        jobs.add(job)
        while job.status.state == "waiting":
            await asyncio.sleep(0.005)
        await asyncio.wait_for(jobs.stop(), 20)
        assert not job.folder.exists()

    asyncio.run(main())
