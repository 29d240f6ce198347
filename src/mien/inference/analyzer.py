"""Images in, faces and their apparent expression out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mien.detection.blazeface import BlazeFace
from mien.detection.face_check import LIMITS, FaceCheck, check_crops
from mien.detection.turned import detect_turned
from mien.errors import ImageError, UsageError
from mien.geometry import Detection, Detector
from mien.images.crop import FER2013_FRAMING, brightened, face_square, sample_square
from mien.images.decode import DecodedImage, ImageSource, read_image
from mien.images.quality import Quality, quality_of
from mien.inference.face import Face, read_face
from mien.models.card import LABEL_SETS, Head, Limits, label_set_of
from mien.models.onnx import OnnxClassifier, OnnxModel
from mien.models.registry import DEFAULT
from mien.movements.facemesh import FaceMesh
from mien.movements.measures import Movements, movements_of

# `analyze_many` classifies the faces of this many images together; only their crops stay in memory.
_IMAGES_PER_BATCH = 16
# `analyze` keeps the analyzers of its most recent options; each has a model of some megabytes in memory.
_KEPT_ANALYZERS = 8


class Analyzer:
    """Finds the faces in images and predicts the expression of each; made once, used often.

    It can be pickled if `model` is a name or a path: the models are loaded again from its arguments.

    Args:
        model: a shipped name, the path of an ONNX file with its card beside it, or an open `OnnxModel`.
        detector: anything with ``detect(image_rgb) -> list[Detection]``; BlazeFace for None.
        device: where the model runs, see `OnnxClassifier`.
        threads: threads of the model and of the default detector; ONNX Runtime's choice for None.
        labels: ``"combined"`` (eight emotions, from both heads of the model), ``"ferplus"`` (eight, as ten
            people would vote) or ``"fer2013"`` (seven, as FER2013 is labelled); the model's default for None.
        align: turn every crop until the eyes are level, not only if a face is turned by more than 20 degrees.
        movements: also find landmarks, and measure the pose of the head and the movements of the face:
            `Face.movements`. It takes about 3 ms more per face; docs/movements.md. An open `FaceMesh` can be
            shared by several analyzers.

    Raises:
        UnknownModel, CardError, ModelError, UsageError: as `OnnxClassifier` does; also for unknown `labels`.
    """

    def __init__(
        self,
        model: str | Path | OnnxModel = DEFAULT,
        detector: Detector | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        labels: str | None = None,
        align: bool = False,
        movements: bool | FaceMesh = False,
    ) -> None:
        if labels is not None and labels not in LABEL_SETS:
            raise UsageError(f"labels must be one of {', '.join(LABEL_SETS)}, not {labels!r}.")
        head = None if labels is None else LABEL_SETS[labels]
        options: dict[str, Any] = {"device": device, "threads": threads, "labels": labels, "align": align}
        self._remake = partial(type(self), model, detector, movements=movements, **options)
        self.classifier = OnnxClassifier(model, head=head, threads=threads, device=device)
        self.detector: Detector = BlazeFace(threads=threads) if detector is None else detector
        self.align = align
        self.mesh = movements if isinstance(movements, FaceMesh) else FaceMesh() if movements else None
        self.face_check = FaceCheck()

    def __repr__(self) -> str:
        labels = label_set_of(self.classifier.head_name)
        options = f"labels={labels!r}, align={self.align}" + (", movements=True" if self.mesh else "")
        return f"Analyzer({self.classifier.name!r}, {self.detector!r}, {options})"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._remake, ()

    @overload
    def analyze(self, source: ImageSource) -> list[Face]: ...

    @overload
    def analyze(self, source: list[Any] | tuple[ImageSource, ...]) -> list[list[Face]]: ...

    def analyze(
        self, source: ImageSource | list[Any] | tuple[ImageSource, ...]
    ) -> list[Face] | list[list[Face]]:
        """The faces of an image, the largest first; an empty list where there is none.

        A list or tuple of images gives a list of such lists, as ``list(analyze_many(...))`` does.

        Raises:
            ImageError: the image cannot be read.
        """
        if isinstance(source, (list, tuple)):
            return list(self.analyze_many(source))
        return next(self.analyze_many([source]))

    def analyze_many(self, sources: Iterable[ImageSource]) -> Iterator[list[Face]]:
        """Yields the faces of each image in turn, as `analyze` gives them.

        Images are read one at a time; the faces of several are classified together.

        Raises:
            ImageError: an image cannot be read; the faces of all before it have been yielded.
        """
        batch: list[_ImageFaces] = []
        for source in sources:
            try:
                batch.append(self._detect(read_image(source)))
            except ImageError:
                yield from self._classify(batch)
                raise
            if len(batch) == _IMAGES_PER_BATCH:
                yield from self._classify(batch)
                batch = []
        yield from self._classify(batch)

    def analyze_crops(self, sources: Iterable[ImageSource]) -> list[Face]:
        """One face per image, each whole image treated as one cropped face.

        Meant for square gray crops like FER2013's; colour becomes gray, other sizes are resized, and of an
        image that is not square the middle is used. A gray face of the model's size reaches it unchanged.
        The detector is not used: `Face.confidence` is None.

        Raises:
            ImageError: an image cannot be read.
            UsageError: movements are asked for; they need a detected face.
        """
        if self.mesh:
            raise UsageError(
                "movements need detected faces, and cropped faces are not detected. Leave out one."
            )
        size = self.classifier.card.input_size
        boxes, crops = [], []
        for source in sources:
            image = read_image(source)
            side = min(image.width, image.height)
            x, y = (image.width - side) // 2, (image.height - side) // 2
            boxes.append((x, y, side, side))
            crops.append(np.asarray(sample_square(image.pixels, x, y, side, size, gray=True)))
        if not crops:
            return []
        rows = self.classifier.rows(np.stack(crops))
        head = self.classifier.head
        return [read_face(row, head, box=box) for row, box in zip(rows, boxes, strict=True)]

    def analyze_label_sets(self, sources: Iterable[ImageSource]) -> list[dict[str, list[Face]]]:
        """For each image, label set -> faces, for all label sets of the model; the model runs once.

        Images are kept as crops only; the faces of all of them are classified together.

        Raises:
            ImageError: an image cannot be read.
        """
        images = [self._detect(read_image(source)) for source in sources]
        crops = [crop for image in images for crop in image.crops]
        results: list[dict[str, list[Face]]] = [{} for _ in images]
        rows = self.classifier.model.rows(np.stack(crops)) if crops else {}
        for head in self.classifier.card.heads:
            faces = _to_faces(images, rows.get(head.name, ()), head, self.limits)
            for result, of_image in zip(results, faces, strict=True):
                result[label_set_of(head.name)] = of_image
        return results

    def measure(
        self, image_rgb: NDArray[np.uint8], detections: Sequence[Detection]
    ) -> tuple[Movements | None, ...] | None:
        """The movements of each face, None for one without landmarks; None if they are not asked for."""
        if self.mesh is None:
            return None
        found = (self.mesh.landmarks(image_rgb, detection) for detection in detections)
        return tuple(None if landmarks is None else movements_of(landmarks) for landmarks in found)

    @property
    def limits(self) -> Limits:
        """By name of a number of `Quality`, the least and the most; beyond them a face has a warning."""
        return {**self.classifier.card.limits, **LIMITS}

    def _detect(self, image: DecodedImage) -> _ImageFaces:
        """The image's faces, the largest first, and their crops."""
        card = self.classifier.card
        framing = card.framing or FER2013_FRAMING
        detections = sorted(
            detect_turned(self.detector, image.pixels), key=lambda face: -face.box[2] * face.box[3]
        )
        squares = [
            face_square(image.pixels, detection, framing, size=card.input_size, align=self.align)
            for detection in detections
        ]
        qualities = self._qualities(image, detections, squares)
        movements = self.measure(image.pixels, detections)
        return _ImageFaces(detections, [brightened(square) for square in squares], qualities, movements)

    def _qualities(
        self, image: DecodedImage, detections: list[Detection], squares: list[NDArray[np.uint8]]
    ) -> tuple[Quality, ...]:
        """How well each face can be seen, with the checks of its crop."""
        pairs = zip(detections, squares, strict=True)
        qualities = [quality_of(each, square, image.width, image.height) for each, square in pairs]
        framing = self.classifier.card.framing or FER2013_FRAMING
        crops = check_crops(image.pixels, detections, squares, framing)
        return self.face_check.complete(qualities, crops)

    def _classify(self, images: list[_ImageFaces]) -> Iterator[list[Face]]:
        """The faces of each image; the model runs once for all."""
        crops = [crop for image in images for crop in image.crops]
        rows = self.classifier.rows(np.stack(crops)) if crops else ()
        yield from _to_faces(images, rows, self.classifier.head, self.limits)


@dataclass(frozen=True)
class _ImageFaces:
    """The faces of one image, their crops and how well they can be seen, before they are classified."""

    detections: list[Detection]
    crops: list[NDArray[np.uint8]]
    qualities: tuple[Quality, ...]
    movements: tuple[Movements | None, ...] | None


def _to_faces(
    images: list[_ImageFaces], rows: Iterable[NDArray[np.float32]], head: Head, limits: Limits
) -> Iterator[list[Face]]:
    """The faces of each image from the rows of all faces."""
    remaining = iter(rows)
    for image in images:
        yield [
            read_face(
                next(remaining),
                head,
                box=detection.box,
                confidence=detection.confidence,
                keypoints=detection.keypoints,
                quality=quality,
                limits=limits,
                movements=None if image.movements is None else (image.movements[i],),
            )
            for i, (detection, quality) in enumerate(zip(image.detections, image.qualities, strict=True))
        ]


class _Same:
    """A detector as a key of a cache: equal to itself alone, hashable whatever it is."""

    def __init__(self, detector: Detector | None) -> None:
        self.detector = detector

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.detector is other.detector

    def __hash__(self) -> int:
        return id(self.detector)


_making = threading.Lock()


@lru_cache(maxsize=_KEPT_ANALYZERS)
def _kept_analyzer(
    model: str | Path | OnnxModel,
    changed_ns: int | None,  # noqa: ARG001 - a part of the key
    detector: _Same,
    **options: Any,
) -> Analyzer:
    """One analyzer per set of options; a model's file that was written again is another model."""
    return Analyzer(model, detector.detector, **options)


@overload
def analyze(
    source: ImageSource,
    *,
    model: str | Path | OnnxModel = ...,
    detector: Detector | None = ...,
    device: str = ...,
    threads: int | None = ...,
    labels: str | None = ...,
    align: bool = ...,
    movements: bool = ...,
) -> list[Face]: ...


@overload
def analyze(
    source: list[Any] | tuple[ImageSource, ...],
    *,
    model: str | Path | OnnxModel = ...,
    detector: Detector | None = ...,
    device: str = ...,
    threads: int | None = ...,
    labels: str | None = ...,
    align: bool = ...,
    movements: bool = ...,
) -> list[list[Face]]: ...


def analyze(
    source: ImageSource | list[Any] | tuple[ImageSource, ...],
    *,
    model: str | Path | OnnxModel = DEFAULT,
    detector: Detector | None = None,
    device: str = "auto",
    threads: int | None = None,
    labels: str | None = None,
    align: bool = False,
    movements: bool = False,
) -> list[Face] | list[list[Face]]:
    """The faces of an image and their apparent expression, the largest face first.

    `source` is a path (``~`` is the home folder, ``-`` standard input), encoded bytes, an open binary file,
    pixels (uint8, RGB (H, W, 3) or gray (H, W)) or a Pillow image; a list of them gives a list of lists. No
    face gives an empty list. The options are those of `Analyzer`. The models of each set of options are
    loaded at its first call and kept; threads may call at once.

        >>> import mien
        >>> mien.analyze("examples/astronaut.jpg")[0].top[0]
        'happy'

    Raises:
        ImageError: the image cannot be read.
        UnknownModel, CardError, ModelError, UsageError: as `Analyzer`.
    """
    is_file = isinstance(model, (str, Path)) and Path(model).is_file()
    changed_ns = Path(model).stat().st_mtime_ns if is_file else None  # type: ignore[arg-type]
    options: dict[str, Any] = {"device": device, "threads": threads, "labels": labels, "align": align}
    options["movements"] = movements
    with _making:
        analyzer = _kept_analyzer(model, changed_ns, _Same(detector), **options)
    return analyzer.analyze(source)
