"""`POST /v1/analyze`: the faces of the analyzer, and refused requests."""

from __future__ import annotations

import io
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from mien.detection.blazeface import BlazeFace
from mien.emotions import FER2013, FERPLUS
from mien.inference.analyzer import Analyzer
from mien.serve.schemas import FacePrediction, ImagePrediction

JPEG = {"Content-Type": "image/jpeg"}


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


EMPTY = png(np.full((48, 64, 3), 120, np.uint8))


@pytest.mark.parametrize(("labels", "names"), [(None, FER2013), ("fer2013", FER2013), ("ferplus", FERPLUS)])
def test_the_response_equals_the_analyzers_faces(
    client: TestClient, model: Path, photo: bytes, labels: str | None, names: tuple[str, ...]
) -> None:
    address = "/v1/analyze" + (f"?labels={labels}" if labels else "")
    response = client.post(address, content=photo, headers=JPEG)
    assert response.status_code == 200
    (result,) = response.json()["results"]
    expected = Analyzer(model, BlazeFace(threads=1), threads=1, labels=labels).analyze(photo)
    assert result["faces"] == [json.loads(json.dumps(face.to_dict())) for face in expected]
    assert tuple(result["faces"][0]["emotions"]) == names
    assert (result["source"], result["width"], result["height"]) == ("image-1", 512, 512)


def test_the_schemas_have_the_keys_of_the_library(client: TestClient, photo: bytes) -> None:
    (result,) = client.post("/v1/analyze?movements=on", content=photo, headers=JPEG).json()["results"]
    (face,) = result["faces"]
    assert list(ImagePrediction.model_fields) == list(result)
    assert list(FacePrediction.model_fields) == list(face)


def test_movements_are_measured_on_request_alone(client: TestClient, model: Path, photo: bytes) -> None:
    """Also where both kinds of requests share a batch of the workers."""
    (expected,) = Analyzer(model, BlazeFace(threads=1), threads=1, movements=True).analyze(photo)

    def faces(movements: str) -> Any:
        answer = client.post(f"/v1/analyze?movements={movements}", content=photo, headers=JPEG)
        return answer.json()["results"][0]["faces"]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(faces, ["on", "off"] * 4))
    for (face,), (plain,) in zip(found[::2], found[1::2], strict=True):
        assert face == json.loads(json.dumps(expected.to_dict()))
        assert abs(face["movements"]["head_yaw"]) < 5
        assert "movements" not in plain
    gray = client.post("/v1/analyze?movements=maybe", content=photo, headers=JPEG)
    assert gray.status_code == 422


def test_several_images_keep_their_names_and_order(client: TestClient, photo: bytes) -> None:
    files = [
        ("images", ("b.png", EMPTY, "image/png")),
        ("images", ("a.jpg", photo, "image/jpeg")),
        ("anything", ("", EMPTY, "image/png")),
        ("images", ("photo ☺.jpg", photo, "image/jpeg")),
    ]
    body = client.post("/v1/analyze", files=files).json()
    assert [(r["source"], len(r["faces"])) for r in body["results"]][:2] == [("b.png", 0), ("a.jpg", 1)]
    assert body["results"][-1]["source"] == "photo ☺.jpg"
    assert body["errors"] == []
    assert body["model"] == "bands"


def test_an_unreadable_image_among_several_is_reported(client: TestClient, photo: bytes) -> None:
    files = [
        ("p", ("cut.jpg", photo[:5000])),
        ("p", ("good.jpg", photo)),
        ("p", ("notes.txt", b"hello there")),
    ]
    response = client.post("/v1/analyze", files=files)
    assert response.status_code == 200
    body = response.json()
    assert [result["source"] for result in body["results"]] == ["good.jpg"]
    assert [error["source"] for error in body["errors"]] == ["cut.jpg", "notes.txt"]
    assert "cut short" in body["errors"][0]["error"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"not an image", "image/jpeg", 422, "unreadable"),
        (b"", "image/png", 422, "unreadable"),
        (b"https://example.org/face.jpg", "text/plain", 415, "unsupported_content_type"),
        (b'{"url": "https://example.org/face.jpg"}', "application/json", 415, "unsupported_content_type"),
        (b"path=/etc/passwd", "application/x-www-form-urlencoded", 415, "unsupported_content_type"),
        (b"not a form", "multipart/form-data; boundary=x", 422, "invalid_form"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422, "no_file"),
        (b"", "multipart/form-data", 422, "invalid_form"),
        (b"x", "", 415, "unsupported_content_type"),
    ],
)
def test_unreadable_content_is_refused(
    client: TestClient, content: bytes, kind: str, status: int, code: str
) -> None:
    response = client.post("/v1/analyze", content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["message"]


def test_paths_and_urls_are_never_opened(client: TestClient, tmp_path: Path, photo: bytes) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(photo)
    for text in (str(path), path.as_uri(), "https://example.org/face.jpg"):
        response = client.post("/v1/analyze", files=[("images", (text, text.encode()))])
        assert (response.status_code, response.json()["code"]) == (422, "unreadable")
        response = client.post("/v1/analyze", data={"images": text}, files=[("x", ("a.png", EMPTY))])
        assert [result["source"] for result in response.json()["results"]] == ["a.png"]


def test_the_error_for_an_unknown_label_set_names_the_known_ones(client: TestClient, photo: bytes) -> None:
    response = client.post("/v1/analyze?labels=affectnet", content=photo, headers=JPEG)
    assert response.status_code == 422
    assert "fer2013, ferplus" in response.json()["message"]


def test_images_are_not_written_to_disk(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starlette's forms move files beyond one megabyte to temporary files on disk."""

    def on_disk(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a temporary file was made")

    monkeypatch.setattr(tempfile, "_TemporaryFileArgs", None, raising=False)
    monkeypatch.setattr(tempfile, "TemporaryFile", on_disk)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", on_disk)
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    large = png(noise)
    assert len(large) > 2 * 1024 * 1024
    assert client.post("/v1/analyze", files=[("p", ("a.png", large))]).status_code == 200


class TestLimits:
    def test_a_body_with_a_too_large_content_length_is_refused_unread(
        self, make_client: Callable[..., TestClient]
    ) -> None:
        client = make_client(body_bytes=10_000)
        response = client.post("/v1/analyze", content=b"x" * 10_001, headers=JPEG)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    def test_a_too_large_body_without_content_length_is_cut_off(
        self, make_client: Callable[..., TestClient], photo: bytes
    ) -> None:
        client = make_client(body_bytes=70_000)
        sent = []

        def chunks(total: int) -> Iterator[bytes]:
            for start in range(0, total, 5000):
                sent.append(start)
                yield photo[start : start + 5000].ljust(5000, b"\0")

        assert client.post("/v1/analyze", content=chunks(70_000), headers=JPEG).status_code == 200
        response = client.post("/v1/analyze", content=chunks(100_000), headers=JPEG)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    def test_too_many_images_are_refused(self, make_client: Callable[..., TestClient]) -> None:
        client = make_client(images=2)
        files = [("p", (f"{i}.png", EMPTY)) for i in range(3)]
        assert client.post("/v1/analyze", files=files[:2]).status_code == 200
        response = client.post("/v1/analyze", files=files)
        assert (response.status_code, response.json()["code"]) == (413, "too_many_files")

    def test_an_image_with_too_many_pixels_is_refused_by_its_header(
        self, make_client: Callable[..., TestClient], photo: bytes
    ) -> None:
        client = make_client(pixels=512 * 512)
        bomb = (
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
        )
        bomb += __import__("zlib").crc32(bomb[12:29]).to_bytes(4, "big")
        response = client.post(
            "/v1/analyze", content=bomb + b"\0\0\0\0IDAT", headers={"Content-Type": "image/png"}
        )
        assert (response.status_code, response.json()["code"]) == (413, "image_too_large")
        assert client.post("/v1/analyze", content=photo, headers=JPEG).status_code == 200

    def test_a_client_with_too_many_open_requests_gets_429(
        self, make_client: Callable[..., TestClient], photo: bytes
    ) -> None:
        client = make_client(per_client=2)
        hold, begun = threading.Event(), threading.Semaphore(0)
        service = client.app.state.service  # type: ignore[attr-defined]

        def held(images: list[Any]) -> list[dict[str, list[Any]]]:
            begun.release()
            assert hold.wait(30)
            return [{"fer2013": []} for _ in images]

        service.analyzers["fer2013"].analyze_label_sets = held

        def post(_: int = 0) -> Any:
            return client.post("/v1/analyze", content=photo, headers=JPEG)

        with ThreadPoolExecutor(2) as pool:
            first = [pool.submit(post) for _ in range(2)]
            assert begun.acquire(timeout=30)
            while sum(service._open.values()) < 2:
                threading.Event().wait(0.01)
            refused = post()
            hold.set()
            assert [response.result().status_code for response in first] == [200, 200]
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) >= 1
        assert post().status_code == 200

    def test_more_images_than_may_wait_are_refused(self, make_client: Callable[..., TestClient]) -> None:
        client = make_client(waiting=2)
        response = client.post("/v1/analyze", files=[("p", (f"{i}.png", EMPTY)) for i in range(3)])
        assert (response.status_code, response.json()["code"]) == (503, "busy")
        assert int(response.headers["retry-after"]) >= 1

    def test_a_request_that_takes_too_long_is_cancelled(
        self, make_client: Callable[..., TestClient], photo: bytes
    ) -> None:
        client = make_client(request_s=0.2)
        hold = threading.Event()
        service = client.app.state.service  # type: ignore[attr-defined]
        service.analyzers["fer2013"].analyze_label_sets = lambda _: hold.wait(30) and [{"fer2013": []}]
        response = client.post("/v1/analyze", content=photo, headers=JPEG)
        hold.set()
        assert (response.status_code, response.json()["code"]) == (503, "processing_timeout")
        assert "retry-after" in response.headers
