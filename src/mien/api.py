"""What `mien` offers to Python beyond images and clips: models by name, path or run, data by path or table.

Each function does one thing, returns a typed result, prints nothing, and is the whole of one command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mien.evaluation.run import EvaluationOptions, Progress, evaluate_model, own_task, predict_labels
from mien.loading import SourceOfFaces, faces_of_run, faces_to_compare, is_csv, load_model
from mien.models.card import Labels
from mien.models.classifier import Model
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from mien.data.folders.labels import Contempt
    from mien.data.table import FaceTable
    from mien.emotions import BinaryTask
    from mien.evaluation.comparison import PredictedClasses
    from mien.evaluation.result import Evaluation
    from mien.exporting.export import ExportResult
    from mien.reports.comparison import Comparison

# A shipped name, an ONNX file, a run's folder, or an open model.
AnyModel: TypeAlias = "str | Path | Model"


def evaluate(
    model: AnyModel = DEFAULT,
    *,
    data: str | Path | FaceTable,
    split: str | None = None,
    votes: str | Path | None = None,
    labels: Labels = "fer2013",
    label_map: str | Path | None = None,
    head: str | None = None,
    known_only: bool = False,
    tta: bool = False,
    binary: Sequence[str] = (),
    vote_threshold: float = 0.3,
    groups: str | Path | None = None,
    minimum_n: int = 50,
    robustness: bool = False,
    robustness_faces: int | None = None,
    bootstrap: int = 2000,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Evaluation:
    """The scores of a model on one split of labelled faces: what `mien evaluate` measures.

        >>> import mien
        >>> mien.evaluate("mien-tiny", data="synthetic", split="PublicTest", bootstrap=200)
        <Evaluation of mien-tiny on PublicTest, 350 faces: accuracy ...>

    Args:
        model: a shipped name, an ONNX file, the folder of a training run, or an open model.
        data: a path that `mien.load` reads, ``"synthetic"``, or a table of faces.
        split: the split to score; for None PublicTest, or the only split of the data.
        votes: FER+ votes (fer2013new.csv). A model with a head of votes is then scored against them too.
        labels: the truth: ``"fer2013"``, the labels of the data, or ``"ferplus"``, the majority of its votes.
        label_map: what folders mean: ``"raf-db"``, ``"affectnet"``, ``"ck+"``, or a CSV of folder,emotion.
        head: the head that predicts; for None the one of the labels, or of the run's binary task.
        known_only: leave out faces of classes that the model does not know.
        tta: average the probabilities over ten crops of each face.
        binary: binary tasks to score from the same probabilities: an emotion, or ``"negative"``.
        vote_threshold: share of a face's votes, and probability, from which an emotion is one of its labels.
        groups: a CSV with a column row or name, and columns of groups of people.
        minimum_n: groups with fewer faces are not scored.
        robustness: evaluate each face under 45 corruptions, too.
        robustness_faces: limit that to this many faces, drawn at random.
        bootstrap: resamples for the confidence intervals.
        batch_size: faces in one call of the model.
        progress: called with what is at work, how many faces are done, and how many there are.

    Raises:
        UnknownModel, CardError, ModelError: the model cannot be loaded, or gives no probabilities.
        DataError: the data cannot be read, or has no such split.
        UsageError: no face can be scored, faces are of a class that the model does not know, or an option is
            out of range.
        MissingExtra: the model is a run, and PyTorch is not installed.
    """
    opened = _open(model)
    # Faces of contempt are kept, so that they are scored or named, never left out silently.
    table = _table(data, votes, label_map, contempt="keep")
    options = EvaluationOptions(
        split=split,
        labels=labels,
        head=head,
        known_only=known_only,
        tta=tta,
        binary=binary,
        vote_threshold=vote_threshold,
        groups=None if groups is None else Path(groups),
        minimum_n=minimum_n,
        robustness=robustness,
        robustness_faces=robustness_faces,
        resamples=bootstrap,
        batch_size=batch_size,
    )
    return evaluate_model(opened, table, options, progress=progress)


def compare(
    models: Sequence[AnyModel],
    *,
    data: str | Path | FaceTable | None = None,
    split: str | None = None,
    votes: str | Path | None = None,
    labels: Labels = "fer2013",
    binary: str | None = None,
    label_map: str | Path | None = None,
    bootstrap: int = 2000,
    progress: Progress | None = None,
) -> Comparison:
    """Models compared on the same faces, and whether their differences are real: what `mien compare` prints.

    Args:
        models: two or more of what `evaluate` takes, or CSVs of ``mien evaluate --predictions``.
        data: the faces; for None those that the runs among the models were trained on.
        split: their split; for None the one that chose the runs' epochs.
        votes: FER+ votes (fer2013new.csv).
        labels: the truth, as in `evaluate`.
        binary: compare the predictions of one binary task: an emotion, or ``"negative"``.
        label_map: what the data's folders mean, as in `evaluate`.
        bootstrap: resamples for the confidence intervals.
        progress: as in `evaluate`.

    Raises:
        UsageError: fewer than two models, no data, or models that cannot be compared.
        UnknownModel, CardError, ModelError, DataError, MissingExtra: as `evaluate` does.
    """
    import numpy as np

    from mien.evaluation.comparison import join_predictions, read_predictions
    from mien.evaluation.predictions import default_split
    from mien.reports.comparison import compare_models

    faces = faces_to_compare(models, data, votes, split, label_map)
    opened = [None if is_csv(model) else _open(model) for model in models]
    task = _common_task(opened, binary)
    table = None if faces.data is None else _table(faces.data, faces.votes, faces.label_map)
    several: list[PredictedClasses] = []
    for model, each in zip(models, opened, strict=True):
        if each is None or table is None:
            several.append(read_predictions(Path(str(model))))
        else:
            where = faces.split or default_split(table)
            several.append(_predicted(each, table, where, labels, task, progress))
    if len({each.name for each in several}) < len(several):
        # Runs in different folders may have one name; their paths differ.
        names = [m if isinstance(m, (str, Path)) else None for m in models]
        several = [replace(e, name=str(n)) if n else e for e, n in zip(several, names, strict=True)]
    return compare_models(join_predictions(several), lambda: np.random.default_rng(0), resamples=bootstrap)


def export(
    run: str | Path,
    out: str | Path | None = None,
    *,
    name: str | None = None,
    data: str | Path | FaceTable | None = None,
    votes: str | Path | None = None,
    split: str | None = None,
    int8: bool = False,
    calibrate: bool = True,
    tta: bool = True,
    progress: Callable[[str], None] | None = None,
) -> ExportResult:
    """A run's best network as an ONNX file with its card beside it: what `mien export` writes.

    It is proved on every face of the split that PyTorch and ONNX Runtime agree; otherwise nothing is written.

    Args:
        run: the folder of a training run.
        out: the ONNX file to write; for None NAME.onnx in the run's folder.
        name: the model's name; for None that of `out`, or mien-RECIPE.
        data: the faces to prove and measure with; for None those of the run.
        votes: FER+ votes for the head of votes; for None those of the run.
        split: the split; for None PublicTest, or the only split of the data.
        int8: also write NAME-int8.onnx, quantized to eight bits.
        calibrate: fit temperatures and conformal thresholds on half of the split; put figures in the card.
        tta: also put figures with test-time augmentation in the card.
        progress: called with what is at work.

    Raises:
        ModelError: the folder holds no network that can be loaded.
        ExportError: the network cannot be expressed in ONNX, or the predictions disagree.
        DataError: the faces cannot be read, or have no such split.
        UsageError: `out` cannot be written, or the run does not say where its faces are.
        MissingExtra: PyTorch or ONNX is not installed.
    """
    from mien.errors import MissingExtra

    try:
        from mien.exporting.export import export_model
        from mien.exporting.onnx import check_output
        from mien.training.classifier import load_run
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Exporting (package {error.name!r})", "train") from error
    folder, file = Path(run), None if out is None else Path(out)
    if file is not None:
        check_output(file)
    size = load_run(folder).recipe.data.face_size
    faces = faces_of_run(folder, votes) if data is None else SourceOfFaces(data, votes, split)
    if progress is not None:
        progress(f"reading {faces.data}")
    table = _table(faces.data or "", faces.votes, faces.label_map, size=size)
    return export_model(
        folder,
        file,
        table,
        name=name,
        split=split,
        int8=int8,
        calibrate=calibrate,
        tta=tta,
        progress=progress,
    )


def _open(model: AnyModel) -> Model:
    return load_model(model) if isinstance(model, (str, Path)) else model


def _table(
    data: str | Path | FaceTable,
    votes: str | Path | None,
    label_map: str | Path | None,
    *,
    contempt: Contempt = "drop",
    size: int = 48,
) -> FaceTable:
    """The faces of a path; a table as it is, with the votes where they are given."""
    from mien.data.folders.labels import NO_MAP
    from mien.data.folders.labels import label_map as read_map
    from mien.data.sources import load
    from mien.data.table import FaceTable
    from mien.data.votes import join_votes
    from mien.errors import UsageError

    file = None if votes is None else Path(votes)
    if isinstance(data, FaceTable):
        if label_map is not None:
            raise UsageError("label_map is for a path of data, and data is a table already. Leave it out.")
        return data if file is None else join_votes(data, file)
    mapping = NO_MAP if label_map is None else read_map(str(label_map))
    return load(data, votes=file, contempt=contempt, size=size, mapping=mapping)


def _common_task(opened: Sequence[Model | None], binary: str | None) -> BinaryTask | None:
    """The binary task in which all are compared; None for emotions.

    Raises:
        UsageError: no such task, or a run was trained on another one.
    """
    from mien.emotions import binary_task
    from mien.errors import UsageError

    task = binary_task(binary) if binary else None
    if task and any(model is None for model in opened):
        raise UsageError("a CSV holds predictions of all emotions. With --binary give the models themselves.")
    own = {found.name for model in opened if model is not None and (found := own_task(model))}
    if others := sorted(own - {task.name if task else ""}):
        raise UsageError(
            f"a run among them was trained on {others[0]!r} alone. Compare with --binary {others[0]}."
        )
    return task


def _predicted(
    model: Model,
    table: FaceTable,
    split: str,
    labels: Labels,
    task: BinaryTask | None,
    progress: Progress | None,
) -> PredictedClasses:
    from mien.evaluation.binary import as_binary
    from mien.evaluation.comparison import predicted_classes

    predictions = predict_labels(model, table, split, labels, progress=progress)
    if task is not None and own_task(model) is None:
        predictions = as_binary(predictions, task)
    return predicted_classes(predictions)
