"""The page without a server: which files it has, when it is refused, and the port that hands it out."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mien.cli.app import app
from mien.emotions import FER2013
from mien.errors import CardError, NotBuilt, UsageError
from mien.models.card import Head
from mien.models.registry import find_model
from mien.serve.static_page import site
from mien.serve.static_page.local import make_local_server
from mien.serve.static_page.site import SiteOptions, site_files, write_site
from mien.testing.fakes import write_band_model


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is built: what is in these files does not matter here."""
    folder = tmp_path / "mien-js"
    folder.mkdir()
    for name in ("index.js", "worker.js", "ort.wasm"):
        (folder / name).write_bytes(name.encode())
    monkeypatch.setattr(site, "_PACKAGE", folder)


def test_without_the_built_package_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(site, "_PACKAGE", tmp_path / "nothing")
    with pytest.raises(NotBuilt, match=r"wheel of a release.*make web"):
        write_site(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("built")
def test_every_address_in_the_page_and_its_modules_is_relative_and_exists() -> None:
    files = site_files(SiteOptions())
    index = files["index.html"].decode()
    for address in re.findall(r'(?:src|href)="([^"#]+)"', index):
        assert address in files, address
    for name, content in files.items():
        if name.startswith("js/"):
            for address in re.findall(r'from "([^"]+)"', content.decode()):
                assert os.path.normpath(f"js/{address}") in files, (name, address)
    assert not re.search(r"https?://(?!www\.w3\.org)", index)
    assert "<!-- server" not in index
    assert "browser -->" not in index
    manifest = json.loads(files["manifest.webmanifest"])
    assert all(icon["src"] in files for icon in manifest["icons"])


@pytest.mark.usefixtures("built")
def test_the_service_worker_keeps_every_file_once_and_larger_models_when_used() -> None:
    files = site_files(SiteOptions())
    lists = {
        name: json.loads(value)
        for name, value in re.findall(rb"const (FILES|LATER) = (\[.*?\]);", files["sw.js"])
    }
    assert lists[b"LATER"] == ["models/mien-lite0.onnx", "models/mien-lite0.json", "mien-js/facemesh.onnx"]
    assert sorted(lists[b"FILES"] + lists[b"LATER"]) == sorted({"./", *files} - {"sw.js"})


@pytest.mark.usefixtures("built")
def test_another_page_has_another_version() -> None:
    def version(**options: Any) -> bytes:
        found = re.search(rb'VERSION = "(mien-[0-9a-f]{12})"', site_files(SiteOptions(**options))["sw.js"])
        assert found
        return found[1]

    assert version() == version()
    assert (
        len(
            {
                version(),
                version(labels="ferplus"),
                version(notice="Attention."),
                version(models=("mien-tiny",)),
            }
        )
        == 4
    )


@pytest.mark.usefixtures("built")
def test_a_page_of_this_machine_alone_is_not_kept_by_the_browser() -> None:
    files = site_files(SiteOptions(offline=False))
    assert {"sw.js", "manifest.webmanifest", "icon-192.png"} & set(files) == set()
    assert b"manifest" not in files["index.html"]


@pytest.mark.usefixtures("built")
def test_the_notice_is_escaped_and_can_be_left_out() -> None:
    assert b'role="note">&lt;b&gt; &amp; c</p>' in site_files(SiteOptions(notice="<b> & c"))["index.html"]
    assert b'class="notice"' not in site_files(SiteOptions(notice=None))["index.html"]


@pytest.mark.usefixtures("built")
def test_a_card_on_the_page_does_not_contain_how_the_model_was_trained() -> None:
    files = site_files(SiteOptions())
    for name in ("mien-tiny", "mien-lite0"):
        card = json.loads(files[f"models/{name}.json"])
        assert {"training", "data", "figures"} & set(card) == set()
        assert card["heads"]
        assert re.fullmatch("[0-9a-f]{64}", card["sha256"])


@pytest.mark.usefixtures("built")
def test_a_folder_with_files_is_left_alone_unless_they_may_be_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "CNAME").write_text("example.org")
    with pytest.raises(UsageError, match="not empty"):
        write_site(out)
    written = write_site(out, overwrite=True)
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "CNAME"]
    assert written == sum(path.stat().st_size for path in files)
    assert (out / "CNAME").read_text() == "example.org"
    with pytest.raises(UsageError, match="is a file"):
        write_site(out / "CNAME")


@pytest.mark.usefixtures("built")
def test_models_that_the_browser_cannot_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same file name"):
        site_files(SiteOptions(models=("mien-tiny", "mien-tiny")))
    uncropped = write_band_model(tmp_path, heads=(Head("fer2013", FER2013),))
    with pytest.raises(CardError, match="no framing"):
        site_files(SiteOptions(models=(uncropped,)))
    shipped = find_model("mien-tiny").onnx
    copy = shutil.copy(shipped, tmp_path / "copy.onnx")
    card = json.loads(shipped.with_suffix(".json").read_text())
    card["heads"] = [{**head, "conformal": {}} for head in card["heads"]]
    (tmp_path / "copy.json").write_text(json.dumps(card))
    with pytest.raises(CardError, match=r"no conformal threshold.*0\.90"):
        site_files(SiteOptions(models=(copy,)))


@pytest.mark.usefixtures("built")
def test_the_command_writes_the_page_and_says_how_to_try_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        "page",
        "--out",
        str(out),
        "--model",
        "mien-lite0",
        "--labels",
        "ferplus",
        "--notice",
        "Attention.",
    ]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert f"http.server -d {out}" in result.stderr
    assert json.loads((out / "settings.json").read_text()) == {"models": ["mien-lite0"], "labels": "ferplus"}
    assert ">Attention.</p>" in (out / "index.html").read_text()


class TestLocal:
    """The port that `mien live --local` opens."""

    @pytest.fixture
    def port(self, built: None) -> Iterator[int]:
        with make_local_server(SiteOptions(offline=False)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_port
            server.shutdown()

    def request(
        self, port: int, method: str, path: str, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def test_it_gives_the_files_of_the_page_and_nothing_else(self, port: int) -> None:
        files = site_files(SiteOptions(offline=False))
        for path, name in (
            ("/", "index.html"),
            ("/js/app.js?x=1", "js/app.js"),
            ("/models/mien-tiny.onnx",) * 2,
        ):
            response, body = self.request(port, "GET", path)
            assert (response.status, body) == (200, files[name.removeprefix("/")])
        for path in ("/../site.py", "/js/", "/etc/passwd", "//etc/passwd", "/%2e%2e/site.py", "/v1/about"):
            response, body = self.request(port, "GET", path)
            assert (response.status, body) == (404, b"There is no such file.\n")
        response, body = self.request(port, "HEAD", "/")
        assert (response.status, body) == (200, b"")
        assert self.request(port, "POST", "/")[0].status == 501

    def test_the_policy_allows_no_other_host_and_nobody_else_the_camera(self, port: int) -> None:
        response, _ = self.request(port, "GET", "/")
        assert "default-src 'self'" in str(response.headers["Content-Security-Policy"])
        assert "frame-ancestors 'none'" in str(response.headers["Content-Security-Policy"])
        assert response.headers["Permissions-Policy"].startswith("camera=(self)")
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    def test_the_name_of_another_site_for_this_machine_gets_nothing(self, port: int) -> None:
        assert self.request(port, "GET", "/", Host="evil.example:80")[0].status == 404
        assert self.request(port, "GET", "/", Host=f"localhost:{port}")[0].status == 200

    def test_a_taken_port_is_reported(self, port: int) -> None:
        with pytest.raises(UsageError, match=f"port {port}"):
            make_local_server(SiteOptions(), port)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.skipif(not (site._PACKAGE / "index.js").is_file(), reason="not built: `make web`")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_live_local_serves_until_it_is_stopped(number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "mien.cli.app",
        "live",
        "--local",
        "--no-browser",
        "--model",
        "mien-tiny",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        address = re.search(r"http://\S+", process.stderr.readline())
        assert address
        connection = http.client.HTTPConnection(address[0].removeprefix("http://"), timeout=10)
        connection.request("GET", "/settings.json")
        settings = json.loads(connection.getresponse().read())
        connection.close()
        process.send_signal(number)
        assert process.wait(timeout=20) == 128 + number
        assert "Traceback" not in process.stderr.read()
    assert settings["models"] == ["mien-tiny", "mien-lite0"]


def test_live_local_refuses_a_device_that_browsers_do_not_have() -> None:
    with pytest.raises(UsageError, match="in the browser"):
        CliRunner().invoke(app, ["live", "--local", "--device", "cuda"], catch_exceptions=False)
