"""Clips that are damaged: read as far as they go, or refused with an error of mien."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.testing.clips import write_clip
from mien.video.opening import open_video

av = pytest.importorskip("av")

ROUNDS = int(os.environ.get("MIEN_SOAK", "25"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clips") / "a.mp4"
    rows, columns = np.mgrid[0:64, 0:96]
    frames = [np.stack([rows * 3, columns * 2, (rows + 9 * i) % 256], 2).astype(np.uint8) for i in range(8)]
    write_clip(path, frames)
    return path.read_bytes()


def _mutated(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 3, 12, 60))):
        out[chance.randrange(len(out))] = chance.randrange(256)
    return bytes(out[: chance.randrange(1, len(out))]) if chance.random() < 0.2 else bytes(out)


def test_a_mutated_clip_is_read_as_far_as_it_goes_or_refused(clip: bytes, tmp_path: Path) -> None:
    chance, harmed = random.Random(3), 0
    for number in range(ROUNDS):
        path = tmp_path / "broken.mp4"
        path.write_bytes(_mutated(clip, chance))
        try:
            with open_video(path) as video:
                frames = sum(1 for frame in video.frames() if frame.rgb().shape)
                harmed += frames < 8 or video.status.describe() is not None
        except MienError:
            harmed += 1
        except BaseException as error:
            raise AssertionError(f"mutation {number}: {error!r}") from error
    assert harmed


def test_the_clip_itself_is_whole(clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "whole.mp4").write_bytes(clip)
    with open_video(tmp_path / "whole.mp4") as video:
        assert sum(1 for _ in video.frames()) == 8
        assert video.status.describe() is None


@pytest.mark.parametrize(
    "error", [RuntimeError("of somebody else"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x")]
)
def test_whatever_opening_raises_is_an_error_of_mien(
    error: Exception, clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    (tmp_path / "a.mp4").write_bytes(clip)
    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(MienError, match="cannot be opened"):
        open_video(tmp_path / "a.mp4")
