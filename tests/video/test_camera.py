from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from mien.errors import ImageError
from mien.testing.clips import write_clip
from mien.video.camera import open_camera, until_frozen
from mien.video.opening import open_video
from mien.video.threads import Dropped, prefetch


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOENT, "absent.*Plug it in"),
        (errno.EBUSY, "busy.*Close that program"),
        (errno.EACCES, "may not be used"),
        (errno.EIO, "cannot be opened"),
    ],
)
def test_why_a_camera_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch, code: int, said: str) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        av.error.err_check(-code)

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(ImageError, match=f"camera 0 .*{said}"):
        open_camera("0")


def test_an_absent_camera_is_said_by_the_real_system() -> None:
    with pytest.raises(ImageError, match="camera 97"):
        open_camera(97)


def test_a_frozen_camera_ends_after_three_seconds_and_says_so(tmp_path: Path) -> None:
    moving = [np.full((32, 32, 3), 5 * i, np.uint8) for i in range(25)]
    path = write_clip(tmp_path / "c.mkv", moving + [moving[-1]] * 125, codec="ffv1")
    with open_video(path) as video:
        frames = list(until_frozen(video.frames(), video))
    assert frames[-1].time_s == pytest.approx(24 / 25 + 3, abs=0.05)
    assert "frozen" in (video.status.describe() or "")


def _second(folder: Path) -> Path:
    """A second of pictures, each another."""
    pictures = [np.full((32, 32, 3), i, np.uint8) for i in range(25)]
    return write_clip(folder / "c.mkv", pictures, codec="ffv1")


def test_a_camera_that_gives_no_more_frames_was_unplugged(tmp_path: Path) -> None:
    """What the system calls it alone, `No such device`, says neither what happened nor what to do."""
    path = write_clip(
        tmp_path / "c.mkv", [np.full((32, 32, 3), i, np.uint8) for i in range(25)], codec="ffv1"
    )
    with open_video(path) as video:
        video.live = video.endless = True
        video.duration_s = None
        video.source = "camera 0"
        assert len(list(until_frozen(video.frames(), video))) == 25
    said = video.status.describe() or ""
    assert said.startswith("ended at 0.96 s: camera 0 gives no more frames; it was unplugged")
    assert "Plug it in again" in said


def test_a_camera_that_is_left_by_its_reader_was_not_unplugged(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "c.mkv", [np.full((32, 32, 3), i, np.uint8) for i in range(25)], codec="ffv1"
    )
    with open_video(path) as video:
        video.live = video.endless = True
        assert len(list(until_frozen(video.frames(end_s=0.4), video))) == 10
    assert video.status.describe() is None


def test_an_unplugged_camera_is_said_with_what_the_system_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(
        tmp_path / "c.mkv", [np.full((32, 32, 3), i, np.uint8) for i in range(25)], codec="ffv1"
    )
    video = open_video(path)
    video.live = video.endless = True
    container = video.container

    class Unplugged:
        """The container, whose device goes away behind the tenth packet."""

        def demux(self, stream: object) -> Iterator[object]:
            yield from itertools.islice(container.demux(stream), 10)  # type: ignore[call-overload]
            av.error.err_check(-errno.ENODEV)

        def close(self) -> None:
            container.close()

    video.container = Unplugged()  # type: ignore[assignment]
    with video:
        frames = list(until_frozen(video.frames(), video))
    assert 0 < len(frames) <= 10
    assert "No such device" in (video.status.describe() or "")
    assert "Plug it in again" in (video.status.describe() or "")


def test_a_camera_that_moves_is_not_frozen(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "c.mkv", [np.full((32, 32, 3), i, np.uint8) for i in range(125)], codec="ffv1"
    )
    with open_video(path) as video:
        assert len(list(until_frozen(video.frames(), video))) == 125
    assert video.status.describe() is None


def test_everything_made_ahead_arrives_in_order() -> None:
    assert list(prefetch(range(500), room=3)) == list(range(500))


def test_no_more_is_made_ahead_than_there_is_room_for() -> None:
    made = []

    def source() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    items = prefetch(source(), room=3)
    next(items)
    items.close()
    assert len(made) <= 6


def test_an_error_comes_behind_what_was_made_before_it() -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise ImageError("gone")

    items = prefetch(source(), room=8)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ImageError, match="gone"):
        next(items)


def test_live_items_that_nobody_takes_give_way_to_newer_ones() -> None:
    finished = threading.Event()

    def source() -> Iterator[int]:
        yield from range(100)
        finished.set()

    dropped = Dropped()
    items = prefetch(source(), room=2, dropped=dropped)
    first = next(items)
    assert finished.wait(5)
    assert [first, *items][-2:] == [98, 99]
    assert dropped.count >= 96


def test_a_source_that_falls_silent_is_said() -> None:
    silent = threading.Event()
    items = prefetch((silent.wait() for _ in itertools.count()), patience_s=0.05)
    with pytest.raises(ImageError, match=r"no frame came for 0\.05 s"):
        next(items)
    silent.set()
