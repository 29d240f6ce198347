"""A clip through the whole chain: real decoding, the real detector, a model of bands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

import mien
from mien.detection.blazeface import BlazeFace
from mien.emotions import ABSTAIN, VOTES
from mien.errors import ImageError, UsageError
from mien.geometry import iou
from mien.inference.analyzer import Analyzer
from mien.models.card import Head
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import FakeDetector, write_band_model
from mien.video.analysis import VideoAnalysis, analyze_video, live, open_source
from mien.video.results import FrameResult
from mien.video.smoothing import CausalSmoother, Smoothing

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
Where = Callable[[float], tuple[float, float, float] | None]


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    model = write_band_model(tmp_path_factory.mktemp("model"), heads=(Head("votes", VOTES, ABSTAIN),))
    return Analyzer(model, threads=1)


@pytest.fixture(scope="module")
def people() -> tuple[np.ndarray, np.ndarray]:
    """Two who do not look alike: a photo, and its mirror image in cold gray."""
    anna = Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260))
    bert = np.asarray(ImageEnhance.Color(ImageOps.mirror(anna)).enhance(0.1)) * [0.75, 0.85, 1.1]
    return np.asarray(anna), bert.clip(0, 255).astype(np.uint8)


def clip(folder: Path, actors: Iterable[tuple[np.ndarray, Where]], seconds: float, **options: object) -> Path:
    scene = play([Actor(*it) for it in actors], seconds)
    return write_clip(folder / "clip.mp4", scene, **options)  # type: ignore[arg-type]


def ids_near(results: Iterable[FrameResult], where: Where, within: float = 30) -> list[int]:
    """The numbers of the faces near the middle of an actor's picture, in order of time."""
    ids = []
    for result in results:
        place = where(result.time_s)
        ids += [
            face.id
            for face in result.faces
            if place and abs(face.box[0] + face.box[2] / 2 - place[0]) < within
        ]
    return ids


def test_a_face_that_pans_is_one_person_in_every_frame(
    tmp_path: Path, analyzer: Analyzer, people: tuple[np.ndarray, np.ndarray]
) -> None:
    path = clip(tmp_path, [(people[0], lambda t: (120 + 250 * t, 180, 220))], 1.2)
    results = list(analyze_video(path, analyzer=analyzer))
    assert [result.frame for result in results] == list(range(30))
    assert [result.time_s for result in results] == pytest.approx([i / 25 for i in range(30)])
    assert [[face.id for face in result.faces] for result in results] == [[1]] * 30
    emotions = results[7].faces[0].face.emotions
    assert sum(emotions.values()) == pytest.approx(1, abs=1e-5)


def test_two_who_cross_keep_their_identities(
    tmp_path: Path, analyzer: Analyzer, people: tuple[np.ndarray, np.ndarray]
) -> None:
    def right(t: float) -> tuple[float, float, float]:
        return (100 + 180 * t, 180, 220)

    def left(t: float) -> tuple[float, float, float]:
        return (560 - 180 * t, 190, 200)

    path = clip(tmp_path, [(people[0], right), (people[1], left)], 2.6)
    results = list(analyze_video(path, analyzer=analyzer))
    assert min(len(result.faces) for result in results) == 1
    apart = [result for result in results if abs(right(result.time_s)[0] - left(result.time_s)[0]) > 70]
    assert set(ids_near(apart, right)) == {1}
    assert set(ids_near(apart, left)) == {2}
    assert len(ids_near(apart, right)) > 45


def test_behind_a_cut_somebody_elsewhere_is_somebody_new(
    tmp_path: Path, analyzer: Analyzer, people: tuple[np.ndarray, np.ndarray]
) -> None:
    wall = np.full((36, 64, 3), 235, np.uint8)
    path = clip(
        tmp_path,
        [
            (people[0], lambda t: (180, 180, 260) if t < 0.6 else None),
            (wall, lambda t: (320, 180, 360) if t >= 0.6 else None),
            (people[1], lambda t: (450, 180, 260) if t >= 0.6 else None),
        ],
        1.2,
    )
    results = list(analyze_video(path, analyzer=analyzer))
    assert [[face.id for face in result.faces] for result in results] == [[1]] * 15 + [[2]] * 15


def test_detecting_in_some_frames_gives_the_boxes_of_detecting_in_all(
    tmp_path: Path, analyzer: Analyzer, people: tuple[np.ndarray, np.ndarray]
) -> None:
    path = clip(tmp_path, [(people[0], lambda t: (200 + 90 * t, 180, 180 * 1.3**t))], 1.4)
    every, other = (
        list(VideoAnalysis(open_source(path), analyzer, detect_interval_s=span)) for span in (0.0, 0.1)
    )
    assert [len(result.faces) for result in other] == [len(result.faces) for result in every]
    overlaps = [iou(a.faces[0].box, b.faces[0].box) for a, b in zip(every, other, strict=True)]
    assert min(overlaps) > 0.85
    assert np.mean([result.faces[0].detected for result in other]) < 0.55


def test_a_clip_without_faces_has_results_without_faces(tmp_path: Path, analyzer: Analyzer) -> None:
    path = clip(tmp_path, [], 0.4)
    results = list(analyze_video(path, analyzer=analyzer))
    assert [(result.frame, result.faces) for result in results] == [(i, ()) for i in range(10)]


def test_every_start_and_end_choose_the_frames(tmp_path: Path, analyzer: Analyzer) -> None:
    path = clip(tmp_path, [], 2.0)
    results = analyze_video(path, analyzer=analyzer, start_s=0.4, end_s=1.2, interval_s=0.2)
    assert [result.frame for result in results] == [10, 15, 20, 25]


def test_the_biggest_is_one_person(
    tmp_path: Path, analyzer: Analyzer, people: tuple[np.ndarray, np.ndarray]
) -> None:
    path = clip(
        tmp_path, [(people[0], lambda t: (150, 180, 240)), (people[1], lambda t: (480, 180, 170))], 0.6
    )
    results = list(analyze_video(path, analyzer=analyzer, faces="biggest"))
    assert all(len(result.faces) == 1 and result.faces[0].box[0] < 300 for result in results)


def test_live_frames_are_smoothed_from_the_past_alone_and_given_at_once(
    tmp_path: Path, analyzer: Analyzer, people: tuple[np.ndarray, np.ndarray]
) -> None:
    path = clip(tmp_path, [(people[0], lambda t: (200 + 60 * t, 180, 220))], 1.0)
    video = open_source(path)
    video.live = True
    video.frames = _without_haste(video.frames)  # type: ignore[method-assign]
    analysis = VideoAnalysis(video, analyzer, smoothing=Smoothing(0.3))
    results = list(analysis)
    assert analysis.dropped.count + len(results) == 25
    seen = [result for result in results if result.faces]
    assert seen[0].time_s >= 0.1 - 1e-6  # confirmed only then
    smoother = CausalSmoother(Smoothing(0.3))
    follower = [np.array(list(r.faces[0].raw.emotions.values()), np.float32) for r in seen]
    smooth = [smoother.step(r.time_s, row) for r, row in zip(seen, follower, strict=True)]
    late = np.array(list(seen[-1].faces[0].face.emotions.values()))
    assert late == pytest.approx(smooth[-1], abs=0.02)  # their beginnings differ by what was unconfirmed


def test_live_reads_a_camera_and_nothing_else(
    tmp_path: Path,
    analyzer: Analyzer,
    people: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A clip takes the camera's place behind `av.open`, as the driver of a camera would."""
    path = clip(tmp_path, [(people[0], lambda t: (200 + 60 * t, 180, 220))], 1.0)
    real, asked = av.open, []

    def open_device(file: str, mode: str, **options: object) -> object:
        asked.append((file, options))
        return real(str(path), mode)

    monkeypatch.setattr(av, "open", open_device)
    monkeypatch.setattr("mien.video.camera._device", lambda name: ("v4l2", f"/dev/video{name}"))
    with live(camera=0, analyzer=analyzer) as results:
        results.video.frames = _without_haste(results.video.frames)  # type: ignore[method-assign]
        seen = [result for result in results if result.faces]
    assert asked[0][0] == "/dev/video0"
    assert {face.id for result in seen for face in result.faces} == {1}
    assert seen[0].source == "camera 0"
    assert "Plug it in again" in (results.status.describe() or "")
    with pytest.raises(UsageError, match="not a camera"):
        live(str(path))
    with pytest.raises(UsageError, match="--stream"):
        live("rtsp://127.0.0.1/1")


def _without_haste(frames: Callable[..., Iterable[object]]) -> Callable[..., Iterable[object]]:
    """A source that waits until what it gave is taken, as slow as the slowest camera."""
    import time

    def slow(**options: object) -> Iterable[object]:
        for frame in frames(**options):
            yield frame
            time.sleep(0.04)

    return slow


def test_smoothed_and_raw_stand_side_by_side(
    tmp_path: Path, analyzer: Analyzer, people: tuple[np.ndarray, np.ndarray]
) -> None:
    path = clip(tmp_path, [(people[0], lambda t: (200 + 150 * t, 180, 220))], 1.0)
    plain = list(analyze_video(path, analyzer=analyzer, smooth_s=0))
    assert all(face.face == face.raw for result in plain for face in result.faces)
    smooth = list(analyze_video(path, analyzer=analyzer, smooth_s=0.3))

    def jumps(values: list[float]) -> float:
        return float(np.abs(np.diff(values)).sum())

    raw, kept = ([getattr(r.faces[0], name).emotions["happy"] for r in smooth] for name in ("raw", "face"))
    assert raw == pytest.approx([r.faces[0].raw.emotions["happy"] for r in plain], abs=1e-5)
    assert jumps(kept) < 0.7 * jumps(raw)


def test_a_mask_for_a_second_is_said_in_its_frames_alone(
    tmp_path: Path, people: tuple[np.ndarray, np.ndarray]
) -> None:
    masked = people[0].copy()
    masked[125:175, 65:130] = 235  # from the nose to the chin
    path = write_clip(
        tmp_path / "mask.mp4",
        play(
            [
                Actor(people[0], lambda t: (320, 180, 300)),
                Actor(masked, lambda t: (320, 180, 300) if 1 <= t < 2 else None),
            ],
            3.0,
            rate=12.5,
        ),
        rate=Fraction(25, 2),
    )
    results = list(analyze_video(path, analyzer=Analyzer("mien-tiny", threads=1)))
    for result in results:
        (face,) = result.faces
        assert face.face.warnings == face.raw.warnings == (("covered",) if 1 <= result.time_s < 2 else ())
        assert face.face.uncertain >= bool(face.face.warnings)
        assert face.face.quality is not None
        assert face.face.quality.size > 80
    table = mien.to_frame(results)
    assert list(table["warnings"].unique()) == ["", "covered"]
    assert mien.summary(table)["warned"].item() == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize("interval_s", [None, 0.1, 0.2])
@pytest.mark.parametrize("mode", ["clip", "off"])
def test_behind_a_cut_somebody_else_in_the_same_place_is_new_and_nothing_is_smoothed_across(
    tmp_path: Path,
    analyzer: Analyzer,
    people: tuple[np.ndarray, np.ndarray],
    interval_s: float | None,
    mode: Literal["clip", "off"],
) -> None:
    """Two close-ups that follow each other were one person, with a second of mixed expressions."""
    scenes = [play([Actor(pixels, lambda t: (320, 180, 260))], 1.0) for pixels in people]
    walls = [np.full((360, 640, 3), level, np.uint8) for level in (40, 0)]
    frames = [np.maximum(frame, wall) for scene, wall in zip(scenes, walls, strict=True) for frame in scene]
    frames[25:] = [np.where(frame > 118, frame, frame // 3) for frame in frames[25:]]  # another room
    path = write_clip(tmp_path / "cut.mp4", frames)
    results = list(analyze_video(path, analyzer=analyzer, interval_s=interval_s, people=mode))
    numbers = [(result.time_s, face.id) for result in results for face in result.faces]
    assert {number for time_s, number in numbers if time_s < 1} == {1}
    assert {number for time_s, number in numbers if time_s >= 1} == {2}
    for result in results:
        for face in result.faces:
            # Nothing moves within a shot, so that smoothing changes nothing unless it reaches across the cut.
            assert face.face.emotions == pytest.approx(face.raw.emotions, abs=0.02)


@pytest.mark.parametrize(("mode", "number"), [("clip", 1), ("off", 2)])
def test_who_returns_after_three_seconds_gets_the_number_back_in_clip_alone(
    tmp_path: Path,
    analyzer: Analyzer,
    people: tuple[np.ndarray, np.ndarray],
    mode: Literal["clip", "off"],
    number: int,
) -> None:
    path = clip(tmp_path, [(people[0], lambda t: (200, 180, 220) if not 0.6 <= t < 3.6 else None)], 4.4)
    results = list(analyze_video(path, analyzer=analyzer, people=mode))
    numbers = [face.id for result in results if result.time_s > 3.6 for face in result.faces]
    assert set(numbers) == {number}
    assert len(numbers) >= 18


def test_people_of_all_clips_cannot_be_meant_for_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="people must be clip or off, not 'all'"):
        analyze_video(clip(tmp_path, [], 0.2), people="all")  # type: ignore[arg-type]


def test_an_error_of_the_detector_reaches_the_caller(tmp_path: Path, analyzer: Analyzer) -> None:
    class Broken:
        def detect(self, image_rgb: np.ndarray) -> list[object]:
            raise ImageError("the detector is broken")

    path = clip(tmp_path, [], 0.4)
    other = Analyzer.__new__(Analyzer)
    other.__dict__ |= analyzer.__dict__ | {"detector": Broken()}
    with pytest.raises(ImageError, match="detector is broken"):
        list(analyze_video(path, analyzer=other))


def test_who_stops_early_can_close(tmp_path: Path, analyzer: Analyzer) -> None:
    path = clip(tmp_path, [], 2.0)
    with analyze_video(path, analyzer=analyzer) as analysis:
        assert next(analysis).frame == 0
    assert list(analysis) == []
    analyze_video(path, analyzer=analyzer).close()  # never begun


def test_a_detector_of_ones_own_works(tmp_path: Path, analyzer: Analyzer) -> None:
    other = Analyzer.__new__(Analyzer)
    other.__dict__ |= analyzer.__dict__ | {"detector": FakeDetector(((100, 50, 80, 80), (300, 50, 60, 60)))}
    results = list(analyze_video(clip(tmp_path, [], 0.4), analyzer=other))
    assert [[(face.id, face.box) for face in r.faces] for r in results] == [
        [(1, (100, 50, 80, 80)), (2, (300, 50, 60, 60))]
    ] * 10


def test_a_cut_file_says_where_it_ended(tmp_path: Path, analyzer: Analyzer) -> None:
    path = clip(tmp_path, [], 2.0, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    analysis = analyze_video(path, analyzer=analyzer)
    last = list(analysis)[-1]
    assert f"ended at {last.time_s:.2f} s of 2.00 s" in (analysis.status.describe() or "")


def test_a_negative_smoothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="smooth_s"):
        analyze_video(tmp_path / "x.mp4", smooth_s=-1)


def test_the_shipped_detector_finds_small_faces_with_more_detail(
    tmp_path: Path, analyzer: Analyzer, people: tuple[np.ndarray, np.ndarray]
) -> None:
    scene = play([Actor(people[0], lambda t: (300, 400, 110))], 0.2, size=(1280, 720))
    path = write_clip(tmp_path / "small.mp4", scene)
    fine = list(analyze_video(path, analyzer=analyzer, detector_size=1280))
    assert all(len(result.faces) == 1 for result in fine)
    assert isinstance(analyzer.detector, BlazeFace)
