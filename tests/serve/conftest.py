"""A server with a small model, in this process and on a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from mien.emotions import ABSTAIN, FER2013, VOTES
from mien.inference.analyzer import Analyzer
from mien.models.card import Head
from mien.serve.app import create_app
from mien.serve.server import listen as open_listener
from mien.serve.server import make_server
from mien.serve.settings import Limits, Settings
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.batch import predict_clips
from mien.video.options.clips import ClipOptions
from mien.video.options.study import StudyOptions

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with both heads that predicts where a face is bright."""
    folder = tmp_path_factory.mktemp("serve-model")
    return write_band_model(folder, heads=(Head("fer2013", FER2013), Head("votes", VOTES, ABSTAIN)))


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG with one face."""
    return PHOTO.read_bytes()


def ready(app: Any, **options: Any) -> TestClient:
    """A client that uses an allowed host name."""
    return TestClient(app, base_url="http://127.0.0.1:8000", **options)


@pytest.fixture(scope="module")
def client(model: Path) -> Iterator[TestClient]:
    """A client of a server with default settings and warm models."""
    with ready(create_app(Settings(model=model, workers=2))) as made:
        wait_until_ready(made)
        yield made


@pytest.fixture
def make_client(model: Path) -> Iterator[Callable[..., TestClient]]:
    """Makes clients of servers with other settings; keywords of `Limits` set the limits."""
    with ExitStack() as stack:

        def make(**options: Any) -> TestClient:
            limits = {
                name: options.pop(name) for name in list(options) if name in Limits.__dataclass_fields__
            }
            settings = Settings(model=model, workers=1, limits=Limits(**limits), **options)
            return stack.enter_context(ready(create_app(settings)))

        yield make


def wait_until_ready(client: TestClient) -> None:
    """Until the models are warm; fails after a minute."""
    for _ in range(600):
        if client.get("/readyz").status_code == 200:
            return
        threading.Event().wait(0.1)
    pytest.fail("the server was not ready after a minute")


@contextmanager
def listening(settings: Settings) -> Iterator[str]:
    """The address of a server that listens on a free port of this machine."""
    server = make_server(settings)
    port = 0 if settings.port == Settings.port else settings.port
    with open_listener("127.0.0.1", port) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + 60
            while not server.started and thread.is_alive() and time.monotonic() < deadline:
                threading.Event().wait(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def listen() -> Callable[[Settings], AbstractContextManager[str]]:
    """Makes listening servers, on the port of their settings or on a free one."""
    return listening


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips: one person jumps across the scene beside another one, people 1, 2 and 3; and a person alone,
    in a format that browsers do not play."""
    folder = tmp_path_factory.mktemp("clips")
    with Image.open(PHOTO) as image:
        anna = np.asarray(image.convert("RGB").crop((130, 0, 330, 260)))
    scene = [
        Actor(anna, lambda t: (100, 170, 200 + 20 * t) if t < 1 else None),
        Actor(anna, lambda t: (330, 180, 150)),
        Actor(anna, lambda t: (540, 170, 200) if t >= 1 else None),
    ]
    lit = (frame * (0.65 + 0.3 * np.sin(i / 2)) for i, frame in enumerate(play(scene, 2)))
    write_clip(folder / "two.webm", (frame.astype(np.uint8) for frame in lit), codec="libvpx")
    write_clip(folder / "old.avi", play([Actor(anna, lambda t: (300 + 60 * t, 180, 220))], 0.8))
    return folder


@pytest.fixture(scope="session")
def study(clips: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of these clips; copy it to change it."""
    out = tmp_path_factory.mktemp("out") / "study"
    options = ClipOptions(out=out, study=StudyOptions(threshold=0.16, hysteresis=0.005), people="off")
    assert predict_clips([str(clips)], Analyzer(model, labels="fer2013", threads=1), options) == 0
    return out
