"""`mien data fetch` against a Kaggle that listens on loopback, with kagglehub itself in between."""

from __future__ import annotations

import base64
import hashlib
import http.client
import importlib.util
import io
import json
import logging
import os
import random
import re
import socket
import sys
import tarfile
import threading
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mien.cli.data.command import fetch as fetch_command
from mien.data.kaggle import fetch as kaggle
from mien.data.kaggle import manifest as kaggle_manifest
from mien.data.kaggle.manifest import FER2013, MANIFEST, Release
from mien.data.kaggle.remedies import credentials_source
from mien.data.synthetic import faces as synthetic
from mien.errors import CredentialsError, DownloadError, MissingExtra

pytest.importorskip("kagglehub")

TOKEN = "KGAT_5ecret0fmine"
LEGACY_KEY = "0123456789abcdef5ecret"
SIGNATURE = "signed5ecret"
ROWS = {"Training": 16, "PublicTest": 2, "PrivateTest": 2}
RELEASE = replace(FER2013, rows=ROWS, md5={})


def csv_text(rows: int = 20) -> bytes:
    table = synthetic.faces(rows)
    lines = [
        f"{label},{' '.join(map(str, face.ravel()))},{split}"
        for label, face, split in zip(table.labels, table.pixels, table.splits, strict=True)
    ]
    return "\n".join(["emotion,pixels,Usage", *lines, ""]).encode()


def tarred(csv: bytes, name: str = "fer2013/fer2013.csv", padding: int = 7) -> bytes:
    noise = random.Random(0).randbytes(padding)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, content in (("fer2013/README", noise), (name, csv)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass
class FakeKaggle:
    """What the server holds, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    bundle: bytes | None = None
    refuse: int | None = None
    cut_at: int | None = None  # bytes of the next body, after which the connection drops
    lie_about_md5: bool = False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def storage(self) -> list[dict[str, str]]:
        return [headers for path, headers in self.requests if path.startswith("/storage")]


class Handler(BaseHTTPRequestHandler):
    """Kaggle's API (POST, answers with a redirect) and the storage behind it (GET, knows ranges)."""

    kaggle: FakeKaggle

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.kaggle.requests.append((self.path, dict(self.headers)))
        basic = base64.b64encode(f"someone:{LEGACY_KEY}".encode()).decode()
        known = self.headers["Authorization"] in (f"Bearer {TOKEN}", f"Basic {basic}")
        name = body.get("fileName", "all.zip")
        held = name in self.kaggle.files or (name == "all.zip" and self.kaggle.bundle is not None)
        status = self.kaggle.refuse or (302 if known and held else 404 if known else 401)
        if status != 302:
            self.refuse(status)
            return
        assert body["competitionName"] == FER2013.competition
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.kaggle.port}/storage/{name}?sig={SIGNATURE}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def refuse(self, status: int) -> None:
        # As Kaggle does, and worse: the answer repeats the request's secret.
        text = json.dumps({"code": status, "message": f"no: {self.headers['Authorization']}"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if status == 429:
            self.send_header("Retry-After", "17")
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.kaggle.requests.append((self.path, dict(self.headers)))
        name = self.path.removeprefix("/storage/").partition("?")[0]
        whole = self.kaggle.bundle if name == "all.zip" else self.kaggle.files[name]
        assert whole is not None
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        content = whole[int(asked[1]) :] if asked else whole
        digest = hashlib.md5(b"other" if self.kaggle.lie_about_md5 else whole).digest()
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Tue, 01 Jan 2013 00:00:00 GMT")
        self.send_header("x-goog-hash", f"md5={base64.b64encode(digest).decode()}")
        self.end_headers()
        cut, self.kaggle.cut_at = self.kaggle.cut_at, None
        self.wfile.write(content[:cut])

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKaggle]:
    fake = FakeKaggle(files={"fer2013.tar.gz": tarred(csv_text())})
    handler = type("BoundHandler", (Handler,), {"kaggle": fake})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        fake.port = listener.server_address[1]
        point_at(monkeypatch, fake.port)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        listener.shutdown()
        thread.join()


def point_at(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Send kagglehub to a port of this machine: its own setting knows ports 80 and 7777 alone."""
    from kagglesdk import kaggle_env

    for environment in (kaggle_env.KaggleEnv.LOCAL, kaggle_env.KaggleEnv.TEST):
        monkeypatch.setitem(kaggle_env._env_to_endpoint, environment, f"http://127.0.0.1:{port}")
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials, and no way out but loopback."""
    folder = tmp_path / "home"
    (folder / ".kaggle").mkdir(parents=True)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder / ".kaggle"))
    for name in (
        "KAGGLE_API_TOKEN",
        "KAGGLE_USERNAME",
        "KAGGLE_KEY",
        "KAGGLEHUB_CACHE",
        "KAGGLE_KERNEL_RUN_TYPE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    return folder


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    return TOKEN


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "fer2013"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_the_file_arrives_whole_and_with_a_manifest(server: FakeKaggle, token: str, out: Path) -> None:
    got = kaggle.fetch(out, release=RELEASE)
    sent = server.files["fer2013.tar.gz"]
    assert got.downloaded
    assert got.path == out / "fer2013.tar.gz"
    assert got.path.read_bytes() == sent
    assert names(out) == ["fer2013.tar.gz", MANIFEST]
    written = json.loads((out / MANIFEST).read_text())
    assert written["sha256"] == hashlib.sha256(sent).hexdigest()
    assert written["csv_sha256"] == hashlib.sha256(csv_text()).hexdigest()
    assert written["rows"] == ROWS
    assert written["bytes"] == len(sent)


def test_the_token_goes_to_kaggle_but_not_to_the_storage(server: FakeKaggle, token: str, out: Path) -> None:
    kaggle.fetch(out, release=RELEASE)
    (path, headers), *_ = server.requests
    assert path == "/api/v1/competitions.CompetitionApiService/DownloadDataFile"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert server.storage
    assert all("Authorization" not in headers for headers in server.storage)


def test_legacy_keys_work_from_the_environment_and_from_kaggle_json(
    server: FakeKaggle, out: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": "someone", "key": LEGACY_KEY}))
    assert credentials_source() == str(home / ".kaggle" / "kaggle.json")
    assert kaggle.fetch(out, release=RELEASE).downloaded
    (home / ".kaggle" / "kaggle.json").unlink()
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", LEGACY_KEY)
    assert credentials_source() == "KAGGLE_USERNAME and KAGGLE_KEY"
    assert kaggle.fetch(out, force=True, release=RELEASE).downloaded


def test_an_access_token_file_works(server: FakeKaggle, out: Path, home: Path) -> None:
    (home / ".kaggle" / "access_token").write_text(TOKEN + "\n")
    assert credentials_source() == str(home / ".kaggle" / "access_token")
    assert kaggle.fetch(out, release=RELEASE).downloaded


def test_a_second_fetch_asks_nobody_and_needs_no_credentials(
    server: FakeKaggle, token: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kaggle.fetch(out, release=RELEASE)
    asked = len(server.requests)
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    second = kaggle.fetch(out, release=RELEASE)
    assert not second.downloaded
    assert second.manifest == first.manifest
    assert len(server.requests) == asked


def test_force_downloads_again(server: FakeKaggle, token: str, out: Path) -> None:
    kaggle.fetch(out, release=RELEASE)
    asked = len(server.requests)
    assert kaggle.fetch(out, force=True, release=RELEASE).downloaded
    assert len(server.requests) > asked


def test_a_file_that_changed_since_is_refused_until_forced(server: FakeKaggle, token: str, out: Path) -> None:
    path = kaggle.fetch(out, release=RELEASE).path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    changed = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DownloadError, match=rf"{changed}[\s\S]*--force"):
        kaggle.fetch(out, release=RELEASE)
    kaggle.fetch(out, force=True, release=RELEASE)
    assert not kaggle.fetch(out, release=RELEASE).downloaded


def test_a_file_put_there_by_hand_is_verified_and_gets_a_manifest(out: Path) -> None:
    out.mkdir()
    (out / "fer2013.tar.gz").write_bytes(tarred(csv_text()))
    assert not kaggle.fetch(out, release=RELEASE).downloaded
    assert names(out) == ["fer2013.tar.gz", MANIFEST]


def test_a_cut_download_continues_where_it_stopped(server: FakeKaggle, token: str, out: Path) -> None:
    server.files["fer2013.tar.gz"] = tarred(csv_text(), padding=3_000_000)
    server.cut_at = 2_500_000
    # kagglehub writes by the MiB.
    with pytest.raises(DownloadError, match=r"cut .* with 2,097,152 bytes .* continues where it stopped"):
        kaggle.fetch(out, release=RELEASE)
    assert names(out) == [".partial"]
    kaggle.fetch(out, release=RELEASE)
    assert [headers.get("Range") for headers in server.storage][-1] == "bytes=2097152-"
    assert (out / "fer2013.tar.gz").read_bytes() == server.files["fer2013.tar.gz"]
    assert names(out) == ["fer2013.tar.gz", MANIFEST]


def test_a_cut_download_leaves_the_earlier_file_alone(server: FakeKaggle, token: str, out: Path) -> None:
    kaggle.fetch(out, release=RELEASE)
    server.cut_at = 10_000
    with pytest.raises(DownloadError, match="cut"):
        kaggle.fetch(out, force=True, release=RELEASE)
    assert not kaggle.fetch(out, release=RELEASE).downloaded


def test_the_whole_competition_is_asked_for_where_the_file_has_another_name(
    server: FakeKaggle, token: str, out: Path
) -> None:
    header, *rows = csv_text().decode().splitlines()
    assert header == "emotion,pixels,Usage"
    swapped = [",".join(row.split(",")[i] for i in (0, 2, 1)) for row in rows]
    server.files = {}
    server.bundle = zipped(
        **{
            "icml_face_data.csv": "\n".join(["emotion, Usage, pixels", *swapped]).encode(),
            "test.csv": b"pixels\n",
        }
    )
    got = kaggle.fetch(out, release=RELEASE)
    assert got.path.name == "icml_face_data.csv"
    assert got.manifest.rows == ROWS
    assert names(out) == ["icml_face_data.csv", MANIFEST]


def test_a_competition_without_the_data_names_what_it_has(server: FakeKaggle, token: str, out: Path) -> None:
    server.files, server.bundle = {}, zipped(**{"other.csv": b"x"})
    with pytest.raises(DownloadError, match=r"but: other\.csv"):
        kaggle.fetch(out, release=RELEASE)


REFUSALS = [
    (401, CredentialsError, "refused the credentials from KAGGLE_API_TOKEN (401)", "settings/api"),
    (403, CredentialsError, "does not let you download this competition (403)", f"{FER2013.url}/rules"),
    (404, DownloadError, "no such competition or file (404)", "pip install -U kagglehub"),
    (429, DownloadError, "too many requests (429)", "again in 17 seconds"),
    (503, DownloadError, "answered 503", "again later"),
]


@pytest.mark.parametrize(("status", "kind", "what", "remedy"), REFUSALS)
def test_each_refusal_says_what_it_is_and_what_to_do(
    server: FakeKaggle, token: str, out: Path, status: int, kind: type[DownloadError], what: str, remedy: str
) -> None:
    server.refuse = status
    with pytest.raises(DownloadError) as caught:
        kaggle.fetch(out, release=RELEASE)
    assert type(caught.value) is kind
    assert what in str(caught.value)
    assert remedy in str(caught.value)


def test_a_refused_connection_says_to_check_the_network(
    token: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(monkeypatch, closed_port())
    with pytest.raises(DownloadError, match=r"cannot be reached .* Check the network"):
        kaggle.fetch(out, release=RELEASE)
    assert not out.exists()


def test_a_body_that_is_not_what_kaggle_announced_is_deleted(
    server: FakeKaggle, token: str, out: Path
) -> None:
    server.lie_about_md5 = True
    with pytest.raises(DownloadError, match="checksum"):
        kaggle.fetch(out, release=RELEASE)
    server.lie_about_md5 = False
    assert kaggle.fetch(out, release=RELEASE).downloaded


def test_missing_rows_are_refused_and_nothing_is_kept(server: FakeKaggle, token: str, out: Path) -> None:
    server.files["fer2013.tar.gz"] = tarred(csv_text(10))
    with pytest.raises(
        DownloadError, match="has 8 Training, 1 PublicTest, 1 PrivateTest; expected 16 Training, 2 PublicTest"
    ):
        kaggle.fetch(out, release=RELEASE)
    assert names(out) == []


def test_other_content_than_the_known_is_refused(server: FakeKaggle, token: str, out: Path) -> None:
    known = replace(RELEASE, md5={"fer2013.csv": hashlib.md5(csv_text()).hexdigest()})
    assert kaggle.fetch(out, release=known).downloaded
    server.files["fer2013.tar.gz"] = tarred(csv_text().replace(b" 100 ", b" 101 ", 1))
    with pytest.raises(DownloadError, match=f"expected {known.md5['fer2013.csv']}"):
        kaggle.fetch(out, force=True, release=known)
    assert not kaggle.fetch(out, release=known).downloaded


def edit_row(edit: Callable[[bytes], bytes]) -> bytes:
    lines = csv_text().split(b"\n")
    lines[3] = edit(lines[3])
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tarred(edit_row(lambda row: row.replace(b" 100 ", b" ", 1))), "line 4 .* 2,304 pixels"),
        (tarred(edit_row(lambda row: row[:500])), "line 4 is cut short"),
        (tarred(edit_row(lambda row: row + b"?")), r"1 Training\?, .*; expected"),
        (tarred(csv_text().replace(b"Usage", b"usage", 1)), "columns .*'usage'"),
        (tarred(csv_text())[:-4000], "damaged or cut short"),
        (tarred(csv_text(), "fer2013/faces.csv"), r"does not contain fer2013\.csv"),
        (b"<html>sign in</html>", "damaged or cut short"),
    ],
    ids=["pixel missing", "row cut", "unknown split", "columns", "archive cut", "no csv", "html"],
)
def test_damage_is_named(out: Path, content: bytes, reason: str) -> None:
    out.mkdir()
    (out / "fer2013.tar.gz").write_bytes(content)
    with pytest.raises(DownloadError, match=reason):
        kaggle.fetch(out, release=RELEASE)


def test_a_broken_manifest_is_named(out: Path) -> None:
    out.mkdir()
    (out / "fer2013.tar.gz").write_bytes(tarred(csv_text()))
    (out / MANIFEST).write_text("{}")
    with pytest.raises(DownloadError, match=r"manifest\.json cannot be read as a manifest .* Delete it"):
        kaggle.fetch(out, release=RELEASE)


def test_the_known_release_is_the_published_one() -> None:
    """Against torchvision's source, which pins the same two files; the counts are the challenge's."""
    torchvision = importlib.util.find_spec("torchvision")
    if torchvision is None or torchvision.origin is None:
        pytest.skip("torchvision is not installed")
    source = (Path(torchvision.origin).parent / "datasets" / "fer2013.py").read_text()
    assert dict(re.findall(r'"(?:fer|icml)": \("(.+)", "(.+)"\)', source)) == FER2013.md5
    assert sum(FER2013.rows.values()) == 35_887


def test_missing_credentials_give_the_steps(server: FakeKaggle, out: Path) -> None:
    with pytest.raises(CredentialsError) as caught:
        kaggle.fetch(out, release=RELEASE)
    for step in (
        f"{FER2013.url}/rules",
        "https://www.kaggle.com/settings/api",
        "KAGGLE_API_TOKEN",
        "~/.kaggle/access_token",
        "KAGGLE_USERNAME=<name> KAGGLE_KEY=<key>",
        "~/.kaggle/kaggle.json",
        "mien data fetch",
    ):
        assert step in str(caught.value)
    assert caught.value.exit_code == 4
    assert credentials_source() is None
    assert server.requests == []
    assert not out.exists()


def test_without_kagglehub_the_extra_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(MissingExtra, match=r"mien\[data\]"):
        kaggle.fetch(out, release=RELEASE)


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path, token: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"cannot be created .*--out"):
        kaggle.fetch(tmp_path / "file", release=RELEASE)


def everything_said(error: BaseException) -> str:
    """An error as the most talkative reporter would print it: every cause and context, with all locals.

    All but the test's own, which is the first frame, and knows the secret.
    """
    assert error.__traceback__ is not None
    error = error.with_traceback(error.__traceback__.tb_next)
    return "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    ) + "".join(str(link) for link in chain(error))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    queue = [error]
    while queue:
        link = queue.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            queue += [link.__cause__, link.__context__]


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that any library logs, with logging and HTTP debugging turned up."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    loggers = [logging.getLogger(name) for name in (None, "kagglehub", "kagglesdk", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    yield heard
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.mark.parametrize("environment", ["LOCALHOST", "TEST"])
@pytest.mark.parametrize("trouble", ["none", "cut", "md5", "401", "403", "404", "429", "503"])
def test_no_secret_gets_out(
    server: FakeKaggle,
    token: str,
    out: Path,
    loud: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
    environment: str,
) -> None:
    """In the environment TEST kagglehub prints whole requests, the token among their headers."""
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", environment)
    server.refuse = int(trouble) if trouble.isdecimal() else None
    server.cut_at = 10_000 if trouble == "cut" else None
    server.lie_about_md5 = trouble == "md5"
    said = ""
    try:
        kaggle.fetch(out, release=RELEASE)
    except DownloadError as error:
        said = everything_said(error)
    assert bool(said) == (trouble != "none")
    printed = capfd.readouterr()
    on_disk = "".join(
        path.read_text(errors="replace") for path in out.rglob("*") if path.is_file() and path.suffix != ".gz"
    )
    for text in (said, printed.out, printed.err, loud.getvalue(), on_disk):
        assert TOKEN not in text
        assert SIGNATURE not in text
    assert any(TOKEN in headers["Authorization"] for _, headers in server.requests[:1])


def test_no_secret_gets_out_when_nothing_listens(
    token: str,
    out: Path,
    loud: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point_at(monkeypatch, closed_port())
    with pytest.raises(DownloadError) as caught:
        kaggle.fetch(out, release=RELEASE)
    printed = capfd.readouterr()
    assert TOKEN not in everything_said(caught.value) + printed.out + printed.err + loud.getvalue()


@pytest.mark.parametrize(
    "text",
    [f'{{"username": "someone", "key": "{LEGACY_KEY}"', f'{{"user": "someone", "key": "{LEGACY_KEY}"}}'],
    ids=["cut", "name missing"],
)
def test_a_broken_kaggle_json_is_named_without_its_content(
    home: Path, out: Path, loud: io.StringIO, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    """A JSON error carries the whole document, so that following its context would show the key."""
    (home / ".kaggle" / "kaggle.json").write_text(text)
    with pytest.raises(CredentialsError, match=r"kaggle\.json has no Kaggle credentials") as caught:
        kaggle.fetch(out, release=RELEASE)
    assert all(LEGACY_KEY not in str(vars(link)) for link in chain(caught.value))
    printed = capfd.readouterr()
    assert LEGACY_KEY not in everything_said(caught.value) + printed.out + printed.err + loud.getvalue()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    def small(out: Path, *, force: bool = False, release: Release = RELEASE) -> kaggle.Fetched:
        return original(out, force=force, release=release)

    original = kaggle.fetch
    monkeypatch.setattr(kaggle, "fetch", small)
    app = typer.Typer()
    app.command()(fetch_command)
    return app


def test_the_command_says_what_came_and_what_is_next(
    server: FakeKaggle, token: str, out: Path, command: typer.Typer
) -> None:
    first = CliRunner().invoke(command, ["--out", str(out)])
    assert first.exit_code == 0, first.exception
    assert "fetched and verified" in first.stdout
    assert "20 faces: 16 Training, 2 PublicTest, 2 PrivateTest" in first.stdout
    assert f"next: mien data info {out / 'fer2013.tar.gz'}" in first.stdout
    second = CliRunner().invoke(command, ["--out", str(out)])
    assert "exists, verified" in second.stdout
    assert TOKEN not in first.output + second.output


def test_the_command_fails_as_the_library_does(out: Path, command: typer.Typer) -> None:
    result = CliRunner().invoke(command, ["--out", str(out)])
    assert isinstance(result.exception, CredentialsError)


def test_the_cache_setting_is_put_back(
    server: FakeKaggle, token: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", "mine")
    kaggle.fetch(out, release=RELEASE)
    assert os.environ["KAGGLEHUB_CACHE"] == "mine"


def test_the_published_release_is_the_default(out: Path) -> None:
    out.mkdir()
    (out / "fer2013.tar.gz").write_bytes(tarred(csv_text()))
    with pytest.raises(DownloadError, match="expected 28,709 Training, 3,589 PublicTest, 3,589 PrivateTest"):
        kaggle.fetch(out)
    assert kaggle_manifest.FER2013.files[0] == "fer2013.tar.gz"
