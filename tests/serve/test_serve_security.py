"""Access control: a page of another site must not use the server on its visitor's machine."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mien.serve.security import host_name

KEY = "a-key-of-24-characters-x"
STREAM = "ws://127.0.0.1:8000/v1/stream"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:8000", "127.0.0.1"),
        ("localhost", "localhost"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("Evil.Example:80", "evil.example"),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:8000", "[::1]:8000"])
def test_the_names_of_this_machine_are_allowed(client: TestClient, host: str) -> None:
    assert client.get("/v1/about", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/about", "/healthz", "/metrics"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "192.168.1.7:8000"])
def test_an_unknown_host_name_is_refused(client: TestClient, host: str, path: str) -> None:
    """A site that points its own name at 127.0.0.1 would otherwise have the same origin as the server."""
    response = client.get(path, headers={"Host": host})
    assert (response.status_code, response.json()["code"]) == (403, "unknown_host")


def test_a_host_name_can_be_allowed(make_client: Callable[..., TestClient]) -> None:
    client = make_client(allow_hosts=("faces.example",))
    assert client.get("/healthz", headers={"Host": "Faces.example:8000"}).status_code == 200


def test_without_a_key_a_server_open_to_the_network_accepts_only_ip_addresses(
    make_client: Callable[..., TestClient],
) -> None:
    client = make_client(host="0.0.0.0", without_key=True)
    assert client.get("/healthz", headers={"Host": "192.168.1.7:8000"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403


OTHER_SITES = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "http://127.0.0.1:8000.evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
]


@pytest.mark.parametrize("headers", OTHER_SITES, ids=[" ".join(headers.values()) for headers in OTHER_SITES])
def test_a_cross_site_request_is_refused(client: TestClient, photo: bytes, headers: dict[str, str]) -> None:
    response = client.post("/v1/analyze", content=photo, headers={"Content-Type": "image/jpeg", **headers})
    assert (response.status_code, response.json()["code"]) == (403, "cross_site_request")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(STREAM, headers=headers):
        pass


def test_its_own_page_is_allowed(client: TestClient, photo: bytes) -> None:
    own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    response = client.post("/v1/analyze", content=photo, headers={"Content-Type": "image/jpeg", **own})
    assert response.status_code == 200
    with client.websocket_connect(STREAM, headers=own) as stream:
        assert stream.receive_json()["type"] == "ready"


def test_a_link_from_another_site_may_open_the_page(client: TestClient) -> None:
    navigation = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=navigation).status_code == 200


def test_an_origin_can_be_allowed(make_client: Callable[..., TestClient]) -> None:
    client = make_client(allow_origins=("https://app.example",))
    assert client.get("/v1/about", headers={"Origin": "https://app.example"}).status_code == 200
    assert client.get("/v1/about", headers={"Origin": "https://app.example.evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/docs", "/js/main.js", "/v1/about", "/nothing", "/healthz"])
def test_every_response_forbids_other_hosts(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert set(" ".join(policy.values()).split()) <= {"'none'", "'self'", "blob:", "data:"}
    assert policy["script-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_refusals_have_the_security_headers_too(client: TestClient) -> None:
    assert "content-security-policy" in client.get("/", headers={"Host": "evil.example"}).headers


class TestKey:
    @pytest.fixture
    def keyed(self, make_client: Callable[..., TestClient]) -> TestClient:
        return make_client(api_key=KEY)

    @pytest.mark.parametrize("path", ["/v1/about", "/metrics", "/v1/nothing"])
    @pytest.mark.parametrize(
        "headers",
        [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": KEY[:-1]}],
        ids=["none", "wrong", "basic", "cut"],
    )
    def test_requests_without_the_key_are_refused(
        self, keyed: TestClient, path: str, headers: dict[str, str]
    ) -> None:
        response = keyed.get(path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "api_key_required")
        assert response.headers["www-authenticate"] == "Bearer"
        sent = any("Bearer" in value or name == "X-API-Key" for name, value in headers.items())
        assert response.json()["message"].startswith("The API key is wrong" if sent else "An API key is")

    @pytest.mark.parametrize("headers", [{"Authorization": f"bearer {KEY}"}, {"X-API-Key": KEY}])
    def test_requests_with_the_key_are_allowed(self, keyed: TestClient, headers: dict[str, str]) -> None:
        assert keyed.get("/v1/about", headers=headers).status_code == 200

    @pytest.mark.parametrize("path", ["/", "/js/main.js", "/healthz", "/docs", "/openapi.json"])
    def test_page_and_health_need_no_key(self, keyed: TestClient, path: str) -> None:
        assert keyed.get(path).status_code == 200

    def test_a_page_sends_the_key_as_a_subprotocol(self, keyed: TestClient) -> None:
        """`new WebSocket` cannot send headers of its own."""
        coded = base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
        with keyed.websocket_connect(STREAM, subprotocols=["mien.v1", f"mien.key.{coded}"]) as stream:
            assert stream.receive_json()["type"] == "ready"
            assert stream.accepted_subprotocol == "mien.v1"

    @pytest.mark.parametrize("protocols", [[], ["mien.v1", "mien.key.d3Jvbmc"], ["mien.key.%%%"]])
    def test_a_stream_without_the_key_is_refused(self, keyed: TestClient, protocols: list[str]) -> None:
        with pytest.raises(WebSocketDisconnect), keyed.websocket_connect(STREAM, subprotocols=protocols):
            pass
