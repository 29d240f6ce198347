"""Health, metrics, the documentation page and the page's files."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from starlette.testclient import TestClient

from mien.emotions import EMOTION_COLOURS
from mien.serve.app import create_app
from mien.serve.settings import NOTICE, Settings
from mien.serve.static import page_files

PAGE = Path(__file__).parents[2] / "src" / "mien" / "serve" / "page"


def test_it_is_alive_before_it_is_ready(model: Path) -> None:
    app = create_app(Settings(model=model))
    client = TestClient(app, base_url="http://127.0.0.1:8000")  # not started: the models are cold
    assert client.get("/healthz").json() == {"status": "alive"}
    response = client.get("/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "warming_up")
    assert "retry-after" in response.headers


def test_it_is_not_ready_while_no_more_images_may_wait(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    workers = client.app.state.service.workers  # type: ignore[attr-defined]
    monkeypatch.setattr(type(workers), "waiting", property(lambda self: 10**6))
    assert client.get("/readyz").json()["code"] == "busy"


def values(client: TestClient) -> dict[str, float]:
    """Metric with labels -> value."""
    lines = client.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] != "#"}


def test_metrics_count_requests_images_and_faces(
    make_client: Callable[..., TestClient], photo: bytes
) -> None:
    client = make_client()
    before = values(client)
    assert before["mien_images_total"] == 0
    client.post("/v1/analyze", files=[("p", ("a.jpg", photo)), ("p", ("b.txt", b"no"))])
    client.get("/secret/name")
    client.request("BREW", "/healthz")
    after = values(client)
    assert after["mien_images_total"] == 1
    assert after["mien_unreadable_images_total"] == 1
    assert after["mien_faces_total"] == 1
    assert after['mien_requests_total{method="POST",path="/v1/analyze",status="200"}'] == 1
    assert after['mien_requests_total{method="GET",path="other",status="404"}'] == 1
    assert after['mien_request_seconds_count{path="/v1/analyze"}'] == 1
    assert after["mien_waiting_images"] == 0
    assert after["mien_image_seconds_count"] == 2
    assert not [name for name in after if "secret" in name or "BREW" in name or "jpg" in name]


def test_every_error_has_the_same_form(client: TestClient) -> None:
    for response in (client.get("/nothing"), client.put("/v1/analyze"), client.get("/v1/analyze")):
        assert set(response.json()) == {"code", "message"}
    assert client.get("/v1/analyze").status_code == 405


def test_details_of_internal_errors_are_not_sent_to_clients(client: TestClient, photo: bytes) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    analyzer = service.analyzers["fer2013"]

    def fails(_: Any) -> Any:
        raise ZeroDivisionError("/home/somebody/secret.py")

    analyzer.analyze_label_sets = fails
    try:
        quiet = TestClient(client.app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
        quiet.portal = client.portal
        response = quiet.post("/v1/analyze", content=photo, headers={"Content-Type": "image/jpeg"})
    finally:
        del analyzer.analyze_label_sets
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "secret" not in response.text


class Links(HTMLParser):
    """The addresses that a page loads or links to, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "action"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_links_of_the_pages_exist_and_lead_to_no_other_host(client: TestClient, path: str) -> None:
    links = Links()
    links.feed(client.get(path).text)
    assert links.inline == []  # the policy would not run it
    assert len(set(links.ids)) == len(links.ids)
    assert len(links.addresses) > 3
    for address in links.addresses:
        if address.startswith("#"):
            assert address[1:] in links.ids
        else:
            assert not urlsplit(address).netloc
            assert client.get(urljoin(path, address)).status_code == 200


def test_the_documentation_has_every_operation(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    text = client.get("/docs").text
    assert set(document["paths"]) >= {"/v1/analyze", "/v1/about", "/healthz", "/readyz", "/metrics"}
    for path in document["paths"]:
        assert f"<code>{path}</code>" in text


def test_the_document_contains_the_key(make_client: Callable[..., TestClient]) -> None:
    document = make_client(api_key="a-key-of-24-characters-x").get("/openapi.json").json()
    assert document["paths"]["/v1/analyze"]["post"]["security"] == [{"HTTPBearer": []}]


def test_the_pages_files_have_types_that_browsers_run(client: TestClient) -> None:
    files = page_files(NOTICE)
    assert {"", "style.css", "icon.svg", "js/main.js", "js/api.js"} <= set(files)
    for path, file in files.items():
        response = client.get(f"/{path}")
        assert (response.status_code, response.content) == (200, file.body)
        assert response.headers["content-type"].startswith({"js": "text/javascript"}.get(path[-2:], ""))
        again = client.get(f"/{path}", headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/../app.py", "/js/../../app.py", "/%2e%2e/app.py", "/index.html/", "/js/"])
def test_only_files_of_the_page_are_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_no_file_of_the_page_contains_another_host() -> None:
    for path, file in page_files().items():
        addresses = re.findall(r"https?://[^\s\"'`)<]+", file.body.decode())
        assert set(addresses) <= {"http://www.w3.org/2000/svg", "http://127.0.0.1"}, path


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palettes() -> dict[str, dict[str, str]]:
    css = (PAGE / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks]
    return {"light": found[0], "dark": found[1]}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_colours_have_enough_contrast(theme: str) -> None:
    """4.5:1 for text, 3:1 for bars and signs. Source: WCAG 2.2, 1.4.3 and 1.4.11."""
    palette = palettes()[theme]
    for ground in ("ground", "surface"):
        for text in ("ink", "quiet", "accent", "lamp"):
            assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
    assert contrast(palette["on-accent"], palette["accent"]) >= 4.5
    assert contrast(palette["ink"], palette["alert-ground"]) >= 4.5
    assert contrast(palette["quiet"], palette["sunken"]) >= 4.5
    for emotion in EMOTION_COLOURS:
        assert contrast(palette[emotion], palette["surface"]) >= 3, emotion


def test_the_page_has_the_colours_of_annotated_images() -> None:
    script = (PAGE / "js" / "emotions.js").read_text()
    assert dict(re.findall(r'(\w+): "(#[0-9A-F]{6})"', script)) == EMOTION_COLOURS
    assert {name: palettes()["dark"][name].upper() for name in EMOTION_COLOURS} == EMOTION_COLOURS
