"""The landmarks are MediaPipe's, lie on the face, and follow it."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.detection.blazeface import BlazeFace
from mien.errors import ImageError
from mien.files import sha256_file
from mien.geometry import Detection
from mien.models.runtime import open_session
from mien.movements.facemesh import WEIGHTS, FaceMesh

ROOT = Path(__file__).parents[2]
# Landmarks at the key points of the detector: centre of an iris, tip of the nose.
RIGHT_IRIS, LEFT_IRIS, NOSE = 468, 473, 1
Pixels = NDArray[np.uint8]


def test_the_network_gives_the_landmarks_of_mediapipe() -> None:
    """The reference was written by scripts/convert_facemesh.py --reference."""
    reference = np.load(Path(__file__).parent / "facemesh_mediapipe.npz")
    session = open_session(WEIGHTS, threads=1)
    landmarks, presence = session.run(["landmarks", "presence"], {"image": reference["images"]})
    assert landmarks.shape == (2, 478, 3)
    assert np.abs(landmarks - reference["landmarks"]).max() < 0.02  # pixels of the input, of 192
    assert (presence > 0.9).all()


def test_converting_again_gives_the_shipped_weights(tmp_path: Path) -> None:
    for package in ("mediapipe", "tflite", "onnx"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed")
    out = tmp_path / "again.onnx"
    script = ROOT / "scripts" / "convert_facemesh.py"
    subprocess.run([sys.executable, str(script), "--out", str(out)], check=True, capture_output=True)
    assert sha256_file(out) == sha256_file(WEIGHTS)


def test_the_facts_beside_the_weights_are_of_these_weights() -> None:
    facts = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["sha256"] == sha256_file(WEIGHTS)
    assert facts["licence"] == "Apache-2.0"
    assert "Attention Mesh" in (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert WEIGHTS.stat().st_size < 3_000_000


def test_eyes_and_nose_lie_where_the_detector_sees_them(
    landmarks: NDArray[np.float32], detection: Detection
) -> None:
    assert detection.keypoints is not None
    width = detection.box[2]
    for row, keypoint in ((RIGHT_IRIS, 0), (LEFT_IRIS, 1), (NOSE, 2)):
        apart = np.hypot(*(landmarks[row, :2] - detection.keypoints[keypoint]))
        assert apart < 0.06 * width


def test_landmarks_follow_a_photo_that_is_turned(
    photo: Pixels, landmarks: NDArray[np.float32], detector: BlazeFace, mesh: FaceMesh
) -> None:
    """By a quarter turn, without a change of any pixel."""
    turned = np.ascontiguousarray(np.rot90(photo))  # counterclockwise: x' = y, y' = width - x
    (face,) = detector.detect(photo)
    assert face.keypoints is not None
    x, y, width, height = face.box
    points = np.stack([face.keypoints[:, 1], photo.shape[1] - face.keypoints[:, 0]], axis=1)
    found = mesh.landmarks(turned, Detection((y, photo.shape[1] - x - width, height, width), 1.0, points))
    assert found is not None
    back = np.stack([photo.shape[1] - found[:, 1], found[:, 0]], axis=1)
    assert np.abs(back - landmarks[:, :2]).max() < 0.01 * width


def test_landmarks_grow_with_the_photo(
    photo: Pixels, landmarks: NDArray[np.float32], detection: Detection, mesh: FaceMesh
) -> None:
    height, width = photo.shape[:2]
    twice = np.asarray(Image.fromarray(photo).resize((2 * width, 2 * height), Image.Resampling.BICUBIC))
    assert detection.keypoints is not None
    x, y, w, h = detection.box
    found = mesh.landmarks(twice, Detection((2 * x, 2 * y, 2 * w, 2 * h), 1.0, detection.keypoints * 2))
    assert found is not None
    assert np.abs(found / 2 - landmarks).mean() < 0.005 * w


def test_a_box_that_is_far_off_is_corrected(
    photo: Pixels, landmarks: NDArray[np.float32], detection: Detection, mesh: FaceMesh
) -> None:
    x, y, w, h = detection.box
    off = Detection((x + 0.3 * w, y, w, h), 1.0, detection.keypoints)
    found = mesh.landmarks(photo, off)
    assert found is not None
    assert np.abs(found - landmarks)[:, :2].mean() < 0.02 * w


def test_no_landmarks_where_there_is_no_face(photo: Pixels, mesh: FaceMesh) -> None:
    gray = np.full((200, 200, 3), 128, np.uint8)
    assert mesh.landmarks(gray, Detection((50, 50, 100, 100), 1.0)) is None
    assert mesh.landmarks(photo, Detection((20, 380, 100, 100), 1.0)) is None  # a part of the suit


@pytest.mark.parametrize("pixels", [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32)])
def test_other_pixels_are_refused(pixels: NDArray[np.generic], mesh: FaceMesh) -> None:
    with pytest.raises(ImageError, match="uint8"):
        mesh.landmarks(pixels, Detection((0, 0, 5, 5), 1.0))  # type: ignore[arg-type]
