"""Fakes for tests of code that uses mien, and of mien itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.emotions import FER2013
from mien.files import sha256_file
from mien.models.card import Card, Head

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mien.geometry import Detection


@dataclass(frozen=True)
class FakeClassifier:
    """A classifier without a model: its prediction is a rule on the pixels.

        >>> FakeClassifier.predicting("happy").predict(np.zeros((2, 48, 48), np.uint8)).argmax(axis=1)
        array([3, 3])

    Attributes:
        rule: from gray faces, uint8 (N, H, W), to probabilities (N, len(labels)).
        labels: names of the columns.
        name: its name in reports.
    """

    rule: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    labels: tuple[str, ...] = FER2013
    name: str = "fake"

    @classmethod
    def predicting(
        cls, label: str, *, labels: tuple[str, ...] = FER2013, confidence: float = 1.0
    ) -> FakeClassifier:
        """One that predicts `label` with this confidence for every face; the others share the rest."""
        row = np.full(len(labels), (1 - confidence) / (len(labels) - 1), np.float32)
        row[labels.index(label)] = confidence
        return cls(lambda crops: np.tile(row, (len(crops), 1)), labels)

    @classmethod
    def from_table(
        cls, probabilities: NDArray[np.float32], *, labels: tuple[str, ...] = FER2013
    ) -> FakeClassifier:
        """One that predicts row i of a table for face i of `numbered_faces`, whatever the batches."""
        return cls(lambda crops: probabilities[number_of(crops)], labels)

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The rule's probabilities, float32 (N, len(labels))."""
        return self.rule(crops).astype(np.float32, copy=False)


@dataclass(frozen=True)
class FakeModel:
    """A model made of classifiers, one per head: ``{"votes": FakeClassifier.predicting("sad")}``."""

    classifiers: Mapping[str, FakeClassifier]
    name: str = "fake"

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """Name of each head to the labels of its columns."""
        return {name: classifier.labels for name, classifier in self.classifiers.items()}

    @property
    def temperatures(self) -> dict[str, float]:
        """1 for each head."""
        return dict.fromkeys(self.classifiers, 1.0)

    def predict(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """What each head's classifier gives."""
        return {name: classifier.predict(crops) for name, classifier in self.classifiers.items()}


def numbered_faces(numbers: NDArray[np.integer] | list[int], *, size: int = 48) -> NDArray[np.uint8]:
    """Gray faces, uint8 (N, size, size), with a number below 65,536 in their first two pixels."""
    wanted = np.asarray(numbers)
    faces = np.full((len(wanted), size, size), 128, np.uint8)
    faces[:, 0, 0], faces[:, 0, 1] = wanted // 256, wanted % 256
    return faces


def number_of(faces: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The numbers in the faces of `numbered_faces`, (N,)."""
    return faces[:, 0, 0].astype(np.int64) * 256 + faces[:, 0, 1]


@dataclass(frozen=True)
class FakeDetector:
    """A detector that finds the same boxes (x, y, width, height) in every image."""

    boxes: tuple[tuple[float, float, float, float], ...] = ()
    confidence: float = 0.9

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[Detection]:  # noqa: ARG002
        """One detection per box."""
        from mien.geometry import Detection

        return [Detection(box, self.confidence) for box in self.boxes]


def write_band_model(
    folder: Path, *, heads: tuple[Head, ...] | None = None, size: int = 48, name: str = "bands"
) -> Path:
    """Write NAME.onnx and its card to a folder; returns the ONNX file's path. Needs the package onnx.

    The model predicts where a face is bright: it is cut into as many equal bands of rows as the head has
    labels, and label i's logit is 10 times the mean brightness (0..1) of band i. So the prediction for a
    `banded_face` is its label. Rows left over at the bottom are ignored.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    heads = heads or (Head("fer2013", FER2013),)
    outputs = [head for head in heads if head.combination is None]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["cast"], ["flat"]),
    ]
    weights = []
    for head in outputs:
        count = len(head.labels)
        weight = np.zeros((size, size, count), np.float32)
        for i in range(count):
            weight[_band(i, count, size), :, i] = 10 / 255 / (size // count * size)
        weights.append(numpy_helper.from_array(weight.reshape(size * size, count), f"{head.name}.weight"))
        nodes.append(helper.make_node("MatMul", ["flat", f"{head.name}.weight"], [head.name]))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", size, size])],
        [helper.make_tensor_value_info(h.name, TensorProto.FLOAT, ["N", len(h.labels)]) for h in outputs],
        weights,
    )
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    card = Card(
        name=name,
        backbone="none",
        heads=heads,
        default_head=heads[0].name,
        input_size=size,
        network_size=size,
        mean=0.5,
        std=0.25,
        framing=None,
        sha256=sha256_file(path),
        parameters=0,
        macs=0,
        licence="Apache-2.0",
        data={},
        training={},
    )
    path.with_suffix(".json").write_text(card.to_json(), encoding="utf-8")
    return path


def banded_face(label: int, count: int, *, size: int = 48) -> NDArray[np.uint8]:
    """A black face, uint8 (size, size), that is white in the band of one of `count` labels."""
    face = np.zeros((size, size), np.uint8)
    face[_band(label, count, size)] = 255
    return face


def _band(label: int, count: int, size: int) -> slice:
    return slice(label * (size // count), (label + 1) * (size // count))


def overhang(figure: Figure) -> float:
    """How far anything drawn reaches beyond the figure's edges, in inches; 0 or less if all is inside."""
    figure.draw_without_rendering()
    inside, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return float(max(-inside.x0, -inside.y0, inside.x1 - width, inside.y1 - height))
