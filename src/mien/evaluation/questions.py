"""What a two-way classifier, trained on a framing's question, says of a split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mien.data.table import FaceTable, not_in
from mien.emotions import NEITHER, BinaryTask
from mien.errors import UsageError
from mien.evaluation.predictions import TRAINING, Labels, Predictions, truth_of
from mien.models.classifier import Classifier, classify


def predict_question(
    classifier: Classifier,
    table: FaceTable,
    split: str,
    framing: BinaryTask,
    *,
    labels: Labels = "fer2013",
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> Predictions:
    """The answers of a classifier whose two columns are the framing's, on the faces that are on a side.

    Faces on neither side are left out and counted.

    Raises:
        DataError: the table has no such split.
        UsageError: the classifier answers something else, or no face is on a side.
        ModelError: the classifier's answer is no probabilities.
    """
    if classifier.labels != framing.classes:
        raise UsageError(
            f"model {classifier.name!r} answers {', '.join(classifier.labels)}, not "
            f"{' or '.join(framing.classes)}."
        )
    labelled, truth, classes, left_out = truth_of(table.split(split), labels)
    sides = np.array(framing.sides(classes))[truth]
    kept = sides != NEITHER
    if not kept.any():
        raise UsageError(f"no face of {split} is {' or '.join(framing.classes)}.")
    faces = labelled.take(kept)
    training = table.splits == TRAINING
    comparable = split != TRAINING and training.any()
    gone = {name: int((truth[~kept] == label).sum()) for label, name in enumerate(classes)}
    return Predictions(
        classes=framing.classes,
        probabilities=classify(classifier, faces.pixels, batch_size=batch_size, progress=progress),
        truth=sides[kept].astype(np.int64),
        model=classifier.name,
        head=framing.name,
        faces=faces,
        split=split,
        labels=labels,
        fresh=not_in(faces, table.take(training)) if comparable else None,
        left_out={**left_out, **{name: count for name, count in gone.items() if count}},
    )
