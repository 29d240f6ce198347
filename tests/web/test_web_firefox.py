"""The static page in Firefox, driven by its own protocol (Marionette): Playwright needs a patched Firefox."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from mien import analyze

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PATIENCE_S = 90

pytestmark = pytest.mark.skipif(FIREFOX is None, reason="no Firefox: install the system's `firefox-esr`")

Serve = Callable[[Path], AbstractContextManager[str]]

# A camera of moving colours, without a question to the user; nothing of the browser's own in the background.
PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class Firefox:
    """Commands of WebDriver over Marionette's socket: ``LENGTH:[0, id, name, parameters]``.

    Source: firefox-source-docs.mozilla.org, Marionette, Protocol.
    """

    def __init__(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
                break
            except OSError:
                assert time.monotonic() < deadline, "Firefox did not start"
                time.sleep(0.2)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._read()  # the greeting
        self.send("WebDriver:NewSession", {})

    def send(self, name: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, name, parameters]).encode()
        self._socket.sendall(str(len(message)).encode() + b":" + message)
        _, _, error, value = self._read()
        assert error is None, error
        return value.get("value", value) if isinstance(value, dict) else value

    def evaluate(self, expression: str) -> Any:
        return self.send("WebDriver:ExecuteScript", {"script": f"return {expression}", "args": []})

    def wait(self, condition: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, f"never: {condition}"
            time.sleep(0.1)

    def open(self, address: str) -> None:
        self.send("WebDriver:Navigate", {"url": address})
        self.wait("document.getElementById('model').textContent !== ''")

    def choose(self, selector: str, path: Path) -> None:
        """Chooses a file in an input."""
        found = self.send("WebDriver:FindElement", {"using": "css selector", "value": selector})
        (element,) = found.values()
        self.send("WebDriver:ElementSendKeys", {"id": element, "text": str(path)})

    def close(self) -> None:
        self.send("Marionette:Quit", {"flags": ["eForceQuit"]})
        self._socket.close()

    def _read(self) -> Any:
        length = b""
        while (digit := self._file.read(1)) != b":":
            assert digit, "Firefox closed the connection"
            length += digit
        return json.loads(self._file.read(int(length)))


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    profile = tmp_path / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    lines.append(f'user_pref("marionette.port", {port});')
    (profile / "user.js").write_text("\n".join(lines))
    assert FIREFOX is not None
    command = [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        browser = Firefox(port)
        yield browser
        browser.close()
        process.wait(timeout=30)


def test_a_photo_is_analyzed_also_offline_and_a_camera_gives_frames(
    site: Path, serve: Serve, firefox: Firefox
) -> None:
    """One test, since Firefox takes long to start."""
    face = analyze(PHOTO, model="mien-tiny")[0]
    shown = "document.querySelector('.face-top')?.innerText"
    with serve(site) as address:
        firefox.open(address)
        firefox.choose("#files", PHOTO)
        firefox.wait(shown)
        top, percent = firefox.evaluate(shown).split()[:2]
        assert top == face.top[0]
        assert int(percent) == pytest.approx(100 * face.top[1], abs=3)  # JPEG is decoded in another way
        firefox.wait("document.getElementById('kept').textContent.includes('works offline')")
    firefox.open(address)  # the server is gone
    firefox.choose("#files", PHOTO)
    firefox.wait(shown)
    firefox.open(address)
    assert firefox.evaluate("document.getElementById('start').disabled")
    firefox.evaluate("document.getElementById('agreed').click()")
    firefox.evaluate("document.getElementById('start').click()")
    firefox.wait("Number(document.getElementById('rows').textContent) > 3")
    assert firefox.evaluate("document.title") == "● Camera on – mien"
    assert firefox.evaluate("document.getElementById('alert').hidden")
