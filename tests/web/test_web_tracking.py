"""Tracking, cuts and smoothing of the TypeScript package give what Python's give, from random cases."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.data.synthetic.faces import faces as draw_faces
from mien.video.smoothing import CausalSmoother, Smoothing, centred
from mien.video.tracking.assignment import assign
from mien.video.tracking.cuts import CLIP_LEVELS, PAGE_LEVELS, SceneCounter
from mien.video.tracking.people import People
from mien.video.tracking.portrait import Portrait, alike, likeness, portrait_of
from mien.video.tracking.tracker import Tracker, appearance_of, shrink

ROOT = Path(__file__).parents[2]
LOOKS, PERSONS = 24, 4  # portraits, each person has six
WIDTH, HEIGHT = 320, 180

Case = dict[str, Any]


def text(values: NDArray[np.uint8]) -> str:
    return b64encode(np.ascontiguousarray(values).tobytes()).decode()


def portrait_cases(random: np.random.Generator) -> list[Case]:
    """Six views of each person: shifted, lit otherwise, partly out of the frame, and of two sizes."""
    cases = []
    drawn = draw_faces(PERSONS).pixels
    for person in range(PERSONS):
        clothes = random.integers(0, 256, 3)
        for view in range(LOOKS // PERSONS):
            crop = np.roll(drawn[person], random.integers(-2, 3, 2), (0, 1)).astype(float)
            crop = crop * random.uniform(0.8, 1.1) + random.normal(0, 3, crop.shape)
            crop = crop.clip(0, 255).astype(np.uint8)
            if view % 3 == 2:
                crop = np.kron(crop, np.ones((4, 4), np.uint8))[::3, ::3]
            frame = (random.normal(0, 12, (HEIGHT, WIDTH, 3)) + clothes).clip(0, 255).astype(np.uint8)
            box = [float(value) for value in random.uniform([-20, -10, 40, 40], [280, 130, 80, 80])]
            cases.append(
                {
                    "crop": text(crop),
                    "side": len(crop),
                    "frame": text(frame),
                    "box": box,
                    "raw": (crop, frame),
                }
            )
    return cases


def track_cases(random: np.random.Generator) -> list[Case]:
    """Up to four who move, cross, vanish and return; cuts, pauses, and frames without the detector."""
    cases = []
    for seed in range(40):
        step_s = [0.04, 0.1, 0.4][seed % 3]
        places = random.uniform([50, 50], [600, 300], (PERSONS, 2))
        speeds = random.normal(0, 60, (PERSONS, 2))
        hidden = np.zeros(PERSONS)
        frames, time_s = [], 0.0
        for _ in range(60):
            time_s += step_s * random.choice([1, 1, 1, 2, 12], p=[0.6, 0.2, 0.1, 0.08, 0.02])
            places += speeds * step_s + random.normal(0, 2, places.shape)
            hidden = np.where(random.random(PERSONS) < 0.03, random.integers(1, 25, PERSONS), hidden - 1)
            cut, detected = bool(random.random() < 0.02), bool(random.random() < 0.5)
            if cut:
                places = random.permutation(places)
            seen = [i for i in random.permutation(PERSONS) if hidden[i] <= 0]
            faces = [
                {
                    "box": [*places[i].tolist(), 60 + 10 * float(i), 60 + 12 * float(i)],
                    "look": int(i * (LOOKS // PERSONS) + random.integers(LOOKS // PERSONS)),
                    "detected": detected,
                }
                for i in seen
            ]
            frames.append({"time_s": time_s, "cut": cut, "faces": faces})
        cases.append({"recognize": seed % 2 == 0, "frames": frames})
    return cases


def cut_cases(random: np.random.Generator) -> list[Case]:
    cases = []
    for levels in (CLIP_LEVELS, PAGE_LEVELS) * 5:
        image = random.integers(0, 256, (18, 32, 3))
        thumbnails = []
        for _ in range(40):
            if random.random() < 0.1:
                image = random.integers(0, random.choice([20, 120, 256]), (18, 32, 3))
            image = image + random.normal(0, 2, image.shape)
            thumbnails.append(image.clip(0, 255).astype(np.uint8))
        cases.append({"levels": levels, "thumbnails": thumbnails})
    return cases


def smoothing_cases(random: np.random.Generator) -> list[Case]:
    return [
        {
            "tau_s": tau_s,
            "times": np.cumsum(random.choice([0.02, 0.04, 0.1, 0.7], 30)).tolist(),
            "rows": random.dirichlet(np.ones(8), 30).astype(np.float32).tolist(),
        }
        for tau_s in (0.0, 0.1, 0.2, 0.5)
    ]


def assignment_cases(random: np.random.Generator) -> list[Case]:
    cases = []
    for _ in range(200):
        cost = random.uniform(0, 3, random.integers(0, 6, 2))
        cost[random.random(cost.shape) < 0.2] = np.inf
        plain = [[None if np.isinf(value) else value for value in row] for row in cost.tolist()]
        cases.append({"cost": plain, "limit": 1.6, "raw": cost})
    return cases


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Case]]:
    random = np.random.default_rng(16)
    return {
        "portraits": portrait_cases(random),
        "tracks": track_cases(random),
        "cuts": cut_cases(random),
        "smoothing": smoothing_cases(random),
        "assignments": assignment_cases(random),
    }


@pytest.fixture(scope="module")
def given(
    cases: dict[str, list[Case]], web_package: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What TypeScript gives for the cases."""
    size = {"width": WIDTH, "height": HEIGHT}
    plain: dict[str, Any] = {
        name: [{key: value for key, value in one.items() if key != "raw"} for one in many]
        for name, many in cases.items()
    }
    plain["portraits"] = [one | size for one in plain["portraits"]]
    plain["cuts"] = [one | {"thumbnails": list(map(text, one["thumbnails"]))} for one in plain["cuts"]]
    file = tmp_path_factory.mktemp("tracking") / "cases.json"
    file.write_text(json.dumps(plain))
    command = ["node", str(web_package / "tests" / "track.mjs"), str(file)]
    done = subprocess.run(command, cwd=web_package, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def portraits(cases: dict[str, list[Case]]) -> list[Portrait]:
    return [portrait_of(*one["raw"], tuple(one["box"])) for one in cases["portraits"]]


def test_portraits_are_as_alike(given: dict[str, Any], portraits: list[Portrait]) -> None:
    scores = [[(alike(a, b), likeness(a, b)) for b in portraits] for a in portraits]
    np.testing.assert_allclose(given["likeness"], scores, atol=1e-4)
    assert np.ptp(np.asarray(scores)[..., 1]) > 4  # some are of one person, some of two


def test_shrunk_crops_are_the_same(given: dict[str, Any], cases: dict[str, list[Case]]) -> None:
    assert given["small"] == [shrink(one["raw"][0]).ravel().tolist() for one in cases["portraits"]]


def test_pairs_are_the_same(given: dict[str, Any], cases: dict[str, list[Case]]) -> None:
    expected = [[list(pair) for pair in assign(one["raw"], one["limit"])] for one in cases["assignments"]]
    assert given["assignments"] == expected


def test_cuts_are_the_same(given: dict[str, Any], cases: dict[str, list[Case]]) -> None:
    expected = []
    for one in cases["cuts"]:
        counter = SceneCounter(one["levels"])
        expected.append([counter.feed(thumbnail) for thumbnail in one["thumbnails"]])
    assert given["scenes"] == expected
    assert max(map(max, expected)) > 1


def test_smoothed_rows_are_the_same(given: dict[str, Any], cases: dict[str, list[Case]]) -> None:
    for one, found in zip(cases["smoothing"], given["smoothing"], strict=True):
        how, rows = Smoothing(one["tau_s"]), np.asarray(one["rows"], np.float32)
        causal = CausalSmoother(how)
        both = [centred(one["times"], rows, at, how) for at in range(len(rows))]
        past = [causal.step(time_s, row) for time_s, row in zip(one["times"], rows, strict=True)]
        np.testing.assert_allclose(found["centred"], both, atol=1e-6)
        np.testing.assert_allclose(found["causal"], past, atol=1e-6)


def test_tracks_and_persons_are_the_same(
    given: dict[str, Any], cases: dict[str, list[Case]], portraits: list[Portrait]
) -> None:
    small = [shrink(one["raw"][0]) for one in cases["portraits"]]
    persons = 0
    for one, found in zip(cases["tracks"], given["tracks"], strict=True):
        tracker = Tracker(people=People(recognize=one["recognize"]))
        for frame, row in zip(one["frames"], found["rows"], strict=True):
            looks = [face["look"] for face in frame["faces"]]
            tracks = tracker.update(
                frame["time_s"],
                [tuple(face["box"]) for face in frame["faces"]],
                [appearance_of(small[look]) for look in looks],
                [portraits[face["look"]] if face["detected"] else None for face in frame["faces"]],
                cut=frame["cut"],
            )
            assert row["numbers"] == [track.number for track in tracks]
            assert row["people"] == [track.face_id for track in tracks]
            changes = [
                track.change_from_first(small[look]) for track, look in zip(tracks, looks, strict=True)
            ]
            np.testing.assert_allclose(row["changes"], changes, atol=1e-9)
            unseen = tracker.unseen(frame["time_s"], 1.0)
            assert [person for person, _ in row["unseen"]] == list(unseen)
            for person, box in row["unseen"]:
                np.testing.assert_allclose(box, unseen[person], atol=1e-6)
        tracker.finish()
        ids = {track.number: track.face_id for track in (*tracker.ended, *tracker.tracks) if track.face_id}
        assert dict(map(tuple, found["ids"])) == ids
        persons += len(ids)
    assert persons > len(cases["tracks"])
