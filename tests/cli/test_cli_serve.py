"""`mien serve` and `mien live`: their settings, their errors, start and stop."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner

from mien.cli import live as live_module
from mien.cli.app import app
from mien.errors import MissingExtra, UsageError
from mien.serve import server
from mien.serve.settings import MB, Settings
from mien.testing.fakes import write_band_model

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
KEY = "a-key-of-24-characters-x"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, dict[str, Any]]]:
    """The servers that would have been started; each one gets an address."""
    calls: list[tuple[Settings, dict[str, Any]]] = []

    def run(settings: Settings, **options: Any) -> None:
        options["on_listening"]("http://127.0.0.1:4242")
        calls.append((settings, options))

    monkeypatch.setattr(server, "run", run)
    monkeypatch.delenv("MIEN_API_KEY", raising=False)
    return calls


def run(*arguments: str) -> Any:
    """The command, its errors raised."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_by_default_only_this_machine_can_reach_it(started: list[Any]) -> None:
    result = run("serve")
    ((settings, options),) = started
    assert (settings.host, settings.port, settings.api_key, settings.local) == ("127.0.0.1", 8000, None, True)
    assert options["access_log"] is False
    assert "http://127.0.0.1:4242" in result.stderr
    assert result.stdout == ""


def test_beyond_this_machine_a_key_is_required(started: list[Any]) -> None:
    with pytest.raises(UsageError, match=r"MIEN_API_KEY.*--without-key"):
        run("serve", "--host", "0.0.0.0")
    assert started == []
    run("serve", "--host", "0.0.0.0", "--without-key")
    assert started[0][0].without_key


def test_the_key_comes_from_a_file_or_the_environment_and_is_not_printed(
    started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    result = run("serve", "--host", "0.0.0.0", "--api-key-file", str(file))
    monkeypatch.setenv("MIEN_API_KEY", KEY[::-1])
    run("serve")
    assert [settings.api_key for settings, _ in started] == [KEY, KEY[::-1]]
    assert KEY not in result.output


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\x00"])
def test_an_unusable_key_file_is_named(started: list[Any], tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(str(file))):
        run("serve", "--api-key-file", str(file))


def test_limits_are_passed_on_in_their_units(started: list[Any]) -> None:
    run(
        *("serve", "--max-body-mb", "1.5", "--max-images", "3", "--max-megapixels", "12", "--timeout", "5"),
        *("--max-waiting", "7", "--max-per-client", "2", "--max-streams", "1", "--max-video-mb", "10"),
        *("--max-video-minutes", "2", "--max-jobs", "1", "--workers", "3", "--labels", "ferplus"),
    )
    ((settings, _),) = started
    limits = settings.limits
    assert (limits.body_bytes, limits.images, limits.pixels) == (round(1.5 * MB), 3, 12_000_000)
    assert (limits.waiting, limits.per_client, limits.streams, limits.jobs) == (7, 2, 1, 1)
    assert (limits.video_bytes, limits.video_s, limits.request_s) == (10 * MB, 120, 5)
    assert (settings.workers, settings.labels) == (3, "ferplus")


def test_live_opens_the_page(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(live_module.webbrowser, "open", lambda address: opened.append(address) or True)
    run("live")
    assert opened == ["http://127.0.0.1:4242"]
    assert (started[0][0].host, started[0][0].port) == ("127.0.0.1", 0)
    result = run("live", "--no-browser")
    assert len(opened) == 1
    assert "http://127.0.0.1:4242" in result.stderr


def test_without_a_browser_live_shows_the_remedy(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module.webbrowser, "open", lambda _: False)
    assert "Open this address" in run("live").stderr


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "mien.serve.server")
    with pytest.raises(MissingExtra, match=r"mien\[serve\]"):
        run("serve")


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="--port"):
        server.listen("127.0.0.1", taken.getsockname()[1])


def test_responses_do_not_wait_for_acknowledgements() -> None:
    """asyncio turns Nagle's algorithm off for sockets that name TCP as their protocol. That of
    `socket.create_server` does not: each response took 40 ms longer, four clients got half as many."""
    with server.listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_an_address_of_another_machine_is_reported() -> None:
    with pytest.raises(UsageError, match="--host"):
        server.listen("192.0.2.1", 0)  # of the block for documentation, RFC 5737


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("localhost", "localhost"), ("::1", "[::1]")],
)
def test_the_address_is_one_that_a_browser_here_can_open(host: str, address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert server.address_of(host, listener) == f"{address}:{port}"


@pytest.mark.parametrize("given", [{"certificate": "x"}, {"certificate_key": "x"}])
def test_a_certificate_without_its_key_is_refused(given: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(UsageError, match="belong together"):
        server.run(Settings(), **{name: tmp_path / value for name, value in given.items()})


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process there")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_responds_and_stops(tmp_path: Path, how: signal.Signals) -> None:
    model = write_band_model(tmp_path)
    command = [sys.executable, "-m", "mien.cli.app", "live", "--no-browser", "--model", str(model)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stderr is not None
            first = server.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", first)
            assert found, first
            with urlopen(found[0] + "/", timeout=60) as page:
                assert b"<title>mien</title>" in page.read()
            if how is signal.SIGINT:
                request = Request(
                    f"{found[0]}/v1/analyze", PHOTO.read_bytes(), {"Content-Type": "image/jpeg"}
                )
                with urlopen(request, timeout=60) as response:
                    assert len(json.load(response)["results"][0]["faces"]) == 1
        finally:
            server.send_signal(how)
        rest = server.stderr.read()
        status = server.wait(60)
    assert "Traceback" not in rest
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
