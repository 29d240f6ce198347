from __future__ import annotations

import importlib
import inspect
import io
import os
import pickle
import pydoc
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mien
from mien.detection.blazeface import BlazeFace
from mien.emotions import ABSTAIN, FER2013, FERPLUS, VOTES
from mien.errors import ImageError, UsageError
from mien.geometry import Detection
from mien.images.decode import ImageSource, read_image
from mien.inference import analyzer as analyzer_module
from mien.inference.analyzer import Analyzer
from mien.models.card import Head
from mien.testing.fakes import FakeDetector, banded_face, write_band_model

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = (Head("fer2013", FER2013), Head("votes", VOTES, ABSTAIN))
    return write_band_model(tmp_path_factory.mktemp("model"), heads=heads)


@pytest.fixture(scope="module")
def real(model: Path) -> Analyzer:
    return Analyzer(model, threads=1)


def banded_picture(labels: list[int]) -> np.ndarray:
    """A black image (200, 200 * n, 3), in its i-th square a face of 100x100 that is white in a band."""
    picture = np.zeros((200, 200 * len(labels), 3), np.uint8)
    for i, label in enumerate(labels):
        face = np.asarray(Image.fromarray(banded_face(label, 7)).resize((100, 100)))
        picture[50:150, 200 * i + 50 : 200 * i + 150] = face[..., None]
    return picture


def test_the_example_photo_has_one_face_where_its_face_is(real: Analyzer) -> None:
    (face,) = real.analyze(PHOTO)
    x, y, width, height = face.box
    assert x < 224 < x + width  # her nose is at about (224, 135)
    assert y < 135 < y + height
    assert face.confidence is not None
    assert 0.5 < face.confidence <= 1
    assert face.keypoints is not None
    assert len(face.keypoints) == 6


def test_every_way_to_hand_over_an_image_gives_the_same_faces(real: Analyzer) -> None:
    with Image.open(PHOTO) as opened:
        image = opened.convert("RGB")
    sources: list[ImageSource] = [
        PHOTO,
        str(PHOTO),
        PHOTO.read_bytes(),
        image,
        np.asarray(image),
        read_image(PHOTO),
        io.BytesIO(PHOTO.read_bytes()),
    ]
    results = [real.analyze(source) for source in sources]
    assert all(result == results[0] for result in results)


def test_a_gray_array_is_an_image(real: Analyzer) -> None:
    with Image.open(PHOTO) as image:
        assert len(real.analyze(np.asarray(image.convert("L")))) == 1


def test_empty_image_gives_no_faces(real: Analyzer) -> None:
    assert real.analyze(np.full((240, 320, 3), 128, np.uint8)) == []


def test_a_list_gives_a_list_of_lists_in_its_order(real: Analyzer) -> None:
    empty = np.zeros((100, 100, 3), np.uint8)
    assert [len(faces) for faces in real.analyze([empty, PHOTO, empty])] == [0, 1, 0]
    assert real.analyze([]) == []


def test_the_largest_face_comes_first(model: Path) -> None:
    detector = FakeDetector(((0, 0, 10, 10), (0, 0, 30, 30), (0, 0, 20, 20)))
    faces = Analyzer(model, detector).analyze(np.zeros((64, 64, 3), np.uint8))
    assert [face.box[2] for face in faces] == [30, 20, 10]


def test_each_face_gets_its_own_expression(model: Path) -> None:
    """Also when faces of several images go through the model together."""
    pictures = [[0, 3], [], [6], [1, 2, 4, 5]]

    class Squares:
        def detect(self, image_rgb: np.ndarray) -> list[Detection]:
            count = image_rgb.shape[1] // 200 if image_rgb.any() else 0
            # sizes fall from left to right, so that the order is that of the labels
            return [Detection((200.0 * i + 50, 50.0, 100.0 - i, 100.0 - i), 0.9) for i in range(count)]

    reader = Analyzer(model, Squares())
    given = [banded_picture(labels) if labels else np.zeros((200, 200, 3), np.uint8) for labels in pictures]
    together = list(reader.analyze_many(given))
    assert together == [reader.analyze(picture) for picture in given]
    assert [len(faces) for faces in together] == [len(labels) for labels in pictures]


def test_all_label_sets_come_from_one_run_and_equal_those_of_single_ones(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service used to run one session per label set."""
    detector = FakeDetector(((0, 0, 48, 48), (10, 10, 20, 20)))
    images = [np.full((60, 60, 3), level, np.uint8) for level in (0, 90, 255)]
    expected = {
        labels: Analyzer(model, detector, labels=labels).analyze(images) for labels in ("fer2013", "ferplus")
    }
    analyzer = Analyzer(model, detector, labels="fer2013")
    sizes = []
    rows = analyzer.classifier.model.rows
    monkeypatch.setattr(
        analyzer.classifier.model, "rows", lambda crops: sizes.append(len(crops)) or rows(crops)
    )
    given = analyzer.analyze_label_sets(images)
    assert sizes == [6]
    assert given == [{labels: faces[i] for labels, faces in expected.items()} for i in range(3)]
    assert analyzer.analyze_label_sets([]) == []


def test_a_custom_detector_is_used(model: Path) -> None:
    (face,) = Analyzer(model, FakeDetector(((3, 4, 20, 25),), confidence=0.75)).analyze(
        np.zeros((64, 64, 3), np.uint8)
    )
    assert (face.box, face.confidence, face.keypoints) == ((3, 4, 20, 25), 0.75, None)


def test_labels_choose_between_seven_emotions_and_the_votes(model: Path) -> None:
    detector, picture = FakeDetector(((0, 0, 48, 48),)), np.zeros((48, 48, 3), np.uint8)
    names = {
        labels: Analyzer(model, detector, labels=labels).analyze(picture)[0] for labels in (None, "ferplus")
    }
    assert tuple(names[None].emotions) == FER2013
    assert tuple(names["ferplus"].emotions) == FERPLUS
    assert names["ferplus"].abstain == pytest.approx(0.2)  # a black face: all ten alike
    with pytest.raises(UsageError, match="fer2013, ferplus"):
        Analyzer(model, detector, labels="affectnet")


@pytest.mark.parametrize("label", range(7))
def test_a_cropped_face_of_the_models_size_reaches_it_unchanged(real: Analyzer, label: int) -> None:
    crop = banded_face(label, 7)
    (face,) = real.analyze_crops([crop])
    expected = real.classifier.predict(crop[None])[0]
    assert list(face.emotions.values()) == [float(value) for value in expected]
    assert (face.box, face.confidence) == ((0, 0, 48, 48), None)


def test_cropped_faces_of_other_sizes_and_in_colour_are_read_too(real: Analyzer) -> None:
    large = np.kron(banded_face(2, 7), np.ones((5, 5), np.uint8))
    wide = np.pad(large, ((0, 0), (60, 60)), constant_values=255)  # white margins that must not count
    faces = real.analyze_crops([np.dstack([large] * 3), wide])
    assert [face.top[0] for face in faces] == ["fear", "fear"]
    assert faces[1].box == (60, 0, 240, 240)
    assert real.analyze_crops([]) == []


def test_results_of_images_before_a_broken_one_come_first(real: Analyzer) -> None:
    answers: Iterator[list[mien.Face]] = real.analyze_many([PHOTO, b"no picture", PHOTO])
    assert len(next(answers)) == 1
    with pytest.raises(ImageError):
        next(answers)


@pytest.mark.parametrize("source", [None, 7, {"path": "x.jpg"}], ids=["none", "number", "dict"])
def test_what_is_no_image_is_refused_by_its_type(real: Analyzer, source: object) -> None:
    with pytest.raises(ImageError, match=type(source).__name__):
        real.analyze(source)  # type: ignore[call-overload]


def test_a_file_opened_by_pillow_in_another_mode_is_read(real: Analyzer) -> None:
    buffer = io.BytesIO()
    with Image.open(PHOTO) as image:
        image.convert("P").save(buffer, "PNG")
    assert len(real.analyze(Image.open(buffer))) == 1


def test_the_function_makes_one_analyzer_per_set_of_options_whatever_the_number_of_threads(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Counted(Analyzer):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            made.append(options["labels"])
            super().__init__(*arguments, **options)

    class Unhashable(FakeDetector):
        __hash__ = None  # type: ignore[assignment]

    monkeypatch.setattr(analyzer_module, "Analyzer", Counted)
    analyzer_module._kept_analyzer.cache_clear()
    image, detector, start = np.zeros((8, 8, 3), np.uint8), Unhashable(((0, 0, 8, 8),)), Barrier(8)

    def call(number: int) -> int:
        start.wait()
        labels = "ferplus" if number % 2 else "fer2013"
        (face,) = mien.analyze(image, model=model, detector=detector, labels=labels)
        return len(face.emotions)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == [7, 8] * 4
    assert sorted(made) == ["fer2013", "ferplus"]
    analyzer_module._kept_analyzer.cache_clear()


def test_the_function_takes_every_option_of_the_class_and_shows_them_in_its_help() -> None:
    options = [
        list(inspect.signature(callable_).parameters.values())[1:]
        for callable_ in (Analyzer.__init__, mien.analyze)
    ]
    of_class, of_function = ({each.name: each.default for each in each_list} for each_list in options)
    assert of_function == of_class
    text = pydoc.plain(pydoc.render_doc(mien.analyze))
    assert "function analyze in module mien.inference.analyzer" in text
    assert "The faces of an image and their apparent expression" in text


def test_a_model_file_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    picture, detector = banded_picture([3]), FakeDetector(((50, 50, 100, 100),))
    path = write_band_model(tmp_path)
    assert len(mien.analyze(picture, model=path, detector=detector)[0].emotions) == 7
    assert write_band_model(tmp_path, heads=(Head("votes", VOTES, ABSTAIN),)) == path
    os.utime(path, ns=(1, 1))
    assert len(mien.analyze(picture, model=path, detector=detector)[0].emotions) == 8


def test_an_analyzer_survives_pickling_also_into_another_process(model: Path) -> None:
    analyzer = Analyzer(model, BlazeFace(1, 0.4, min_face=None), labels="ferplus", align=True)
    again = pickle.loads(pickle.dumps(analyzer))
    assert repr(again) == repr(analyzer)
    assert "labels='ferplus', align=True" in repr(again)
    assert "threshold=0.4, min_face=None" in repr(again)
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(analyzer.analyze, (str(PHOTO),)) == analyzer.analyze(PHOTO)


@pytest.mark.parametrize(
    "first",
    ["pass", "import mien.inference.face", "import mien.inference", "mien.Analyzer"],
)
def test_the_public_name_can_be_called_however_the_room_was_imported(first: str) -> None:
    """`mien.analyze` is the function and the package at once: importing any part of the package used to
    bind the name to the package, and `mien.analyze(photo)` then failed with "module is not callable"."""
    call = "try:\n    mien.analyze('absent.jpg')\nexcept mien.MienError:\n    print('called')"
    code = f"import mien\n{first}\n{call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "called"


def test_the_room_can_still_be_imported_from() -> None:
    assert importlib.import_module("mien.inference.face").Face is mien.Face
