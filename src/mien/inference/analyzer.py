"""Pictures in, faces and their apparent expression out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mien.detection.blazeface import BlazeFace
from mien.errors import ImageError, UsageError
from mien.geometry import Detection, Detector
from mien.images.crop import FER2013_FRAMING, crop_face, sample_square
from mien.images.decode import DecodedImage, ImageSource, read_image
from mien.inference.face import Face, read_face
from mien.models.onnx import OnnxClassifier
from mien.models.registry import DEFAULT

# The names of the answers, as users ask for them -> the head of the model that gives each.
LABELS: dict[str, str] = {"fer2013": "fer2013", "ferplus": "votes"}

# `analyze_many` asks the model about the faces of so many pictures at once, holding their crops alone.
_PICTURES_AT_ONCE = 16


class Analyzer:
    """Finds the faces in pictures and asks an exported model about each; made once, used often.

    Args:
        model: a shipped name, or the path of an ONNX file with its card beside it.
        detector: anything with ``detect(image_rgb) -> list[Detection]``; BlazeFace for None.
        device: where the model runs, see `OnnxClassifier`.
        threads: threads of the model and of the default detector; ONNX Runtime's choice for None.
        labels: ``"fer2013"`` (seven emotions) or ``"ferplus"`` (eight, as ten people would vote); the
            model's default for None.
        align: turn each crop until the eyes are level.

    Raises:
        UnknownModel, CardError, ModelError, UsageError: as `OnnxClassifier` does; also for unknown `labels`.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        detector: Detector | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        labels: str | None = None,
        align: bool = False,
    ) -> None:
        if labels is not None and labels not in LABELS:
            raise UsageError(f"labels must be one of {', '.join(LABELS)}, not {labels!r}.")
        head = None if labels is None else LABELS[labels]
        self.classifier = OnnxClassifier(model, head=head, threads=threads, device=device)
        self.detector: Detector = BlazeFace(threads=threads) if detector is None else detector
        self.align = align

    @overload
    def analyze(self, source: ImageSource) -> list[Face]: ...

    @overload
    def analyze(self, source: list[Any] | tuple[ImageSource, ...]) -> list[list[Face]]: ...

    def analyze(
        self, source: ImageSource | list[Any] | tuple[ImageSource, ...]
    ) -> list[Face] | list[list[Face]]:
        """The faces of a picture, the largest first; an empty list where there is none.

        A list or tuple of pictures gives a list of such lists, as ``list(analyze_many(...))`` does.

        Raises:
            ImageError: the picture cannot be read.
        """
        if isinstance(source, (list, tuple)):
            return list(self.analyze_many(source))
        return next(self.analyze_many([source]))

    def analyze_many(self, sources: Iterable[ImageSource]) -> Iterator[list[Face]]:
        """Yields the faces of each picture in turn, as `analyze` gives them.

        Pictures are read one at a time; the faces of several go through the model together.

        Raises:
            ImageError: a picture cannot be read; the faces of all before it have been yielded.
        """
        found: list[_Found] = []
        for source in sources:
            try:
                found.append(self._find(read_image(source)))
            except ImageError:
                yield from self._read(found)
                raise
            if len(found) == _PICTURES_AT_ONCE:
                yield from self._read(found)
                found = []
        yield from self._read(found)

    def analyze_crops(self, sources: Iterable[ImageSource]) -> list[Face]:
        """One face a picture, taking each whole picture for a face: for faces that are cropped already.

        Meant for square gray crops as FER2013's; colour becomes gray, other sizes are resized, and of a
        picture that is not square the middle is taken. A gray face of the model's size reaches it as it
        is. No detector is asked: `Face.confidence` is None.

        Raises:
            ImageError: a picture cannot be read.
        """
        size = self.classifier.card.input_size
        boxes, crops = [], []
        for source in sources:
            picture = read_image(source)
            side = min(picture.width, picture.height)
            x, y = (picture.width - side) // 2, (picture.height - side) // 2
            boxes.append((x, y, side, side))
            crops.append(np.asarray(sample_square(picture.pixels, x, y, side, size, gray=True)))
        if not crops:
            return []
        probabilities = self.classifier.predict(np.stack(crops))
        head = self.classifier.head
        return [read_face(row, head, box=box) for row, box in zip(probabilities, boxes, strict=True)]

    def _find(self, picture: DecodedImage) -> _Found:
        """The picture's faces, the largest first, and their crops."""
        card = self.classifier.card
        framing = card.framing or FER2013_FRAMING
        detections = sorted(
            self.detector.detect(picture.pixels), key=lambda found: -found.box[2] * found.box[3]
        )
        crops = [
            crop_face(picture.pixels, detection, framing, size=card.input_size, align=self.align)
            for detection in detections
        ]
        return _Found(detections, crops)

    def _read(self, found: list[_Found]) -> Iterator[list[Face]]:
        """What the model says of the faces of several pictures, asked once."""
        crops = [crop for picture in found for crop in picture.crops]
        rows = iter(self.classifier.predict(np.stack(crops)) if crops else ())
        for picture in found:
            yield [
                read_face(
                    next(rows),
                    self.classifier.head,
                    box=detection.box,
                    confidence=detection.confidence,
                    keypoints=detection.keypoints,
                )
                for detection in picture.detections
            ]


@dataclass(frozen=True)
class _Found:
    """The faces of one picture and their crops, before the model was asked."""

    detections: list[Detection]
    crops: list[NDArray[np.uint8]]


@cache
def _analyzer() -> Analyzer:
    return Analyzer()


@overload
def analyze(source: ImageSource) -> list[Face]: ...


@overload
def analyze(source: list[Any] | tuple[ImageSource, ...]) -> list[list[Face]]: ...


def analyze(source: ImageSource | list[Any] | tuple[ImageSource, ...]) -> list[Face] | list[list[Face]]:
    """The faces of a picture and their apparent expression, by the default model, the largest face first.

    Takes a path, encoded bytes, pixels (uint8, RGB (H, W, 3) or gray (H, W)) or a Pillow image; a list of
    them gives a list of lists. No face gives an empty list. `Analyzer` is the same with a choice of model,
    detector, labels and threads; this function makes one at its first call and keeps it.

        >>> import mien
        >>> mien.analyze("examples/astronaut.jpg")[0].top[0]
        'happy'

    Raises:
        ImageError: the picture cannot be read.
        ModelError: the shipped model is missing or damaged.
    """
    return _analyzer().analyze(source)
