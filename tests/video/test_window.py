"""The window of `--show`, with a Tk that draws nowhere, and with a real one where there is a screen."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.analysis import VideoAnalysis, open_source
from mien.video.job import ClipJob
from mien.video.output.painter import ClipPainter
from mien.video.output.window import Window, as_ppm
from mien.video.results import AnalyzedFrame

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


class TkOfNothing:
    """Takes what a window asks of Tk and keeps it."""

    def __init__(self, screen: tuple[int, int] = (1920, 1080)) -> None:
        self.screen, self.shown, self.destroyed = screen, [], False
        self.handlers: dict[str, Callable[..., None]] = {}
        self.on_update: Callable[[], None] = lambda: None

    def module(self) -> SimpleNamespace:
        label = SimpleNamespace(pack=lambda: None, configure=lambda image: self.shown.append(image))
        return SimpleNamespace(
            Tk=lambda: self,
            Label=lambda root, **options: label,
            PhotoImage=lambda data, format: np.asarray(Image.open(io.BytesIO(data), formats=[format])),
            TclError=RuntimeError,
        )

    def title(self, text: str) -> None: ...

    def protocol(self, name: str, handler: Callable[..., None]) -> None:
        self.handlers[name] = handler

    bind = protocol

    def winfo_screenwidth(self) -> int:
        return self.screen[0]

    def winfo_screenheight(self) -> int:
        return self.screen[1]

    def update(self) -> None:
        self.on_update()

    def destroy(self) -> None:
        self.destroyed = True


@pytest.fixture
def tk(monkeypatch: pytest.MonkeyPatch) -> TkOfNothing:
    it = TkOfNothing()
    monkeypatch.setitem(sys.modules, "tkinter", it.module())
    return it


@pytest.fixture(scope="module")
def analyse(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., VideoAnalysis]:
    """Analyses a clip of one person, of 0.6 s, with its pictures kept."""
    folder = tmp_path_factory.mktemp("window")
    face = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    clip = write_clip(folder / "clip.mp4", play([Actor(face, lambda t: (300, 180, 220))], 0.6))
    analyzer = Analyzer(write_band_model(folder), threads=1)

    def make(*, live: bool = False, **options: Any) -> VideoAnalysis:
        video = open_source(clip)
        video.live = live
        return VideoAnalysis(video, analyzer, keep_frames=True, **options)

    return make


def test_each_result_is_shown_on_its_own_frame(
    tk: TkOfNothing, analyse: Callable[..., VideoAnalysis]
) -> None:
    window, painter, wanted = Window(), ClipPainter(), []
    for analyzed in analyse().details():
        assert window.show(analyzed)
        assert analyzed.frame is not None
        wanted.append(painter.paint(analyzed.frame.rgb(), analyzed.result.faces, analyzed.others))
    assert len(tk.shown) == len(wanted) == 15
    assert all(np.array_equal(shown, drawn) for shown, drawn in zip(tk.shown, wanted, strict=True))


@pytest.mark.parametrize("way", ["WM_DELETE_WINDOW", "<Escape>", "q", "Q"])
def test_the_window_is_left_by_its_frame_and_by_keys(
    tk: TkOfNothing, analyse: Callable[..., VideoAnalysis], way: str
) -> None:
    window = Window()
    first = next(analyse().details())
    assert window.show(first)
    tk.handlers[way]()
    assert not window.show(first)
    assert len(tk.shown) == 1
    window.close()
    assert tk.destroyed


def test_leaving_the_window_ends_a_camera_as_if_it_were_its_end(
    tk: TkOfNothing, analyse: Callable[..., VideoAnalysis]
) -> None:
    tk.on_update = lambda: len(tk.shown) == 3 and tk.handlers["q"]()  # type: ignore[func-returns-value]
    outcome = ClipJob(analyse(live=True), window=Window()).run()
    assert outcome.frames == 3
    assert outcome.complete
    assert outcome.error is None


def test_leaving_the_window_stops_a_file_as_ctrl_c_does(
    tk: TkOfNothing, analyse: Callable[..., VideoAnalysis]
) -> None:
    tk.on_update = lambda: tk.handlers["q"]()
    with pytest.raises(KeyboardInterrupt):
        ClipJob(analyse(), window=Window()).run()


def test_a_frame_larger_than_the_screen_is_reduced_and_keeps_its_shape() -> None:
    picture = Image.open(io.BytesIO(as_ppm(np.zeros((1080, 1920, 3), np.uint8), (1280, 800))))
    assert picture.size == (1152, 648)
    whole = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(as_ppm(whole, (1280, 800))))), whole)


def test_without_tk_what_to_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(UsageError, match=r"python3-tk.*mien live"):
        Window()


def test_without_a_screen_what_to_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("no display name")

    monkeypatch.setitem(sys.modules, "tkinter", SimpleNamespace(Tk=refuse, TclError=RuntimeError))
    with pytest.raises(UsageError, match=r"no display name.*--save, or mien live"):
        Window()


@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="needs a screen, such as xvfb-run's")
def test_the_real_tk_takes_the_frames(analyse: Callable[..., VideoAnalysis]) -> None:
    tkinter = pytest.importorskip("tkinter")
    try:
        window = Window()
    except UsageError:
        pytest.skip("the screen cannot be used")
    shown: list[AnalyzedFrame] = list(analyse().details())
    assert all(window.show(analyzed) for analyzed in shown)
    assert (window._picture.width(), window._picture.height()) == (640, 360)
    assert isinstance(window._picture, tkinter.PhotoImage)
    window.close()
