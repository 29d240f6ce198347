"""A function of plain arrays for engines that run functions over columns: Daft, Spark, Dask and others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.batch.worker import ReadOptions, faces_of, failure_of
from mien.errors import MienError, MissingExtra
from mien.images.decode import DecodedImage, read_image
from mien.inference.analyzer import Analyzer
from mien.inference.face import Face, face_columns
from mien.models.registry import DEFAULT

_TEXT = ("top", "error", "message")


class ImageFunction:
    """Images in, faces out. It can be pickled; each process loads the model at its first call.

    Args:
        options: model, labels and detection.
        threads: of the model and the detector.
    """

    def __init__(self, options: ReadOptions, threads: int = 1) -> None:
        self.options, self.threads = options, threads

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageFunction, (self.options, self.threads)

    def __call__(self, images: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Columns of one length: one row per face, and one for an image without a face.

        An image is encoded bytes, a path, pixels (uint8, RGB (H, W, 3) or gray (H, W)), or None. The column
        ``row`` (int64) is the image's place in `images`, and ``face_id`` the number of the face, from 1. In a
        row without a face, ``face_id`` is 0, numbers are NaN, texts are empty, and ``uncertain`` is False. An
        image that cannot be read has its kind of error in ``error``, and why in ``message``.
        """
        head = self._analyzer.classifier.head
        rows: list[dict[str, Any]] = []
        for place, (fact, faces) in enumerate(self._read(images)):
            fact = {"row": place} | fact
            rows += [fact | {"face_id": i} | face.to_row() for i, face in enumerate(faces, 1)] or [fact]
        names = [
            "row",
            "width",
            "height",
            "face_id",
            *face_columns(head, movements=self.options.movements),
            "error",
            "message",
        ]
        return {name: _column(name, [row.get(name) for row in rows]) for name in names}

    def by_image(self, images: Sequence[Any]) -> list[dict[str, Any]]:
        """One dict per image: ``width``, ``height``, ``faces``, ``error`` and ``message``.

        A face has the columns of a call. Width and height are None if the image cannot be read; ``error`` and
        ``message`` are None if it can.
        """
        empty = {"width": None, "height": None, "error": None, "message": None}
        return [
            empty | fact | {"faces": [face.to_row() for face in faces]} for fact, faces in self._read(images)
        ]

    def columns(self) -> dict[str, str]:
        """The columns of a call and the NumPy type of each, for engines that have to know before."""
        return {name: str(values.dtype) for name, values in self([]).items()}

    def arrow_type(self) -> Any:
        """The type of what `by_image` gives for an image, a struct of pyarrow.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtra("the Arrow type of faces", "data") from None
        kinds = {"top": pa.string(), "uncertain": pa.bool_()}
        names = face_columns(self._analyzer.classifier.head, movements=self.options.movements)
        face = pa.struct([(name, kinds.get(name, pa.float64())) for name in names])
        sizes = [("width", pa.int64()), ("height", pa.int64())]
        texts = [("error", pa.string()), ("message", pa.string())]
        return pa.struct([*sizes, *texts, ("faces", pa.list_(face))])

    @cached_property
    def _analyzer(self) -> Analyzer:
        return self.options.analyzer(self.threads, model_threads=self.threads)

    def _read(self, images: Sequence[Any]) -> list[tuple[dict[str, Any], Sequence[Face]]]:
        facts: list[dict[str, Any]] = [{} for _ in images]

        def decoded() -> Iterator[DecodedImage | None]:
            for source, fact in zip(images, facts, strict=True):
                image = None
                try:
                    if source is None:
                        raise ValueError("the image is missing: None.")
                    image = read_image(source)
                    fact |= {"width": image.width, "height": image.height}
                except (OSError, ValueError, MemoryError, MienError) as error:
                    fact |= failure_of(error)
                yield image

        faces = faces_of(self._analyzer, decoded(), crops=self.options.crops)
        return list(zip(facts, faces, strict=True))


def udf(
    model: str = DEFAULT,
    *,
    labels: str | None = None,
    align: bool = False,
    detector_threshold: float = 0.5,
    crops: bool = False,
    device: str = "auto",
    threads: int = 1,
    movements: bool = False,
) -> ImageFunction:
    """A function of a column of images for engines of data frames: see `ImageFunction`.

        >>> import mien.batch
        >>> function = mien.batch.udf()
        >>> function(["examples/astronaut.jpg"])["top"].tolist()
        ['happy']

    Args:
        model: a shipped name, or the path of an ONNX file that every machine has.
        labels, align, device, movements: as `mien.Analyzer` takes them.
        detector_threshold: least confidence of a face, 0..1.
        crops: treat each image as one cropped face, without detection.
        threads: of model and detector; engines run one function per core.
    """
    options = ReadOptions(
        model,
        labels,
        align=align,
        detector_threshold=detector_threshold,
        crops=crops,
        device=device,
        movements=movements,
    )
    return ImageFunction(options, threads)


def _column(name: str, values: list[Any]) -> NDArray[Any]:
    if name in _TEXT:
        return np.array([value or "" for value in values], dtype=object)
    if name in ("row", "width", "height", "face_id"):
        return np.array([value or 0 for value in values], dtype=np.int64)
    if name == "uncertain":
        return np.array([bool(value) for value in values], dtype=np.bool_)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
