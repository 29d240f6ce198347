from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

import mien
from mien.detection import face_check
from mien.detection.blazeface import BlazeFace
from mien.detection.face_check import LIMIT, SIDE, FaceCheck
from mien.errors import CardError, UsageError
from mien.images.crop import FER2013_FRAMING, face_square
from mien.inference.analyzer import Analyzer

ASTRONAUT = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(ASTRONAUT).convert("RGB")


@pytest.fixture(scope="module")
def face(photo: Image.Image) -> mien.Face:
    return Analyzer(threads=1).analyze(photo)[0]


def _mask(photo: Image.Image, face: mien.Face) -> Image.Image:
    assert face.keypoints is not None
    (_, nose_y), (mouth_x, mouth_y) = face.keypoints[2:4]
    reach = 0.45 * face.box[2]
    image = photo.copy()
    box = (mouth_x - reach, nose_y, mouth_x + reach, mouth_y + 0.3 * face.box[2])
    ImageDraw.Draw(image).rounded_rectangle(box, 0.1 * reach, fill=(25, 25, 30))
    return image


def _sunglasses(photo: Image.Image, face: mien.Face) -> Image.Image:
    assert face.keypoints is not None
    image, w = photo.copy(), face.box[2]
    for x, y in face.keypoints[:2]:
        box = (x - 0.19 * w, y - 0.14 * w, x + 0.19 * w, y + 0.14 * w)
        ImageDraw.Draw(image).ellipse(box, fill=(10, 10, 10))
    return image


def _moved(photo: Image.Image, face: mien.Face) -> Image.Image:
    steps = int(0.2 * face.box[2])
    pixels = np.asarray(photo, float)
    return Image.fromarray(np.mean([np.roll(pixels, i, 1) for i in range(steps)], 0).astype(np.uint8))


@pytest.mark.parametrize(
    ("change", "warning"), [(_mask, "covered"), (_sunglasses, "covered"), (_moved, "moved")]
)
def test_a_covered_or_moved_face_is_uncertain_and_says_why(
    photo: Image.Image,
    face: mien.Face,
    change: Callable[[Image.Image, mien.Face], Image.Image],
    warning: str,
) -> None:
    assert face.warnings == ()
    changed = Analyzer(threads=1).analyze(change(photo, face))[0]
    assert warning in changed.warnings
    assert changed.uncertain
    assert changed.quality is not None
    assert changed.quality.to_dict()[warning] > LIMIT


def test_a_mask_and_sunglasses_of_other_shapes_and_tones_are_seen(
    photo: Image.Image, face: mien.Face
) -> None:
    """The masks of the tests are rectangles; the network learned from trapezoids, with other tones."""
    crops = [np.asarray(change(photo, face)) for change in (_mask, _sunglasses)]
    found = [BlazeFace(threads=1).detect(image)[0] for image in crops]
    squares = [face_square(image, each, FER2013_FRAMING) for image, each in zip(crops, found, strict=True)]
    assert (FaceCheck().check(np.stack(squares)).covered > LIMIT).all()


def _noise(generator: np.random.Generator) -> NDArray[np.uint8]:
    rough = generator.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).filter(ImageFilter.GaussianBlur(3)))


def test_most_textures_are_no_face_and_an_upright_face_is(photo: Image.Image) -> None:
    generator = np.random.default_rng(0)
    textures = np.stack([_noise(generator) for _ in range(100)])
    assert (FaceCheck().check(textures).face < LIMIT).mean() > 0.9
    pixels = np.asarray(photo)
    upright = face_square(pixels, BlazeFace(threads=1).detect(pixels)[0], FER2013_FRAMING)
    assert FaceCheck().check(upright[None]).face[0] > LIMIT


def test_light_and_contrast_do_not_change_the_checks(photo: Image.Image) -> None:
    pixels = np.asarray(photo)
    crop = face_square(pixels, BlazeFace(threads=1).detect(pixels)[0], FER2013_FRAMING)
    dim = (crop * 0.5 + 20).round().astype(np.uint8)
    checks = FaceCheck().check(np.stack([crop, dim]))
    for scores in (checks.face, checks.covered, checks.moved):
        assert abs(scores[0] - scores[1]) < 0.1


def test_only_detections_that_are_not_confident_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a check that refuses everything, the confident face stays and the others go."""
    refused = []

    def check(self: FaceCheck, crops: NDArray[np.uint8]) -> face_check.Checks:
        refused.append(len(crops))
        none = np.zeros(len(crops), np.float32)
        return face_check.Checks(none, none, none)

    monkeypatch.setattr(FaceCheck, "check", check)
    pixels = np.asarray(Image.open(ASTRONAUT).convert("RGB"))
    monkeypatch.setattr("mien.detection.blazeface.SURE", 0.0)
    assert BlazeFace(threads=1).detect(pixels)
    assert refused == []
    monkeypatch.setattr("mien.detection.blazeface.SURE", 1.0)
    assert BlazeFace(threads=1).detect(pixels) == []
    assert BlazeFace(threads=1, check_faces=False).detect(pixels)


def test_crops_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"48, 48.*\(1, 40, 40\)"):
        FaceCheck().check(np.zeros((1, 40, 40), np.uint8))
    empty = FaceCheck().check(np.zeros((0, SIDE, SIDE), np.uint8))
    assert len(empty.face) == 0


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(face_check.WEIGHTS.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "face-check.onnx"
    damaged.write_bytes(content)
    monkeypatch.setattr(face_check, "WEIGHTS", damaged)
    monkeypatch.setattr("mien.detection.face_check.expected_hash", lambda _: "0" * 64)
    with pytest.raises(CardError, match="SHA-256"):
        FaceCheck()
