"""The server of `mien view`: what the page gets, what it may change, and who may ask."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from starlette.testclient import TestClient

import mien
from mien.emotions import FER2013
from mien.errors import UsageError
from mien.models.card import Head
from mien.serve.viewer.app import Viewer, create_viewer, viewer_files
from mien.serve.viewer.faces import (
    ClipFaces,
    events_of,
    frames_of,
    load_faces,
    people_of,
    timeline_of,
    uncertain_stretches,
)
from mien.serve.viewer.session import Session
from mien.video.opening import open_video
from mien.video.options.study import StudyOptions
from mien.video.results import FrameResult
from mien.video.study.correct import clip_corrections
from mien.video.study.corrections import FILE, corrections_of
from mien.video.study.rewrite import clip_results

Entry = dict[str, Any]
Open = Callable[..., TestClient]

MERGE: Entry = {"clip": "two", "kind": "merge", "people": [3], "into": 1}
MARK: Entry = {"clip": "two", "kind": "mark", "person": 2, "from_s": 0.4, "to_s": 0.8, "emotion": "fear"}
SPLIT: Entry = {"clip": "two", "kind": "split", "person": 2, "at_s": 0.6, "new": 9}
NOBODY: Entry = {"clip": "two", "kind": "exclude", "person": None, "from_s": 1.2, "to_s": 1.4}


@pytest.fixture
def folder(study: Path, tmp_path: Path) -> Path:
    """A study of its own for a test."""
    return Path(shutil.copytree(study, tmp_path / "study"))


@pytest.fixture
def open_viewer() -> Iterator[Open]:
    with ExitStack() as stack:

        def make(folder: Path, clips: Path | None = None, **options: Any) -> TestClient:
            app = create_viewer(Viewer(Session(folder, clips), 0))
            return stack.enter_context(TestClient(app, base_url="http://127.0.0.1:8000", **options))

        yield make


@pytest.fixture
def client(folder: Path, open_viewer: Open) -> TestClient:
    return open_viewer(folder)


def ask(client: TestClient, path: str, **query: Any) -> Any:
    response = client.get(f"/v1/{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "two" / f"{name}.parquet")


def files_of(folder: Path) -> dict[str, bytes]:
    """But what the viewer keeps for itself."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".npz"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_study_lists_its_clips(client: TestClient, folder: Path) -> None:
    found = ask(client, "study")
    assert found["folder"] == str(folder)
    assert [clip["name"] for clip in found["clips"]] == ["old", "two"]
    assert all(clip["present"] and not clip["changed"] for clip in found["clips"])
    assert (found["entries"], found["behind"], found["undo"]) == ([], [], {"old": None, "two": None})


def test_people_events_and_uncertain_stretches_are_those_of_the_tables(
    client: TestClient, folder: Path
) -> None:
    clip = ask(client, "clip", name="two")
    for person, row in zip(clip["people"], table(folder, "people").to_dict("records"), strict=True):
        assert (person["id"], person["top"], person["name"]) == (row["face_id"], row["top"], None)
        assert person["seconds"] == pytest.approx(row["seconds"], abs=1e-3)
        assert person["uncertain"] == pytest.approx(row["uncertain"], abs=1e-3)
        assert person["warned"] == pytest.approx(row["warned"], abs=1e-3)
    events = table(folder, "events")
    assert [event["person"] for event in clip["events"]] == events["face_id"].tolist()
    assert [event["from_s"] for event in clip["events"]] == pytest.approx(events["onset_s"].tolist())
    unsure = table(folder, "frames")
    unsure = unsure[unsure["uncertain"].fillna(False).astype(bool)]
    inside = [
        any(s["person"] == p and s["from_s"] <= t + 1e-6 and t < s["to_s"] for s in clip["uncertain"])
        for p, t in zip(unsure["face_id"], unsure["time_s"], strict=True)
    ]
    assert np.mean(inside) > 0.9  # runs of a few frames are left out
    assert clip["to_s"] == pytest.approx(2.0)


def test_frames_are_the_rows_of_the_table(client: TestClient, folder: Path) -> None:
    frames = table(folder, "frames").dropna(subset="face_id")
    got = ask(client, "frames", name="two", from_s=0.5, to_s=1.5)
    assert got["to_s"] == pytest.approx(1.52)
    rows = [(number, *face) for number, _, faces in got["frames"] for face in faces]
    expected = frames[frames["frame"].between(rows[0][0], rows[-1][0])]
    assert [row[:2] for row in rows] == list(zip(expected["frame"], expected["face_id"], strict=True))
    assert np.array([row[2:6] for row in rows]) == pytest.approx(
        expected[["x", "y", "box_width", "box_height"]].to_numpy(), abs=0.06
    )
    labels = ask(client, "clip", name="two")["labels"]
    assert [row[8] for row in rows] == expected["warnings"].tolist()
    assert np.array([row[9:] for row in rows]) == pytest.approx(expected[labels].to_numpy(), abs=6e-4)
    whole = ask(client, "frames", name="two", from_s=0, to_s=100)
    assert (len(whole["frames"]), whole["to_s"]) == (50, None)
    assert client.get("/v1/frames", params={"name": "two", "from_s": 0, "to_s": 1000}).status_code == 422


def test_a_timeline_has_the_mean_of_each_bin(client: TestClient, folder: Path) -> None:
    frames = table(folder, "frames")
    lanes = ask(client, "timeline", name="two", from_s=0, to_s=2, bins=5)["lanes"]
    assert {lane["id"]: [row[0] for row in lane["bins"]] for lane in lanes} == {
        1: [0, 1, 2], 2: [0, 1, 2, 3, 4], 3: [2, 3, 4]
    }  # fmt: skip
    labels = ask(client, "clip", name="two")["labels"]
    for lane in lanes:
        for number, uncertain, corrected, *shares in lane["bins"]:
            inside = frames["time_s"].between(0.4 * number - 1e-6, 0.4 * (number + 1) - 1e-3)
            mine = frames[(frames["face_id"] == lane["id"]) & inside]
            assert shares == pytest.approx(mine[labels].mean().tolist(), abs=1.5e-3)
            assert (uncertain, corrected) == (pytest.approx(mine["uncertain"].mean(), abs=1e-3), 0)
    fine = ask(client, "timeline", name="two", from_s=0, to_s=2, bins=1000)["lanes"][1]["bins"]
    assert len(fine) == 1000  # a frame fills all bins in which it is shown


def test_corrections_are_written_at_once_and_tables_when_they_are_saved(
    client: TestClient, folder: Path, study: Path, tmp_path: Path
) -> None:
    before = files_of(folder)
    for number, entry in enumerate((MERGE, MARK), start=1):
        response = client.post("/v1/corrections", json=entry)
        assert response.status_code == 200, response.text
        assert response.json()["entries"][-1] == {"number": number, **entry, "in_effect": True}
        assert response.json()["behind"] == ["two"]
    assert {name: body for name, body in files_of(folder).items() if name != FILE} == before
    clip = ask(client, "clip", name="two")
    assert [person["id"] for person in clip["people"]] == [1, 2]
    assert clip["people"][1]["corrected"] == pytest.approx(0.2, abs=1e-3)
    assert client.post("/v1/save").json()["behind"] == []
    copy = shutil.copytree(study, tmp_path / "copy")
    mien.apply_corrections(copy, folder / FILE)
    assert files_of(copy) == files_of(folder)


def test_undo_and_redo_go_back_and_forth(client: TestClient, folder: Path) -> None:
    def post(**entry: Any) -> tuple[int | None, int | None, list[int]]:
        found = client.post("/v1/corrections", json={"clip": "two", **entry}).json()
        effective = [it["number"] for it in found["entries"] if it["in_effect"] and it["kind"] != "undo"]
        return found["undo"]["two"], found["redo"]["two"], effective

    assert post(**MERGE) == (1, None, [1])
    assert post(**MARK) == (2, None, [1, 2])
    assert post(kind="undo", entry=2) == (1, 3, [1])
    assert post(kind="undo", entry=1) == (None, 4, [])
    assert post(kind="undo", entry=4) == (1, 3, [1])
    assert post(kind="undo", entry=3) == (2, None, [1, 2])
    assert post(kind="undo", entry=2) == (1, 7, [1])
    assert post(**SPLIT) == (8, None, [1, 8])  # behind another correction, there is nothing to redo
    assert len(json.loads((folder / FILE).read_text())["entries"]) == 8


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**MERGE, "people": [2]}, "both seen in frame"),
        ({**MERGE, "people": [7]}, "no person 7"),
        ({**MERGE, "clip": "three"}, "no clip 'three'"),
        ({**MARK, "emotion": "joy"}, "emotion is 'joy'"),
        ({"kind": "undo", "entry": 1}, "does not come before it"),
        ({"kind": "mrge"}, "the kind is 'mrge'"),
        ([], "valid dictionary"),
    ],
)
def test_a_correction_that_does_not_fit_is_refused_and_not_written(
    client: TestClient, folder: Path, entry: Any, message: str
) -> None:
    response = client.post("/v1/corrections", json=entry)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_argument")
    assert message in response.json()["message"]
    assert not (folder / FILE).exists()


def test_the_page_shows_what_the_tables_will_have(folder: Path) -> None:
    """Both apply the same corrections, to arrays and to the log. Only smoothing beside a split differs."""
    entries = [MERGE, MARK, SPLIT, NOBODY, {"clip": "two", "kind": "rename", "person": 9, "name": "Ada"}]
    shown = load_faces(folder / "two").with_corrections(clip_corrections(corrections_of(entries), "two"))
    mien.apply_corrections(folder, entries)
    frames = table(folder, "frames").dropna(subset="face_id")
    kept = shown.people > 0
    assert shown.frames[shown.frame_of[kept]].tolist() == frames["frame"].tolist()
    assert shown.people[kept].tolist() == frames["face_id"].tolist()
    assert shown.corrected[kept].tolist() == frames["corrected"].tolist()
    assert shown.emotions[kept] == pytest.approx(frames[shown.labels].to_numpy(), abs=0.02)


def test_the_faces_of_a_log_are_kept_until_it_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replays = []

    def counted(clip: Path) -> Iterator[FrameResult]:
        replays.append(clip)
        return clip_results(clip)

    monkeypatch.setattr("mien.serve.viewer.faces.clip_results", counted)
    clip = folder / "two"
    first, again = load_faces(clip), load_faces(clip)
    assert len(replays) == 1
    for name in ("frames", "times_s", "first", "people", "boxes", "emotions", "uncertain", "warnings"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert getattr(first, name).dtype == getattr(again, name).dtype
    (kept,) = clip.glob("*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    load_faces(clip)
    os.utime(clip / "log.jsonl")
    load_faces(clip)
    assert len(replays) == 3
    kept.unlink()
    kept.mkdir()  # so that nothing can be written there
    load_faces(clip)
    assert "cannot be written" in caplog.text


def test_an_undo_is_checked_in_the_clip_of_its_entry(client: TestClient) -> None:
    for entry in (SPLIT, {"clip": "two", "kind": "rename", "person": 9, "name": "Ada"}):
        assert client.post("/v1/corrections", json=entry).status_code == 200
    response = client.post("/v1/corrections", json={"clip": "old", "kind": "undo", "entry": 1})
    assert response.status_code == 422
    assert "entry 2 (rename): the clip has no person 9" in response.json()["message"]


@pytest.mark.parametrize("times", [[], [0.0]])
def test_a_clip_without_faces_has_nothing_to_show(times: list[float]) -> None:
    count = len(times)
    none, no = np.zeros(0, np.int64), np.zeros(0, np.bool_)
    boxes, shares = np.zeros((0, 4), np.float32), np.zeros((0, 7), np.float32)
    first = np.zeros(count + 1, np.int64)
    clip = ClipFaces(
        "a.mp4",
        Head("fer2013", FER2013),
        np.arange(count),
        np.array(times),
        first,
        none,
        boxes,
        shares,
        no,
        none.astype(np.uint16),
        np.array([""]),
        no,
    )
    assert people_of(clip, {}) == events_of(clip, StudyOptions()) == uncertain_stretches(clip) == []
    assert timeline_of(clip, 0, 1, 10)["lanes"] == []
    assert frames_of(clip, 0, 1) == {"frames": [[0, 0.0, []]] * count, "to_s": None}


def test_corrections_that_another_program_added_are_shown(client: TestClient, folder: Path) -> None:
    mien.apply_corrections(folder, [MERGE])
    assert [person["id"] for person in ask(client, "clip", name="two")["people"]] == [1, 2]
    found = client.post("/v1/corrections", json=MARK).json()
    assert [entry["number"] for entry in found["entries"]] == [1, 2]


@pytest.mark.parametrize("name", ["two", "old"])
def test_frames_are_decoded_in_any_order(client: TestClient, clips: Path, folder: Path, name: str) -> None:
    source = next(clips.glob(f"{name}.*"))
    with open_video(source) as video:
        times, frames = zip(*((frame.time_s, frame.rgb()) for frame in video.frames()), strict=True)
    for number in (3, 4, 14, 9, 0):
        response = client.get("/v1/frame.jpg", params={"name": name, "time_s": round(times[number], 6)})
        assert response.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(response.content)) as image:
            got = np.asarray(image.convert("RGB")).astype(float)
        errors = [np.abs(got - other).mean() for other in frames[:16]]
        assert int(np.argmin(errors)) == number
    assert client.get("/v1/frame.jpg", params={"name": name, "time_s": -1}).status_code == 422


def test_clips_are_sent_in_ranges(client: TestClient, clips: Path) -> None:
    body = (clips / "two.webm").read_bytes()
    whole = client.get("/v1/clip.video", params={"name": "two"})
    assert (whole.content, whole.headers["content-type"]) == (body, "video/webm")
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get("/v1/clip.video", params={"name": "two"}, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, body[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(body)}"


def test_a_clip_that_is_elsewhere_is_found_by_its_name(
    folder: Path, clips: Path, tmp_path: Path, open_viewer: Open
) -> None:
    facts = json.loads((folder / "study.json").read_text())
    for clip in facts["clips"]:
        clip["source"]["path"] = f"/nowhere/{Path(clip['source']['path']).name}"
    (folder / "study.json").write_text(json.dumps(facts))
    lost = open_viewer(folder)
    assert [clip["present"] for clip in ask(lost, "study")["clips"]] == [False, False]
    assert lost.get("/v1/clip.video", params={"name": "two"}).status_code == 404
    response = lost.get("/v1/frame.jpg", params={"name": "two", "time_s": 0})
    assert "the clip is not at /nowhere/two.webm" in response.json()["message"]
    shutil.copy(clips / "two.webm", tmp_path / "two.webm")
    with (tmp_path / "two.webm").open("ab") as file:
        file.write(b"more")
    found = ask(open_viewer(folder, tmp_path), "study")["clips"]
    assert [(clip["present"], clip["changed"]) for clip in found] == [(False, False), (True, True)]


@pytest.mark.parametrize("name", ["three", "../two", "two/..", ""])
def test_only_clips_of_the_study_can_be_had(client: TestClient, name: str) -> None:
    times = {"from_s": 0, "to_s": 1, "time_s": 0, "bins": 3}
    for path in ("clip", "loaded", "clip.video", "frames", "timeline", "frame.jpg"):
        response = client.get(f"/v1/{path}", params={**times, "name": name})
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_pages_of_other_sites_and_other_hosts_are_refused(client: TestClient, folder: Path) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ):
        for path in ("/v1/study", "/v1/clip.video?name=two"):
            assert client.get(path, headers=headers).status_code == 403
        assert client.post("/v1/corrections", json=MERGE, headers=headers).status_code == 403
        assert client.post("/v1/save", headers=headers).status_code == 403
    assert not (folder / FILE).exists()
    own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/corrections", json=MERGE, headers=own).status_code == 200


def test_every_response_has_the_headers_of_the_live_page(client: TestClient) -> None:
    for path in ("/", "/js/main.js", "/v1/study", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/v1/study").headers["cache-control"] == "no-store"


def test_the_page_loads_nothing_from_another_host(client: TestClient) -> None:
    files = viewer_files()
    assert {"", "style.css", "viewer.css", "icon.svg", "js/main.js", "js/overlay.js"} <= set(files)
    for path, file in files.items():
        assert client.get(f"/{path}").content == file.body
        addresses = re.findall(r"https?://[^\s\"'`)<]+", file.body.decode())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, path
        if path.endswith(".js"):
            for imported in re.findall(r'from "\./([^"]+)"', file.body.decode()):
                assert f"js/{imported}" in files, path
            assert "innerHTML" not in file.body.decode()
    for path in ("/docs", "/openapi.json", "/index.html", "/../app.py", "/js/camera.js"):
        assert client.get(path).status_code == 404


def test_what_is_no_study_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="is not the folder of a study"):
        Session(tmp_path)
    with pytest.raises(UsageError, match=r"--clips .* is not a folder"):
        Session(folder, tmp_path / "nothing")
    (folder / FILE).write_text("{")
    with pytest.raises(UsageError, match="is not JSON"):
        Session(folder)
