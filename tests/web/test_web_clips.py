"""Clips on the page: seek bar, events, one row per frame; in Chromium."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mien.emotions import FER2013
from mien.inference.face import Face
from mien.models.card import Head
from mien.video.results import FrameResult, TrackedFace
from mien.video.study.measures import Measures
from mien.video.study.tables import EventTable

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of one face that cannot be seen in between."""
    pytest.importorskip("av", reason="the clip is written with PyAV")
    from mien.testing.clips import write_clip

    with Image.open(PHOTO) as image:
        face = image.convert("RGB").resize((360, 360))
    gone = face.filter(ImageFilter.GaussianBlur(20))
    frames = [np.asarray(gone if 6 <= i < 14 else face) for i in range(20)]
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.webm", frames, rate=10, codec="libvpx")


def rows(visit: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(visit.saved("#download").decode())))


# A busy machine analyzes few frames per second; a slow clip has more of them analyzed.
SLOWLY = "document.getElementById('video').defaultPlaybackRate = 0.4"


def play_to_the_end(visit: Any) -> None:
    visit.wait("document.body.dataset.state === 'video'")
    visit.wait("document.body.dataset.state === 'ended'")


def play_until(visit: Any, condition: str) -> None:
    """Plays the clip again, slower each time, until a condition holds: skipped frames are added."""
    deadline = time.monotonic() + 180
    while not visit.page.evaluate(condition):
        assert time.monotonic() < deadline, f"never: {condition}"
        video = "document.getElementById('video')"
        visit.page.evaluate(f"{video}.playbackRate = Math.max({video}.playbackRate / 2, 0.0625)")
        visit.page.click("#pause")
        play_to_the_end(visit)
        visit.page.wait_for_timeout(300)  # the last frame's prediction


@pytest.fixture
def played(address: str, clip: Path, visit: Any) -> Iterator[Any]:
    """The page after it has played the clip."""
    visit.open(address).page.evaluate(SLOWLY)
    visit.page.set_input_files("#files", str(clip))
    play_to_the_end(visit)
    yield visit
    assert visit.errors == []


def test_a_clip_has_events_that_lead_to_their_beginnings(played: Any) -> None:
    play_until(played, "document.querySelectorAll('#events button').length >= 2")
    events = played.page.locator("#events button").all_inner_texts()
    assert events[0].startswith("…0:00.")
    assert re.search(r"face \d happy, up to 9", events[0])
    onset_s = float(events[-1].split()[0].removeprefix("…0:0"))
    assert 1.3 < onset_s < 2
    played.page.click("#events button >> nth=-1")
    played.wait(f"Math.abs(document.getElementById('video').currentTime - {onset_s}) < 0.11")
    played.wait("document.body.dataset.state === 'paused'")  # the browser tells of a jump later
    played.page.wait_for_selector(".face")  # the frame there is shown with its prediction
    played.set_slider("#event-threshold", 95)
    played.wait("document.querySelectorAll('#events button').length === 0")
    assert played.text("#no-events") == "No event so far."


def test_a_frame_has_one_row_however_often_it_is_played(played: Any) -> None:
    first = rows(played)
    for _ in range(2):
        played.page.click("#pause")
        play_to_the_end(played)
    again = rows(played)
    times = [float(row["time_s"]) for row in again]
    assert {row["time_s"] for row in first} <= {row["time_s"] for row in again}
    assert times == sorted(set(times))  # one face: a row per frame, by time
    assert len(times) <= 20
    assert [int(row["frame"]) for row in again] == list(range(len(again)))
    assert {row["source"] for row in again} == {"clip.webm"}


SEES = """async (tracked) => {
    const { WorkerApi } = await import("./js/worker-api.js");
    const box = { x: 90, y: 60, width: 180, height: 240 };
    const [emotions, quality, warnings] = [{ happy: 1 }, {}, []];
    const prediction = { top: ["happy", 1], emotions, raw: emotions, abstentions: {}, quality, warnings };
    const face = { id: 1, box, confidence: 0.9, ...prediction };
    WorkerApi.prototype.predict = async ({ width, height }) => ({
        width, height, faces: tracked ? [face] : [], unconfirmed: tracked ? [] : [box],
    });
}"""


def test_a_frame_whose_face_is_not_tracked_yet_is_analyzed_again_when_the_clip_is_played_again(
    address: str, clip: Path, visit: Any
) -> None:
    """On a slow machine few frames of a face are analyzed, and the first of them have no number."""
    visit.open(address).page.evaluate(SEES, False)
    visit.page.set_input_files("#files", str(clip))
    play_to_the_end(visit)
    first = rows(visit)
    assert {row["face_id"] for row in first} == {""}
    visit.page.evaluate(SEES, True)
    visit.page.click("#pause")
    play_to_the_end(visit)
    visit.wait("document.querySelectorAll('#events button').length === 1")
    assert len([row for row in rows(visit) if row["face_id"] == "1"]) > 1


def test_the_seek_bar_works_with_the_keyboard_and_shows_what_was_predicted(played: Any) -> None:
    page = played.page
    page.focus("#seek")
    page.keyboard.press("Home")
    played.wait("document.getElementById('video').currentTime === 0")
    played.wait("document.getElementById('seek').getAttribute('aria-valuetext') === '0:00 of 0:02'")
    page.wait_for_selector(".face")
    page.keyboard.press("ArrowRight")
    played.wait("Math.abs(document.getElementById('video').currentTime - 0.1) < 0.01")
    width = page.locator("#timeline").bounding_box()["width"]
    page.click("#timeline", position={"x": 62 + 0.5 * (width - 62), "y": 20})
    played.wait("Math.abs(document.getElementById('video').currentTime - 1) < 0.1")
    played.wait("!document.querySelector('.face')")  # nobody can be seen there


def test_a_position_that_was_not_played_is_analyzed_when_it_is_chosen(
    address: str, clip: Path, visit: Any
) -> None:
    visit.open(address).page.set_input_files("#files", str(clip))
    visit.wait("document.body.dataset.state === 'video'")
    visit.page.click("#pause")
    visit.page.focus("#seek")
    visit.page.keyboard.press("End")
    visit.page.keyboard.press("ArrowLeft")
    visit.wait("document.getElementById('video').currentTime > 1.6")
    deadline = time.monotonic() + 60
    while not any(float(row["time_s"]) > 1.6 and row["top"] == "happy" for row in rows(visit)):
        assert time.monotonic() < deadline
        visit.page.wait_for_timeout(100)
    assert visit.page.evaluate("document.body.dataset.state") == "paused"


def settled_rows(visit: Any) -> list[dict[str, str]]:
    """The table, once no prediction has been added for a second."""
    before, now = None, rows(visit)
    while now != before:
        visit.page.wait_for_timeout(1000)
        before, now = now, rows(visit)
    return now


def test_other_labels_analyze_the_clip_again(played: Any) -> None:
    before = settled_rows(played)
    played.page.select_option("#labels", "fer2013")
    played.wait("!document.querySelector('#legend').textContent.includes('ontempt')")
    assert played.page.locator("#events button").count() == 0
    played.page.click("#pause")
    play_to_the_end(played)
    after = rows(played)
    assert len(after) > len(before)
    assert [row["time_s"] for row in after[: len(before)]] == [row["time_s"] for row in before]
    assert {row["contempt"] for row in after[len(before) :] if row["face_id"]} == {""}


def test_a_clip_without_a_length_in_its_header_gets_one(address: str, visit: Any) -> None:
    """Clips that a browser has recorded have none."""
    visit.open(address)
    visit.page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
            const context = canvas.getContext("2d");
            const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm" });
            const parts = [];
            recorder.ondataavailable = ({ data }) => parts.push(data);
            recorder.start();
            for (let i = 0; i < 30; i += 1) {
                context.fillStyle = `rgb(${8 * i}, 0, 0)`;
                context.fillRect(0, 0, 64, 48);
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
            await new Promise((resolve) => { recorder.onstop = resolve; recorder.stop(); });
            const transfer = new DataTransfer();
            transfer.items.add(new File(parts, "recorded.webm", { type: "video/webm" }));
            const input = document.getElementById("files");
            input.files = transfer.files;
            input.dispatchEvent(new Event("change", { bubbles: true }));
        }"""
    )
    visit.page.wait_for_selector("#seek-bar:not([hidden])")
    assert 1 < float(visit.page.get_attribute("#seek", "max")) < 10
    assert "of 0:0" in visit.text("#position")


def moving(seed: int) -> list[FrameResult]:
    """Two people whose emotions wander, one of them out of sight now and then."""
    rng = np.random.default_rng(seed)
    results = []
    logits = rng.normal(size=(2, 7))
    for frame in range(120):
        logits += rng.normal(scale=0.9, size=logits.shape)
        faces = []
        for i, row in enumerate(logits):
            if i and (20 <= frame < 24 or 60 <= frame < 75):
                continue
            shares = np.exp(row - row.max())
            emotions = dict(zip(FER2013, (shares / shares.sum()).tolist(), strict=True))
            face = Face((10.0, 10.0, 50.0, 50.0), 0.9, emotions)
            faces.append(TrackedFace(i + 1, face, face))
        results.append(FrameResult("clip", frame, frame * 0.1, tuple(faces)))
    return results


@pytest.mark.parametrize("seed", range(3))
def test_events_are_those_of_a_study_in_python(address: str, visit: Any, seed: int) -> None:
    results = moving(seed)
    table = EventTable(Measures(Head("fer2013", FER2013)), 0.5, 0.1)
    for result in results:
        table.write(result, 0.1)
    expected = table.events()
    assert len(expected) > 10
    assert any(event.onset_censored for event in expected)
    frames = [
        {
            "timeS": result.time_s,
            "faces": [{"id": face.id, "emotions": face.face.emotions} for face in result.faces],
        }
        for result in results
    ]
    visit.page.goto(address)
    found = visit.page.evaluate(
        "async (frames) => (await import('./js/events.js')).findEvents(frames)", frames
    )
    assert [(event["id"], event["emotion"]) for event in found] == [(e.person, e.emotion) for e in expected]
    for event, one in zip(found, expected, strict=True):
        numbers = (event["onsetS"], event["offsetS"], event["peak"], event["peakS"])
        assert numbers == pytest.approx((one.onset_s, one.offset_s, one.peak, one.peak_s), abs=1e-9)
        assert (event["onsetCensored"], event["offsetCensored"]) == (one.onset_censored, one.offset_censored)
