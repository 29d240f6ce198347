"""What `mien` offers to Python beyond images and clips: models by name, path or run, data by path or table.

Each function does one thing, returns a typed result, prints nothing, and is the whole of one command.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from mien.evaluation.run import EvaluationOptions, evaluate_model, own_task, predict_labels
from mien.loading import (
    SourceOfFaces,
    faces_of_run,
    faces_to_compare,
    is_csv,
    labels_head_of,
    load_model,
    networks_of,
)
from mien.models.card import Labels
from mien.models.classifier import Model
from mien.models.registry import DEFAULT
from mien.progress import Progress

if TYPE_CHECKING:
    from mien.auditing.audit import Findings
    from mien.data.folders.labels import Contempt
    from mien.data.table import FaceTable
    from mien.emotions import BinaryTask
    from mien.evaluation.comparison import PredictedClasses
    from mien.evaluation.result import Evaluation
    from mien.exporting.export import ExportResult
    from mien.images.decode import ImageSource
    from mien.models.card import Framing
    from mien.reports.attribution import ModelExplanation
    from mien.reports.comparison import Comparison

# A shipped name, an ONNX file, a run's folder, or an open model.
AnyModel: TypeAlias = "str | Path | Model"
# More faces than this do not change the deletion test; it predicts each four times.
_DELETION_TEST_FACES = 300


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
        label_map: what folders mean: ``"raf-db"``, ``"affectnet"``, ``"ck+"``, a CSV of folder,emotion or
            folder,class, or ``"own"``: each folder is a class.
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
        models: two or more of what `evaluate` takes, or CSVs of ``mien evaluate --predictions``, or folders
            of several seeds, each of which is one model: its scores are means over the seeds.
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
    networks = [networks_of(model) for model in models]
    listed = [
        (model, seed, each)
        for model, seeds in zip(models, networks, strict=True)
        for seed, each in (seeds.items() if seeds else [(None, model)])
    ]
    opened = [None if is_csv(each) else _open(each) for *_, each in listed]
    task = _common_task(opened, binary)
    table = None if faces.data is None else _table(faces.data, faces.votes, faces.label_map)
    several: list[PredictedClasses] = []
    for (model, seed, path), each in zip(listed, opened, strict=True):
        if each is None or table is None:
            several.append(read_predictions(Path(str(path))))
        else:
            where = faces.split or default_split(table)
            found = _predicted(each, table, where, labels, task, progress)
            several.append(found if seed is None else replace(found, name=Path(str(model)).name, seed=seed))
    firsts = {id(model): each.name for (model, *_), each in zip(listed, several, strict=True)}
    if len(set(firsts.values())) < len(models):
        # Runs in different folders may have one name; their paths differ.
        named = [str(model) if isinstance(model, (str, Path)) else None for model, *_ in listed]
        several = [replace(e, name=name) if name else e for e, name in zip(several, named, strict=True)]
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
        split: the split; for None PublicTest, or the only split of the data; of a run with `data.holdout` the
            faces that it held out.
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
        from mien.training.data.holdout import HELD_OUT, with_held_out_split
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Exporting (package {error.name!r})", "train") from error
    folder, file = Path(run), None if out is None else Path(out)
    if file is not None:
        check_output(file)
    spec = load_run(folder).recipe.data
    faces = faces_of_run(folder, votes) if data is None else SourceOfFaces(data, votes, split)
    if progress is not None:
        progress(f"reading {faces.data}")
    table = _table(faces.data or "", faces.votes, faces.label_map, size=spec.face_size)
    if data is None and split is None and spec.holdout:
        table, split = with_held_out_split(table, spec), HELD_OUT
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


def audit(
    data: str | Path | FaceTable,
    *,
    votes: str | Path | None = None,
    model: AnyModel | None = DEFAULT,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Findings:
    """The irregular faces and doubtful labels of a data set: what `mien audit` finds. Nothing is removed.

        >>> import mien
        >>> mien.audit("fer2013.csv", votes="fer2013new.csv")
        <Findings: 14 blank, 1,577 duplicate, ...>

    Args:
        data: a path that `mien.load` reads, ``"synthetic"``, or a table of faces.
        votes: FER+ votes (fer2013new.csv): more is found, and the precision of the findings is measured.
        model: predicts for every face: a shipped name, an ONNX file, the folder of a training run, an open
            model, or None. Without it label errors are found from the pixels alone, and less well.
        out: a folder for findings.csv and gallery.html, created if it does not exist; None writes nothing.
        progress: called with what is at work, how much is done, and how much there is.

    Raises:
        DataError: the data cannot be read or has no faces, or the folder cannot be created.
        UnknownModel, CardError, ModelError: the model cannot be loaded, or gives no probabilities.
        MissingExtra: scikit-learn, cleanlab or jinja2 is not installed; or the model is a run, and PyTorch is
            not installed.
    """
    from mien.auditing import audit as auditing
    from mien.models.classifier import HeadClassifier

    table = _table(data, votes, None)
    classifier = None
    if model is not None:
        opened = _open(model)
        # The head of votes also predicts "not a face".
        head = next((name for name in ("votes", "fer2013") if name in opened.heads), next(iter(opened.heads)))
        classifier = HeadClassifier(opened, head)
    findings = auditing.audit(table, classifier, progress=progress)
    if out is not None:
        auditing.write(table, findings, Path(out))
    return findings


def explain(
    model: AnyModel = DEFAULT,
    images: ImageSource | Sequence[ImageSource] = (),
    *,
    data: str | Path | FaceTable | None = None,
    split: str = "PublicTest",
    faces: int = 1000,
    head: str | None = None,
    layer: str | None = None,
    crops: bool = False,
    threads: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> ModelExplanation:
    """Which parts of faces the predictions of a model rest on (Grad-CAM): what `mien explain` draws.

        >>> import mien
        >>> mien.explain("mien-lite0", "photo.jpg")
        <ModelExplanation of mien-lite0 (blocks.4): photo.jpg: happy 98%>

    Args:
        model: a shipped name, an ONNX file of `mien.export`, the folder of a training run, or an open model.
        images: what `mien.analyze` reads, one or several; folders and globs too.
        data: labelled faces to explain: a path that `mien.load` reads, ``"synthetic"``, or a table.
        split: the split of the data.
        faces: if the split has more faces, this many are drawn at random.
        head: ``"fer2013"`` or ``"votes"``; for None fer2013, or the binary task of the run.
        layer: the layer of the maps; for None the deepest whose maps have 6 x 6 cells or more.
        crops: treat each image as one cropped face, without detection.
        threads: CPU threads; torch's choice for None.
        out: a folder for explain.html, created if it does not exist; None writes nothing.
        progress: called with what is at work, how much is done, and how much there is.

    Raises:
        UsageError: neither images nor data, or the network has no such layer.
        ImageError: an image cannot be read.
        DataError: the data cannot be read, or the folder cannot be created.
        UnknownModel, CardError, ModelError: the model cannot be loaded.
        MissingExtra: PyTorch is not installed; or with `out`, matplotlib or jinja2 is not.
    """
    from mien.detection.blazeface import BlazeFace
    from mien.errors import MissingExtra, UsageError
    from mien.evaluation.attribution import deletion_test, explain_faces, explain_image, take_first
    from mien.images.decode import read_image
    from mien.loading import binary_task_of
    from mien.progress import counter
    from mien.reports.attribution import ModelExplanation, write_explanation

    sources = _image_sources(images)
    if not sources and data is None:
        raise UsageError("give images to explain, or data (--data PATH, or --data synthetic).")
    try:
        from mien.training.explainer import Explainer
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Explaining a model (package {error.name!r})", "train") from error

    source = _source_of(model)
    head = head or binary_task_of(source) or labels_head_of(source)
    explainer = Explainer(source, head=head, layer=layer, threads=threads)
    name = Path(source).resolve().name if Path(source).is_dir() else Path(source).stem
    size, framing = _input_of(source)
    detector = None if crops or not sources else BlazeFace(threads=threads)
    count = counter(progress, f"explaining with {name}", len(sources))
    explained = []
    for each in sources:
        image = read_image(each)
        explained.append(explain_image(explainer, image, size=size, framing=framing, detector=detector))
        count(1)
    attributions, tested, described = None, None, ""
    if data is not None:
        table = _table(data, None, None).split(split)
        described = f"{table.source}, {split}"
        count = counter(progress, f"explaining {split} with {name}", min(faces, len(table)))
        attributions = explain_faces(explainer, table, name=name, head=head, most=faces, progress=count)
        few = take_first(attributions, _DELETION_TEST_FACES)
        tested = deletion_test(few, explainer.predict) if len(few.crops) > 1 else None
    result = ModelExplanation(
        name, head, explainer.layer, explainer.cells, tuple(explained), attributions, tested, described
    )
    if out is not None:
        write_explanation(result, Path(out))
    return result


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


def _image_sources(images: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    """One or several images as a list, folders and globs as the images in them."""
    from mien.images.find import find_images

    one = isinstance(images, str | bytes | bytearray | memoryview) or not isinstance(images, Sequence)
    sources: list[ImageSource] = []
    for each in cast("Sequence[ImageSource]", [images] if one else images):
        sources += find_images([each]) if isinstance(each, str | os.PathLike) else [each]
    return sources


def _source_of(model: AnyModel) -> str | Path:
    """The name or path of a model, whose weights are loaded into a network again."""
    from mien.errors import UsageError

    if isinstance(model, str | Path):
        return model
    path = getattr(model, "path", None)
    if path is None:
        raise UsageError(f"{model!r} was not loaded from a file, so it cannot be explained. Give its path.")
    return Path(path)


def _input_of(model: str | Path) -> tuple[int, Framing]:
    """The side of a face that the model takes, and how faces lie in it."""
    from mien.images.crop import FER2013_FRAMING
    from mien.loading import is_run, recipe_of
    from mien.models.registry import find_model

    if is_run(model):
        return recipe_of(Path(model)).data.face_size, FER2013_FRAMING
    card = find_model(model).card
    return card.input_size, card.framing or FER2013_FRAMING
