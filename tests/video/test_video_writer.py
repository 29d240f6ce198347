from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mien.emotions import FERPLUS
from mien.errors import ImageError
from mien.inference.face import Face
from mien.testing.clips import write_clip
from mien.video.opening import open_video
from mien.video.output.painter import ClipPainter
from mien.video.output.writer import AnnotatedClip
from mien.video.results import AnalyzedFrame, FrameResult, TrackedFace
from mien.video.threads import BackgroundWorker


def face(box: tuple[float, float, float, float], person: int = 1) -> TrackedFace:
    seen = Face(box, 0.9, {name: 0.9 if name == "happy" else 0.1 / 7 for name in FERPLUS})
    return TrackedFace(person, seen, seen)


def shades(count: int, size: tuple[int, int] = (160, 120)) -> list[np.ndarray]:
    return [np.full((size[1], size[0], 3), 40 + 3 * i, np.uint8) for i in range(count)]


def save(path: Path, out: Path, faces: tuple[TrackedFace, ...] = (), **options: object) -> Path | None:
    """A clip saved with the same faces in each picture."""
    with open_video(path) as video:
        span = {key: value for key, value in options.items() if key.endswith("_s")}
        clip = AnnotatedClip(video, out, **options)  # type: ignore[arg-type]
        for frame in open_video(path).frames(**span):  # type: ignore[arg-type]
            result = FrameResult(str(path), frame.index, frame.time_s, faces)
            clip.write(AnalyzedFrame(result, None, (), {}))
        return clip.close()


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with open_video(path) as video:
        frames = list(video.frames())
    return [frame.time_s for frame in frames], [frame.rgb() for frame in frames]


def sound(path: Path) -> tuple[np.ndarray, int, float]:
    """The first channel, its rate, and when it begins."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
    return (
        np.concatenate([frame.to_ndarray()[0] for frame in frames]),
        stream.rate,
        float(frames[0].time or 0),
    )


def pitch(wave: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(spectrum.argmax() * rate / len(wave))


@pytest.mark.parametrize("rate", [25, Fraction(30000, 1001)])
def test_frames_keep_their_times_and_the_clip_its_sound(tmp_path: Path, rate: Fraction) -> None:
    path = write_clip(tmp_path / "in.mp4", shades(50), rate=rate, tone_hz=440)
    out = save(path, tmp_path / "out.mp4")
    assert out is not None
    times, pictures = read(out)
    assert times == pytest.approx([float(i / Fraction(rate)) for i in range(50)], abs=2e-5)
    assert [picture.mean() for picture in pictures] == pytest.approx([40 + 3 * i for i in range(50)], abs=2)
    wave, hertz, start_s = sound(out)
    assert pitch(wave, hertz) == pytest.approx(440, abs=2)
    assert start_s == pytest.approx(0, abs=0.03)
    assert len(wave) / hertz == pytest.approx(50 / float(rate), abs=0.06)


def test_a_part_of_a_clip_has_its_part_of_the_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", shades(60), tone_hz=440)
    out = save(path, tmp_path / "out.mp4", start_s=0.8, end_s=1.6)
    assert out is not None
    times, pictures = read(out)
    assert times == pytest.approx([i / 25 for i in range(20)], abs=1e-4)
    assert round((pictures[0].mean() - 40) / 3) == 20
    wave, rate, _ = sound(out)
    assert len(wave) / rate == pytest.approx(0.8, abs=0.06)


def test_sound_that_mp4_does_not_hold_is_coded_anew(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    clip = write_clip(tmp_path / "silent.mkv", shades(50))
    with av.open(str(clip)) as video, av.open(str(path), "w") as to:
        track = to.add_stream_from_template(video.streams.video[0])
        tone = to.add_stream("pcm_s16le", rate=44100, layout="mono")
        wave = (8000 * np.sin(2 * np.pi * 880 * np.arange(88200) / 44100)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        frame.sample_rate = 44100
        for packet in video.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                to.mux(packet)
        to.mux(tone.encode(frame))
        to.mux(tone.encode(None))
    out = save(path, tmp_path / "out.mp4")
    assert out is not None
    wave, rate, _ = sound(out)
    assert pitch(wave, rate) == pytest.approx(880, abs=3)


def test_a_variable_rate_odd_sides_and_rotation_come_through(tmp_path: Path) -> None:
    stamps = [0, 40, 300, 310, 900]
    path = write_clip(
        tmp_path / "in.mp4",
        shades(5, (162, 120)),
        stamps=stamps,
        rotation=90,
        codec="mjpeg",
        pixels="yuvj420p",
    )
    out = save(path, tmp_path / "out.mp4")
    assert out is not None
    times, pictures = read(out)
    assert times == pytest.approx([t / 1000 for t in stamps], abs=1e-4)
    assert pictures[0].shape == (162, 120, 3)


def test_faces_are_drawn_where_they_are(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", shades(5, (640, 360)))
    bare, drawn = (
        save(path, tmp_path / "bare.mp4"),
        save(path, tmp_path / "d.mp4", (face((200, 100, 120, 120)),)),
    )
    assert bare is not None
    assert drawn is not None
    changed = np.abs(read(drawn)[1][3].astype(int) - read(bare)[1][3]).max(axis=2) > 40
    assert changed[100:220, 196:206].mean() > 0.2  # the box's left side
    assert not changed[130:200, 215:305].any()  # the face itself
    assert not changed[:80].any()


@pytest.mark.parametrize("lost", [False, True])
def test_a_resumed_video_is_the_video_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Segments that are finished are kept; one that is lost is drawn again."""
    monkeypatch.setattr("mien.video.output.writer.SEGMENT_FRAMES", 6)
    path = write_clip(tmp_path / "in.mp4", shades(40), tone_hz=440)
    faces = (face((30, 30, 50, 50)),)
    with open_video(path) as video:
        results = [FrameResult("x", f.index, f.time_s, faces) for f in video.frames()]
    analyzed = [AnalyzedFrame(result, None, (), {}) for result in results]
    made = []
    for name, stop in (("whole", None), ("broken", 20)):
        clip = AnnotatedClip(open_video(path), tmp_path / f"{name}.mp4")
        for it in analyzed[:stop]:
            clip.write(it)
        if stop:
            partial = clip.close(keep_segments=True)
            assert partial is not None
            assert len(read(partial)[0]) == 20  # what was done is kept
            segments = sorted((tmp_path / ".broken.mp4.segments").glob("*.mp4"))
            assert len(segments) == 4
            if lost:
                segments[1].unlink()
            clip = AnnotatedClip(open_video(path), tmp_path / f"{name}.mp4", resume=True)
            for it in analyzed:
                clip.write(it)
        out = clip.close()
        assert out is not None
        made.append(read(out))
    assert made[0][0] == made[1][0] == pytest.approx([it.time_s for it in results], abs=1e-4)
    assert all((a == b).all() for a, b in zip(made[0][1], made[1][1], strict=True))
    assert sorted(it.name for it in tmp_path.iterdir()) == ["broken.mp4", "in.mp4", "whole.mp4"]


def test_no_frame_gives_no_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", shades(5))
    assert AnnotatedClip(open_video(path), tmp_path / "o.mp4").close() is None
    assert [it.name for it in tmp_path.iterdir()] == ["in.mp4"]


def test_blurred_faces_cannot_be_recognised_and_the_chosen_one_stays() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (360, 640, 3), np.uint8)
    painted = ClipPainter(blur_others=True).paint(
        picture, [face((60, 100, 100, 100))], [(400, 100, 100, 100)]
    )
    other, mine = (slice(100, 200), slice(400, 500)), (slice(120, 190), slice(80, 150))
    assert painted[other].std() < 0.15 * picture[other].std()
    assert (painted[mine] == picture[mine]).all()
    unblurred = ClipPainter().paint(picture, [], [(400, 100, 100, 100)])
    assert (unblurred == picture).all()


def test_a_label_keeps_to_its_side_while_there_is_room() -> None:
    painter, ground = ClipPainter(), np.full((360, 640, 3), 128, np.uint8)

    def label_is_right(x: float) -> bool:
        painted = painter.paint(ground, [face((x, 100, 100, 100))])
        changed = (painted != ground).any(axis=(0, 2))
        return bool(changed[round(x) + 120 :].any())

    assert [label_is_right(x) for x in (100, 200, 300)] == [True] * 3
    assert not label_is_right(520)  # no room there
    assert not label_is_right(400)  # and no hopping back


def test_each_warning_has_a_row_in_the_label() -> None:
    """The label grows by a row of text per warning, beside a face with bars and a small one."""
    ground = np.full((360, 640, 3), 128, np.uint8)

    def label_height(side: int, *warnings: str) -> int:
        shown = face((100, 100, side, side))
        shown = replace(shown, face=replace(shown.face, warnings=warnings))
        painted = ClipPainter().paint(ground, [shown])
        return int((painted != ground).any(axis=2)[:, 100 + side + 20 :].any(axis=1).sum())

    for side in (100, 30):
        none, one, two = label_height(side), label_height(side, "covered"), label_height(side, "covered", "x")
        assert two - one == one - none > 10


@pytest.mark.parametrize("box", [(-50, -50, 80, 80), (600, 330, 90, 90), (0, 0, 640, 360), (10, 10, 1, 1)])
def test_faces_at_the_edge_are_drawn_too(box: tuple[float, float, float, float]) -> None:
    ground = np.full((360, 640, 3), 128, np.uint8)
    assert (ClipPainter(blur_others=True).paint(ground, [face(box)], [box]) != ground).any()


def test_background_work_is_done_in_order_and_its_error_comes_back() -> None:
    done: list[int] = []

    def work(item: int) -> None:
        if item == 5:
            raise ImageError("no more room")
        done.append(item)

    worker = BackgroundWorker(work, room=2)

    def put_all() -> None:
        for i in range(100):
            worker.put(i)

    with pytest.raises(ImageError, match="no more room"):
        put_all()
    assert done == [0, 1, 2, 3, 4]
    worker.close()
