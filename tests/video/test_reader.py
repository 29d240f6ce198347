from __future__ import annotations

import functools
import http.server
import random
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mien.cli.predict.sources import split_sources
from mien.errors import ImageError, MissingExtra, UsageError
from mien.testing.clips import write_clip
from mien.video.camera import open_camera
from mien.video.frame import FramePosition, VideoFrame
from mien.video.opening import open_video
from mien.video.reader import Video
from mien.video.sources import find_clips, is_camera, is_clip

NTSC = Fraction(30000, 1001)


def shade(number: int) -> np.ndarray:
    """A picture that carries its number as its grey level, and a white mark in its upper left corner."""
    picture = np.full((48, 64, 3), 4 * number, np.uint8)
    picture[:16, :16] = 255
    return picture


def number_of(frame: VideoFrame) -> int:
    return round(float(frame.gray()[20:40, 20:40].mean()) / 4)


def clip(folder: Path, count: int = 40, *, name: str = "clip.mp4", **options: object) -> Path:
    return write_clip(folder / name, map(shade, range(count)), **options)  # type: ignore[arg-type]


def read(source: Path, **options: object) -> tuple[list[VideoFrame], Video]:
    with open_video(source) as video:
        return list(video.frames(**options)), video  # type: ignore[arg-type]


def test_frames_come_in_order_with_their_numbers(tmp_path: Path) -> None:
    frames, video = read(clip(tmp_path))
    assert [frame.index for frame in frames] == list(range(40))
    assert [number_of(frame) for frame in frames] == list(range(40))
    assert video.status.describe() is None


def test_times_of_29_97_do_not_drift(tmp_path: Path) -> None:
    frames, _ = read(clip(tmp_path, 60, rate=NTSC))
    assert [frame.time_s for frame in frames] == pytest.approx(
        [i * 1001 / 30000 for i in range(60)], abs=1e-9
    )


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    stamps = [0, 10, 500, 510, 2000]
    frames, video = read(clip(tmp_path, 5, name="clip.mkv", stamps=stamps))
    assert [frame.time_s for frame in frames] == pytest.approx([t / 1000 for t in stamps])
    assert video.status.describe() is None


def test_time_starts_at_zero_where_the_container_does_not(tmp_path: Path) -> None:
    path = clip(tmp_path, name="clip.ts", codec="mpeg2video")
    with av.open(str(path)) as container:
        assert container.start_time != 0
    frames, _ = read(path)
    assert frames[0].time_s == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize(
    ("degrees", "corner"), [(90, "lower left"), (180, "lower right"), (-90, "upper right")]
)
def test_a_phones_rotation_is_undone(tmp_path: Path, degrees: int, corner: str) -> None:
    frames, video = read(clip(tmp_path, 2, rotation=degrees))
    height, width = frames[0].gray().shape
    vertical, horizontal = corner.split()
    y = 4 if vertical == "upper" else height - 4
    x = 4 if horizontal == "left" else width - 4
    assert frames[0].gray()[y, x] > 240
    assert frames[0].size == video.size == (width, height) == ((48, 64) if abs(degrees) == 90 else (64, 48))
    assert frames[0].rgb().shape == (height, width, 3)


def test_a_reduced_frame_is_that_of_pillow(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:240, :320]
    waves = np.stack([127 + 120 * np.sin(rows / 19 + k) * np.cos(columns / 23) for k in range(3)], axis=2)
    frames, _ = read(write_clip(tmp_path / "waves.mp4", [waves.astype(np.uint8)] * 2))
    small = frames[0].rgb(80)
    oracle = Image.fromarray(frames[0].rgb()).resize((80, 60), Image.Resampling.BOX)
    assert small.shape == (60, 80, 3)
    assert np.abs(small.astype(int) - np.asarray(oracle)).mean() < 1.5
    assert frames[0].rgb(1000).shape == (240, 320, 3)  # never enlarged


@pytest.mark.parametrize(
    ("codec", "pixels"), [("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p"), ("ffv1", "yuv420p10le")]
)
def test_gray_has_the_full_range_whatever_the_clip_stores(tmp_path: Path, codec: str, pixels: str) -> None:
    """A limited-range clip stores black as 16 and white as 235; 10 bits as four times that."""
    ramp = np.repeat(np.linspace(0, 255, 256).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    path = write_clip(tmp_path / "ramp.mkv", [ramp] * 2, codec=codec, pixels=pixels)
    frames, _ = read(path)
    assert np.abs(frames[0].gray().mean(axis=0) - np.arange(256)).max() < 4


def test_start_and_end_cut_by_time_and_keep_the_numbers(tmp_path: Path) -> None:
    frames, _ = read(clip(tmp_path, 60), start_s=1.0, end_s=1.4)
    assert [frame.index for frame in frames] == list(range(25, 35))
    assert [number_of(frame) for frame in frames] == list(range(25, 35))


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.avi"])
def test_a_start_is_found_in_other_containers(tmp_path: Path, name: str) -> None:
    codec = "mpeg2video" if name.endswith("ts") else "mpeg4"
    frames, _ = read(clip(tmp_path, 60, name=name, codec=codec), start_s=1.6)
    assert [number_of(frame) for frame in frames] == [frame.index for frame in frames] == list(range(40, 60))


def test_every_takes_the_first_frame_of_each_span_without_drifting(tmp_path: Path) -> None:
    frames, _ = read(clip(tmp_path, 60, rate=NTSC), interval_s=0.1)
    assert [frame.index for frame in frames] == [0, 3, 6, 9, *range(12, 60, 3)]
    wanted = [k * 0.1 for k in range(20)]
    assert all(0 <= frame.time_s - t < 1 / 29.97 for frame, t in zip(frames, wanted, strict=True))


def test_going_on_behind_a_frame_gives_what_would_have_come(tmp_path: Path) -> None:
    path = clip(tmp_path, 60, rate=NTSC)
    for every in (None, 0.2):
        whole, _ = read(path, start_s=0.3, interval_s=every)
        at = whole[3]
        rest, _ = read(path, start_s=0.3, interval_s=every, after=FramePosition(at.index, at.time_s, at.pts))
        assert [(f.index, f.time_s) for f in rest] == [(f.index, f.time_s) for f in whole[4:]]


def test_a_cut_file_gives_what_is_there_and_says_where_it_ended(tmp_path: Path) -> None:
    path = clip(tmp_path, 60, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, video = read(path)
    assert 10 < len(frames) < 50
    assert [number_of(frame) for frame in frames] == list(range(len(frames)))
    said = video.status.describe()
    assert said is not None
    assert f"ended at {frames[-1].time_s:.2f} s of 2.40 s" in said
    assert "cut short" in said


def test_a_broken_frame_is_left_out_and_counted(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    path = write_clip(tmp_path / "clip.avi", noise, codec="png", pixels="rgb24")
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.pts is not None][30]
        place = path.read_bytes().index(bytes(packet))
    raw = bytearray(path.read_bytes())
    for i in range(place, place + 200):
        raw[i] = random.Random(i).randrange(256)
    path.write_bytes(raw)
    frames, video = read(path)
    assert video.status.broken == 1
    assert 58 <= len(frames) <= 59
    assert frames[-1].time_s == pytest.approx(59 / 25)
    assert "1 broken frame left out, the first behind 1.16 s" in (video.status.describe() or "")


def test_a_file_cut_before_its_index_says_so(tmp_path: Path) -> None:
    path = clip(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ImageError, match="cut off before its index"):
        open_video(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
    with pytest.raises(ImageError, match="no moving images"):
        open_video(path)


@pytest.mark.parametrize(
    "options", [{"start_s": -1.0}, {"start_s": 1.0, "end_s": 1.0}, {"interval_s": 0.0}, {"start_s": 99.0}]
)
def test_times_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        read(clip(tmp_path), **options)


def test_an_address_is_read_only_when_asked_for(tmp_path: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    clip(tmp_path, name="clip.mkv")
    handler: Callable[..., Quiet] = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://me:secret@127.0.0.1:{server.server_port}/clip.mkv"
        with pytest.raises(UsageError, match="--stream") as refused:
            open_video(address)
        with open_video(address, stream=True) as video:
            count = len(list(video.frames()))
        with pytest.raises(ImageError) as missing:
            open_video(address.replace("clip.mkv", "none.mkv"), stream=True)
        server.shutdown()
        thread.join()
    assert count == 40
    assert not video.live
    assert all("secret" not in str(text) for text in (refused.value, missing.value, video.source))


def test_sources_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_camera("0")
    assert is_camera("/dev/video2")
    Path("7").touch()
    assert not is_camera("7")
    assert is_clip("Holiday.MOV")
    assert not is_clip("photo.jpg")
    assert not is_clip("rtsp://host/x.mp4")


def test_clips_of_folders_and_globs_are_found_sorted_and_once(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MKV", "photo.jpg"):
        (tmp_path / name).touch()
    assert find_clips([str(tmp_path), str(tmp_path / "*.mp4")]) == [tmp_path / "a.MKV", tmp_path / "b.mp4"]
    (tmp_path / "empty").mkdir()
    for source in ("empty", "absent.mp4"):
        with pytest.raises(ImageError, match=source):
            find_clips([str(tmp_path / source)])


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path, 2)
    monkeypatch.setitem(sys.modules, "av", None)
    for opened in (lambda: open_video(path), lambda: open_camera(0)):
        with pytest.raises(MissingExtra, match=r"mien\[video\]"):
            opened()


@pytest.mark.parametrize("interval_s", [None, 0.1, 0.24])
def test_a_cut_between_two_frames_that_are_left_out_is_noticed(
    tmp_path: Path, interval_s: float | None
) -> None:
    """With a sampling interval, cuts were looked for between the frames that were left: every pan was one."""
    rng = np.random.default_rng(0)
    shots = [Image.fromarray(rng.integers(0, 255, (6, 20, 3), np.uint8)).resize((640, 192)) for _ in range(2)]
    frames = [
        np.asarray(shots[i >= 33].crop((4 * i, 0, 4 * i + 256, 192)).resize((64, 48))) for i in range(60)
    ]
    read_frames, _ = read(write_clip(tmp_path / "cut.mp4", frames), interval_s=interval_s)
    assert [frame.scene for frame in read_frames] == [int(frame.index >= 33) for frame in read_frames]


def test_programs_in_typescript_are_no_clips(tmp_path: Path) -> None:
    (tmp_path / "app.ts").write_text('import { createApp } from "vue";\n')
    with pytest.raises(ImageError, match="contains no clips"):
        find_clips([str(tmp_path)])
    assert split_sources([str(tmp_path)])[0] == []
    (tmp_path / "stream.ts").write_bytes(b"G" + bytes(187))
    assert find_clips([str(tmp_path), str(tmp_path / "*.ts")]) == [tmp_path / "stream.ts"]
    assert split_sources([str(tmp_path)])[0] == [str(tmp_path)]
