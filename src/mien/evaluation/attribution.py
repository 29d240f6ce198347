"""Which parts of a face a prediction rests on: maps, their mean by emotion, and a test of whether they hold.

The maps come from `mien.training.gradcam`; nothing here needs PyTorch.

Source: Selvaraju et al. 2017, "Grad-CAM", for the maps; Samek et al. 2017, "Evaluating the Visualization of
What a Deep Neural Network Has Learned", for the test, where regions are removed in order of their heat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.emotions import NEITHER, binary_task
from mien.errors import UsageError
from mien.evaluation.predictions import truth_of
from mien.geometry import Detector
from mien.images.crop import crop_box, crop_face, sample_square
from mien.images.decode import DecodedImage
from mien.models.card import LABELS_OF_HEAD, Framing

Maps = NDArray[np.float32]
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

# The share of a face that is painted over to measure what it was worth.
PAINTED_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Explanation:
    """What one head predicts for N faces, and which parts of each face speak for it.

    Attributes:
        classes: names of the columns of `probabilities`.
        probabilities: float32 (N, C).
        ranked: (N, K) the K most likely columns of each face, the most likely first.
        maps: float32 (N, K, S, S), 0 to 1: what speaks for each of them.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    ranked: NDArray[np.int64]
    maps: Maps


class ExplainableModel(Protocol):
    """A model whose predictions can be explained, such as `mien.training.explainer.Explainer`."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def layer(self) -> str: ...

    @property
    def cells(self) -> int: ...

    def explain(
        self, crops: NDArray[np.uint8], *, most: int = 1, progress: Callable[[int], None] = lambda _: None
    ) -> Explanation:
        """Predictions for gray faces, uint8 (N, S, S), and what speaks for the `most` most probable."""
        ...


@dataclass(frozen=True, eq=False)
class Attributions:
    """N labelled faces, the predictions for them, and the map of each prediction.

    Attributes:
        model: name of the model.
        classes: names of the classes.
        crops: uint8 (N, S, S).
        rows: (N,) rows in the source.
        truth, predicted: (N,) indices into `classes`.
        confidence: (N,) probability of the predicted class.
        maps: float32 (N, S, S), 0 to 1: what speaks for the predicted class.
        layer, cells: the layer that the maps come from, and how many cells a side they have.
    """

    model: str
    classes: tuple[str, ...]
    crops: NDArray[np.uint8]
    rows: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    maps: Maps
    layer: str
    cells: int


@dataclass(frozen=True, eq=False)
class MeanAttribution:
    """The mean map of the correctly predicted faces of one emotion, and their mean face.

    Attributes:
        faces: how many.
        face, heat: (S, S), grays 0-255 and 0 to 1.
        upper: the share of the heat in the upper half, where eyes and brows are.
    """

    faces: int
    face: NDArray[np.float64]
    heat: NDArray[np.float64]
    upper: float


@dataclass(frozen=True)
class DeletionTest:
    """Mean probability of the predicted class, 0 to 1, before and after a fifth of each face is painted gray.

    If the maps show what a prediction rests on, the hottest fifth lowers it most, the coldest least, and the
    hottest fifth of another face's map less than the face's own.

    Attributes:
        faces: how many were tested.
        whole: with nothing painted.
        hottest, coldest: with that fifth of the face's own map painted.
        other: with the hottest fifth of another face's map painted.
    """

    faces: int
    whole: float
    hottest: float
    other: float
    coldest: float


def explain_faces(
    model: ExplainableModel,
    faces: FaceTable,
    *,
    name: str,
    head: str = "fer2013",
    most: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Attributions:
    """The predictions of a model for labelled faces, and the map of each.

    Args:
        model: what predicts and explains.
        faces: faces without a label, or of a class that the head does not predict, are left out.
        name: of the model.
        head: ``"fer2013"``, ``"votes"``, or the name of a binary task.
        most: if there are more faces, this many are drawn at random.
        seed: of that draw.
        progress: called with the number of faces after each batch.

    Raises:
        UsageError: no face has a label that the head knows.
    """
    table, truth, classes, _ = truth_of(faces, "fer2013")
    columns = np.array(_columns(model.classes, head, classes))
    known = np.flatnonzero(columns[truth] >= 0)
    if not len(known):
        raise UsageError(f"no face of {faces.source} is of a class that {name} predicts.")
    chosen = np.sort(np.random.default_rng(seed).permutation(known)[:most])
    table = table.take(chosen)
    explained = model.explain(table.pixels, progress=progress)
    predicted = explained.ranked[:, 0]
    return Attributions(
        model=name,
        classes=model.classes,
        crops=table.pixels,
        rows=table.rows,
        truth=columns[truth[chosen]],
        predicted=predicted,
        confidence=explained.probabilities[np.arange(len(table)), predicted],
        maps=explained.maps[:, 0],
        layer=model.layer,
        cells=model.cells,
    )


def take_first(explained: Attributions, most: int) -> Attributions:
    """The first `most` faces."""
    columns = ("crops", "rows", "truth", "predicted", "confidence", "maps")
    return replace(explained, **{name: getattr(explained, name)[:most] for name in columns})


def _columns(predicted: tuple[str, ...], head: str, classes: tuple[str, ...]) -> list[int]:
    """The column of the head that each class of the data belongs to; -1 where there is none."""
    if head in LABELS_OF_HEAD:
        return [predicted.index(name) if name in predicted else NEITHER for name in classes]
    return list(binary_task(head).sides(classes))


def mean_attributions(explained: Attributions) -> dict[str, MeanAttribution]:
    """The mean map of each emotion over its correctly predicted faces; emotions without one are left out."""
    e, found = explained, {}
    for label, name in enumerate(e.classes):
        mine = (e.truth == label) & (e.predicted == label)
        if mine.any():
            heat = e.maps[mine].mean(axis=0, dtype=np.float64)
            total = heat.sum()
            upper = float(heat[: len(heat) // 2].sum() / total) if total else np.nan
            found[name] = MeanAttribution(int(mine.sum()), e.crops[mine].mean(axis=0), heat, upper)
    return found


def paint_over(crops: NDArray[np.uint8], order: Maps, share: float = PAINTED_SHARE) -> NDArray[np.uint8]:
    """Faces (N, S, S) whose `share` of pixels with the highest `order` (N, S, S) is the face's mean gray."""
    flat = crops.reshape(len(crops), -1).copy()
    count = round(share * flat.shape[1])
    chosen = np.argsort(-order.reshape(len(crops), -1), axis=1, kind="stable")[:, :count]
    mean = np.rint(flat.mean(axis=1)).astype(np.uint8)
    np.put_along_axis(flat, chosen, np.repeat(mean[:, None], count, axis=1), axis=1)
    return flat.reshape(crops.shape)


def deletion_test(explained: Attributions, predict: Predict) -> DeletionTest:
    """How much the hottest, the coldest and another face's hottest fifth matter to the predictions.

    Args:
        explained: the faces and their maps.
        predict: gray faces, uint8 (N, S, S), to probabilities (N, C) of the same classes.

    Raises:
        UsageError: there are fewer than two faces.
    """
    e = explained
    if len(e.crops) < 2:
        raise UsageError("two faces are needed: each is also painted by the map of another.")
    index = np.arange(len(e.crops))
    orders = {"hottest": e.maps, "other": np.roll(e.maps, 1, axis=0), "coldest": -e.maps}
    left = {
        name: float(predict(paint_over(e.crops, order))[index, e.predicted].mean())
        for name, order in orders.items()
    }
    whole = float(predict(e.crops)[index, e.predicted].mean())
    return DeletionTest(len(e.crops), whole, left["hottest"], left["other"], left["coldest"])


@dataclass(frozen=True, eq=False, repr=False)
class ImageExplanation:
    """The faces of one image, the largest first, and which parts of each speak for its prediction.

    Attributes:
        image: the image.
        squares: (x, y, side) of each face's crop in the image, in pixels.
        crops: uint8 (N, S, S), the faces as the model gets them.
        explanation: the predictions for them, and their maps; None without a face.
    """

    image: DecodedImage
    squares: tuple[tuple[float, float, float], ...]
    crops: NDArray[np.uint8]
    explanation: Explanation | None

    def __len__(self) -> int:
        return len(self.squares)

    @property
    def captions(self) -> list[list[str]]:
        """For each face its most probable classes, such as ``["happy 98%", "surprise 1%"]``."""
        if self.explanation is None:
            return []
        e = self.explanation
        rows = zip(e.probabilities, e.ranked, strict=True)
        return [[f"{e.classes[i]} {row[i]:.0%}" for i in ranked] for row, ranked in rows]

    def __repr__(self) -> str:
        faces = ", ".join(each[0] for each in self.captions) or "no face"
        return f"<ImageExplanation of {self.image.source}: {faces}>"


def explain_image(
    model: ExplainableModel,
    image: DecodedImage,
    *,
    size: int,
    framing: Framing,
    detector: Detector | None,
    most: int = 2,
) -> ImageExplanation:
    """The faces of an image explained.

    Args:
        model: what predicts and explains.
        image: the image.
        size: side of a crop, in pixels.
        framing: how a face lies in a crop.
        detector: finds the faces; None to treat the middle square of the image as one cropped face.
        most: this many of the most probable classes are explained.
    """
    if detector is None:
        side = min(image.width, image.height)
        squares = [(float((image.width - side) // 2), float((image.height - side) // 2), float(side))]
        faces = [np.asarray(sample_square(image.pixels, *squares[0], size, gray=True))]
    else:
        detections = sorted(detector.detect(image.pixels), key=lambda each: -each.box[2] * each.box[3])
        squares = [crop_box(each, framing) for each in detections]
        faces = [crop_face(image.pixels, each, framing, size=size) for each in detections]
    crops = np.stack(faces) if faces else np.empty((0, size, size), np.uint8)
    explanation = model.explain(crops, most=most) if faces else None
    return ImageExplanation(image, tuple(squares), crops, explanation)
