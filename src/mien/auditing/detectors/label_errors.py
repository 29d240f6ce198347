"""Labels that may be wrong, by confident learning: from predictions for each face made from the others.

Source: Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels";
cleanlab is its authors' implementation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.auditing.detectors.outliers import edge_histograms
from mien.auditing.findings import Finding, make_finding
from mien.auditing.inputs import TablePredictions
from mien.data.table import UNLABELLED, FaceTable
from mien.errors import MissingExtra

FOLDS = 5
# A class needs this many faces to be learned.
FEWEST = 20
_SEED = 0
# Finer than for outliers: an expression is a matter of a few pixels.
_CELLS = 8
_COMPONENTS = 250
_LANDMARKS = 1200
# Rows of length about 1 are told apart best at this width; of 0.5, 1 and 2 the accuracies are within 0.2 %.
_GAMMA = 1.0
# The regularisation's inverse for the kernel's features, and for the few that a model's predictions are.
_C_PIXELS, _C_MODEL = 0.1, 1.0
# Replaces a probability of 0, so that its logarithm is a number.
_LEAST = 1e-6

Floats = NDArray[np.float64]


def find_label_errors(table: FaceTable, predictions: TablePredictions | None = None) -> Iterator[Finding]:
    """Faces whose label is improbable according to out-of-fold predictions, the most improbable first.

    The score is how much more probable another class is than the label, 0-1; that class is suggested. Nothing
    is found in classes with fewer than `FEWEST` faces, or where not two classes have as many.

    Raises:
        MissingExtra: scikit-learn or cleanlab is not installed.
    """
    numbers, counts = np.unique(table.labels[table.labels != UNLABELLED], return_counts=True)
    classes = numbers[counts >= FEWEST]
    if len(classes) < 2:
        return
    indices = np.flatnonzero(np.isin(table.labels, classes))
    given = np.searchsorted(classes, table.labels[indices])
    predicted = out_of_fold(table, predictions, indices, classes)
    for i in _issues(given, predicted):
        label, most_probable = given[i], int(predicted[i].argmax())
        name, old = (table.classes[classes[j]] for j in (most_probable, label))
        chances = predicted[i, most_probable], predicted[i, label]
        evidence = f"predicted {name} {chances[0]:.0%}, the label {old} {chances[1]:.1%}"
        yield make_finding(table, indices[i], "label", chances[0] - chances[1], evidence, name)


def out_of_fold(
    table: FaceTable,
    predictions: TablePredictions | None,
    indices: NDArray[np.intp],
    classes: NDArray[np.int64],
) -> Floats:
    """Probabilities (len(indices), len(classes)), each face's from a classifier that never saw its label.

    Each fifth of the faces is predicted by a classifier trained on the other four, identical images staying
    together. Its features are a model's predictions, and its prediction is averaged with the model's own if
    the model has all the classes; without a model its features are the pixels. If the model was trained on
    some of these labels or votes, only the pixels are fully out of fold.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    given = np.searchsorted(classes, table.labels[indices])
    _, same = np.unique(table.pixel_keys[indices], return_inverse=True)
    if predictions is None:
        return _cross_predict(_pixel_features(table.pixels[indices]), given, same, _C_PIXELS)
    given_by_model = predictions.probabilities[indices].astype(np.float64)
    logs = np.log(np.maximum(given_by_model, _LEAST))
    spread = logs.std(axis=0)
    features = (logs - logs.mean(axis=0)) / np.where(spread > 0, spread, 1)
    predicted = _cross_predict(features, given, same, _C_MODEL)
    names = [table.classes[label] for label in classes]
    if not set(names) <= set(predictions.labels):
        return predicted
    own = np.maximum(given_by_model[:, [predictions.labels.index(name) for name in names]], _LEAST)
    averaged: Floats = (predicted + own / own.sum(axis=1, keepdims=True)) / 2
    return averaged


def _cross_predict(
    features: NDArray[np.floating], given: NDArray[np.intp], same: NDArray[np.intp], c: float
) -> Floats:
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedGroupKFold
    except ModuleNotFoundError as error:
        raise MissingExtra("Finding label errors", "study") from error
    predicted = np.zeros((len(given), int(given.max()) + 1))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=_SEED)
    for learned, held_out in folds.split(features, given, same):
        classifier = LogisticRegression(C=c, max_iter=500, tol=1e-3).fit(features[learned], given[learned])
        predicted[np.ix_(held_out, classifier.classes_)] = classifier.predict_proba(features[held_out])
    return predicted


def _pixel_features(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Edges of the faces, their principal components, and their likeness to some of the faces.

    Labels are not used. Source: Williams and Seeger 2001, "Using the Nyström Method to Speed Up Kernel
    Machines".
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.kernel_approximation import Nystroem
    except ModuleNotFoundError as error:
        raise MissingExtra("Finding label errors", "study") from error
    edges = edge_histograms(faces, cells=_CELLS)
    some = min(_COMPONENTS, *edges.shape)
    parts = PCA(some, svd_solver="covariance_eigh").fit_transform(edges)
    parts /= np.sqrt((parts**2).sum(axis=1).mean()) + 1e-9
    kernel = Nystroem(gamma=_GAMMA, n_components=min(_LANDMARKS, len(parts)), random_state=_SEED)
    likeness = kernel.fit_transform(parts).astype(np.float32)
    features: NDArray[np.float32] = likeness / (likeness.std(axis=0).mean() + np.float32(1e-9))
    return features


def _issues(given: NDArray[np.intp], predicted: Floats) -> NDArray[np.intp]:
    """The indices of the labels that cleanlab counts as wrong, by normalized margin, the smallest first."""
    try:
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError as error:
        raise MissingExtra("Finding label errors", "study") from error
    found: NDArray[np.intp] = find_label_issues(
        given, predicted, return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    return found
