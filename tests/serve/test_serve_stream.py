"""`/v1/stream`: tracked faces, newest frames, and errors that do not end it."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mien.emotions import FER2013, FERPLUS
from mien.geometry import Detection
from mien.inference.analyzer import Analyzer
from mien.video.live import LivePipeline

STREAM = "ws://127.0.0.1:8000/v1/stream"


def frame(number: int, time_s: float, image: bytes) -> bytes:
    return struct.pack(">Id", number, time_s) + image


def shifted(photo: bytes, dx: int) -> bytes:
    """The photo moved to the right, as JPEG."""
    with Image.open(io.BytesIO(photo)) as image:
        moved = Image.fromarray(np.roll(np.asarray(image.convert("RGB")), dx, axis=1))
    buffer = io.BytesIO()
    moved.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def test_it_starts_with_the_label_sets(client: TestClient) -> None:
    with client.websocket_connect(STREAM) as stream:
        ready = stream.receive_json()
    assert ready["type"] == "ready"
    assert ready["label_sets"] == {"fer2013": list(FER2013), "ferplus": list(FERPLUS)}


def test_a_moving_face_keeps_its_number(client: TestClient, photo: bytes) -> None:
    ids, lefts = [], []
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        for i in range(6):
            stream.send_bytes(frame(i, 0.1 * i, shifted(photo, 8 * i)))
            response = stream.receive_json()
            assert (response["type"], response["frame"], response["time_s"]) == ("faces", i, 0.1 * i)
            assert (response["width"], response["height"]) == (512, 512)
            ids += [face["face_id"] for face in response["faces"]]
            lefts += [face["box"][0] for face in response["faces"]]
    assert len(ids) >= 4  # the first frames only confirm it
    assert set(ids) == {1}
    assert lefts == sorted(lefts)


def test_a_new_face_is_unconfirmed(client: TestClient, photo: bytes) -> None:
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        stream.send_bytes(frame(0, 0.0, photo))
        response = stream.receive_json()
    assert (response["faces"], len(response["unconfirmed"])) == ([], 1)


def test_the_expression_is_the_analyzers_smoothed(client: TestClient, model: Path, photo: bytes) -> None:
    (expected,) = Analyzer(model, threads=1).analyze(photo)
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        for i in range(3):
            stream.send_bytes(frame(i, 0.2 * i, photo))
            response = stream.receive_json()
    (face,) = response["faces"]
    assert face["raw"]["emotions"] == pytest.approx(expected.emotions, abs=1e-3)
    assert face["emotions"] == pytest.approx(expected.emotions, abs=1e-3)  # a still image: nothing to smooth
    assert (face["top"], face["uncertain"]) == (expected.top[0], expected.uncertain)


def test_labels_can_be_changed_during_the_stream(client: TestClient, photo: bytes) -> None:
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        stream.send_json({"labels": "ferplus"})
        assert stream.receive_json() == {"type": "settings", "labels": "ferplus", "movements": False}
        for i in range(3):
            stream.send_bytes(frame(i, 0.2 * i, photo))
            response = stream.receive_json()
    assert response["labels"] == "ferplus"
    assert tuple(response["faces"][0]["emotions"]) == FERPLUS
    assert set(response["faces"][0]["abstentions"]) == {"unknown", "not a face"}


def test_movements_can_be_turned_on_and_off_during_the_stream(
    client: TestClient, model: Path, photo: bytes
) -> None:
    (expected,) = Analyzer(model, threads=1, movements=True).analyze(photo)
    assert expected.movements is not None
    found = []
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        for i, on in enumerate([False, False, True, True, False]):
            stream.send_json({"movements": on})
            assert stream.receive_json()["movements"] is on
            stream.send_bytes(frame(i, 0.2 * i, photo))
            found.append(stream.receive_json()["faces"])
    assert [[("movements" in face) for face in faces] for faces in found[1:]] == [
        [False],
        [True],
        [True],
        [False],
    ]
    assert len({faces[0]["face_id"] for faces in found[1:]}) == 1
    assert found[3][0]["movements"]["head_roll"] == pytest.approx(expected.movements.head_roll, abs=1.5)
    assert found[3][0]["warnings"] == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"short", "invalid_argument"),
        (struct.pack(">Id", 7, float("nan")) + b"x", "invalid_argument"),
        (struct.pack(">Id", 7, 1.0) + b"not an image", "unreadable"),
        ("labels", "invalid_argument"),
        ('{"labels": "affectnet"}', "invalid_argument"),
        ('{"movements": "on"}', "invalid_argument"),
        ("[]", "invalid_argument"),
    ],
)
def test_errors_are_reported_and_the_stream_continues(
    client: TestClient, photo: bytes, message: bytes | str, code: str
) -> None:
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        if isinstance(message, bytes):
            stream.send_bytes(message)
        else:
            stream.send_text(message)
        error = stream.receive_json()
        assert (error["type"], error["code"]) == ("error", code)
        assert error["frame"] == (7 if code == "unreadable" else None)
        stream.send_bytes(frame(8, 1.0, photo))
        assert stream.receive_json()["frame"] == 8


def test_of_frames_that_arrive_too_fast_the_newest_is_analyzed(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()
    read = LivePipeline.read

    def slowly(self: LivePipeline, *args: Any) -> Any:
        begun.set()
        assert gate.wait(30)
        return read(self, *args)

    monkeypatch.setattr(LivePipeline, "read", slowly)
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        stream.send_bytes(frame(0, 0.0, photo))
        assert begun.wait(30)
        for i in range(1, 8):
            stream.send_bytes(frame(i, 0.1 * i, photo))
        stream.send_json({"labels": "fer2013"})  # its response shows that all of them have arrived
        assert stream.receive_json()["type"] == "settings"
        gate.set()
        results = [stream.receive_json() for _ in range(2)]
    assert [(response["frame"], response["dropped_frames"]) for response in results] == [(0, 0), (7, 6)]


def test_one_stream_too_many_is_closed_with_try_again_later(make_client: Callable[..., TestClient]) -> None:
    client = make_client(streams=1)
    with client.websocket_connect(STREAM) as first:
        first.receive_json()
        with client.websocket_connect(STREAM) as second, pytest.raises(WebSocketDisconnect) as refused:
            second.receive_json()
    assert refused.value.code == 1013
    with client.websocket_connect(STREAM) as third:
        assert third.receive_json()["type"] == "ready"


def test_an_internal_error_ends_the_stream_with_a_reason(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: LivePipeline, *args: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(LivePipeline, "read", fails)
    with client.websocket_connect(STREAM) as stream:
        stream.receive_json()
        stream.send_bytes(frame(0, 0.0, photo))
        with pytest.raises(WebSocketDisconnect) as ended:
            stream.receive_json()
    assert (ended.value.code, "log" in ended.value.reason) == (1011, True)


class Walk:
    """A detector whose face moves 20 pixels per frame, and is absent in some."""

    def __init__(self, away: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.calls, self.away = -1, away

    def detect(self, image_rgb: np.ndarray) -> list[Detection]:
        self.calls += 1
        return [] if self.calls in self.away else [Detection((20.0 * self.calls, 40, 60, 60), 0.9)]


def results(model: Path, times_s: list[float], away: set[int]) -> list[Any]:
    reader, analyzer = LivePipeline(), Analyzer(model, Walk(away))
    image = np.full((200, 640, 3), 90, np.uint8)
    return [reader.read(image, time_s, analyzer) for time_s in times_s]


def test_a_face_missed_for_a_moment_keeps_its_number_and_is_unconfirmed_meanwhile(model: Path) -> None:
    read = results(model, [i / 15 for i in range(10)], away={5})
    assert {face.id for response in read for face in response.faces} == {1}
    assert (read[5].faces, len(read[5].unconfirmed)) == ((), 1)
    expected = 100.0  # 20 pixels further than in frame 4
    assert read[5].unconfirmed[0][0] == pytest.approx(expected, abs=15)


def test_time_that_runs_backward_starts_a_new_scene(model: Path) -> None:
    read = results(model, [0.0, 0.2, 0.4, 0.0], away=set())
    assert [len(response.faces) for response in read] == [0, 1, 1, 0]


def test_a_long_stream_keeps_only_the_tracked_faces_in_memory(model: Path) -> None:
    reader, walk = LivePipeline(), Walk()
    analyzer = Analyzer(model, walk)
    image = np.zeros((200, 640, 3), np.uint8)
    for i in range(30):
        walk.calls = 3 * (i % 2)  # it jumps further than a person can move: another person each time
        reader.read(image, 3.0 * i, analyzer)
    assert reader._pipeline is not None
    assert len(reader._pipeline.smoother._causal) <= 2
    assert len(reader._pipeline.tracker._tracker.tracks) <= 2


def test_a_stream_never_gives_a_number_twice(model: Path) -> None:
    """ "This is me" passed on: a video that was wound back, or cut, began with number 1 again."""
    reader = LivePipeline()
    analyzer = Analyzer(model, Walk())
    dark, rng = np.full((200, 640, 3), 30, np.uint8), np.random.default_rng(0)
    light = np.asarray(Image.fromarray(rng.integers(100, 255, (4, 8, 3), np.uint8)).resize((640, 200)))
    numbers = [
        {face.id for face in reader.read(image, time_s, analyzer).faces}
        for image, time_s in [
            *((dark, t) for t in (0.0, 0.1, 0.2, 0.0, 0.1, 0.2)),
            *((light, t) for t in (0.3, 0.4, 0.5)),
        ]
    ]
    assert [numbers[i] for i in (2, 5, 8)] == [{1}, {2}, {3}]
