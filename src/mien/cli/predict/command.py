"""`mien predict`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mien.batch.sources import is_list, is_store
from mien.cli import options as shared
from mien.cli.predict import options as own
from mien.cli.predict.corrections import apply_alone
from mien.cli.predict.dataset import DataSetOptions
from mien.cli.predict.sources import STUDY, check_data_set, format_of, span, split_sources
from mien.errors import ImageError, UsageError
from mien.models.registry import DEFAULT
from mien.video.options.clips import ClipOptions
from mien.video.options.study import StudyOptions

if TYPE_CHECKING:
    from mien.batch.worker import ReadOptions
    from mien.inference.analyzer import Analyzer
    from mien.video.batch import WriteImages

_CLIPS_ONLY = (
    "--timeline, --interval, --start, --end, --faces, --people, --blur-others, --show, --smooth, "
    "--detector-size, --stream, --jobs and --resume"
)
_STUDY_ONLY = "--bin, --baseline, --event-threshold, --event-hysteresis, --min-duration and --export"


def predict(
    context: typer.Context,
    sources: own.Sources = None,
    as_json: own.Json = False,
    as_jsonl: own.JsonLines = False,
    as_csv: own.Csv = False,
    out: own.Out = None,
    save: own.Save = None,
    overwrite: own.Overwrite = False,
    model: shared.OnnxModel = DEFAULT,
    labels: shared.Labels = None,
    detector_threshold: own.DetectorThreshold = None,
    align: own.Align = False,
    movements: own.Movements = False,
    crops: own.Crops = False,
    interval: own.Interval = None,
    start: own.Start = 0.0,
    end: own.End = None,
    faces: own.Faces = own.FaceChoice.all,
    people: own.People = own.PeopleChoice.clip,
    smooth: own.Smooth = 0.2,
    detector_size: own.DetectorSize = 640,
    stream: own.Stream = False,
    dataset: own.Dataset = False,
    shard: own.Shard = None,
    range_s: own.Range = None,
    verify_hash: own.VerifyHash = False,
    engine: own.Engine = own.EngineChoice.local,
    address: own.Address = None,
    bin_s: own.Bin = 1.0,
    baseline: own.Baseline = None,
    event_threshold: own.EventThreshold = 0.5,
    event_hysteresis: own.EventHysteresis = 0.1,
    min_duration: own.MinDuration = 0.0,
    export: own.Export = None,
    jobs: own.Jobs = 1,
    apply: own.Apply = None,
    timeline: own.Timeline = None,
    blur_others: own.BlurOthers = False,
    show: own.Show = False,
    resume: own.Resume = False,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
) -> None:
    """Read the apparent expression of each face in photos or clips.

    Prints a table for people; with --json, --jsonl or --csv, only that. In a clip each person keeps a
    number, and --save draws timelines. --out FOLDER writes a data set of photos and a study of clips.
    A file that cannot be read is reported, and the others are read; the exit code is 5 then.
    """
    apply_alone(context, sources, apply, out)
    clips, photos = split_sources(sources or [], dataset=dataset or range_s is not None)
    values = (interval, start, end, faces.value, people.value, blur_others, show, jobs, smooth, detector_size)
    options = _clip_options(None, out, save, timeline, None, overwrite, resume, stream, *values)
    _check(options, bool(clips), crops, align or movements or detector_threshold is not None)
    form = format_of(as_json, as_jsonl, as_csv, out, clips=bool(clips))
    data_set = _data_set(clips, photos, form, dataset, shard, range_s, verify_hash, engine.value, address)
    study = (bin_s, event_threshold, event_hysteresis, span(baseline), _names(export), min_duration)
    read = _read_options(model, labels, detector_threshold, align, crops, device, movements)
    _exit(_predict(clips, photos, read, _for_study(options, form, StudyOptions(*study)), data_set, threads))


def _data_set(clips: list[str], photos: list[str], form: str | None, *values: Any) -> DataSetOptions:
    """The options of a data set, if they fit the sources."""
    options = DataSetOptions(*values)
    given = options != DataSetOptions()
    check_data_set([*photos, *clips], form, options=given)
    return replace(options, clips=given or any(is_store(each) or is_list(each) for each in clips))


def _clip_options(form: str | None, out: str | None, *values: Any) -> ClipOptions:
    return ClipOptions(form, Path(out) if out else None, *values)


def _exit(failures: int) -> None:
    """End with the code for files that cannot be read, if there are any."""
    if failures:
        raise typer.Exit(ImageError.exit_code)


def _read_options(
    model: str,
    labels: shared.LabelSet | None,
    threshold: float | None,
    align: bool,
    crops: bool,
    device: str,
    movements: bool,
) -> ReadOptions:
    from mien.batch.worker import ReadOptions

    read = ReadOptions(model, labels and labels.value, align=align, crops=crops, device=device)
    read = replace(read, movements=movements)
    return read if threshold is None else replace(read, detector_threshold=threshold)


def _names(exports: list[own.ExportFormat] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.value for name in exports or ()))


def _for_study(clips: ClipOptions, form: str | None, options: StudyOptions) -> ClipOptions:
    """The options of clips with those of a study, or with the format where --out is not a folder.

    Raises:
        UsageError: there are options of a study and no folder.
    """
    if form == STUDY:
        return replace(clips, study=options)
    if options != StudyOptions():
        raise UsageError(f"{_STUDY_ONLY} are for the tables of a study: give --out a folder, such as study/.")
    return replace(clips, form=form)


def _predict(
    clips: list[str],
    photos: list[str],
    read: ReadOptions,
    options: ClipOptions,
    data_set: DataSetOptions,
    threads: int | None,
) -> int:
    """Write and print the faces of photos and clips; returns how many files cannot be read whole."""
    from mien.cli.predict.dataset import check_clips, write_clip_data_set, write_data_set
    from mien.cli.predict.photos import photos_beside_clips, predict_photos

    failures = 0
    if clips and data_set.clips:
        check_clips(clips, options, data_set)
    if photos and options.study and options.out:
        replaced = options.overwrite
        failures = write_data_set(
            photos, options.out, read, data_set, save=options.save, overwrite=replaced, workers=threads
        )
        photos = []
    if clips and data_set.clips:
        return failures + write_clip_data_set(clips, read, options, data_set, workers=threads)
    if not clips and not photos:
        return failures
    # A clip is decoded and searched beside the model, which therefore gets one thread by default.
    analyzer = read.analyzer(threads, model_threads=threads or (1 if clips else None))
    if not clips:
        return predict_photos(photos, analyzer, options, crops=read.crops, threads=threads)
    if photos and options.form is None:  # a table for people
        failures = predict_photos(photos, analyzer, options, crops=False, threads=threads)
        return failures + _predict_clips(clips, analyzer, options)
    images = photos_beside_clips(photos, analyzer, options, threads) if photos else None
    return failures + _predict_clips(clips, analyzer, options, images)


def _predict_clips(
    sources: list[str], analyzer: Analyzer, options: ClipOptions, images: WriteImages | None = None
) -> int:
    """Write and print the faces of clips; returns the number of clips that cannot be read whole."""
    from rich.console import Console

    from mien.cli.predict.video_table import ClipReporter
    from mien.video.batch import predict_clips

    notes = Console(stderr=True, soft_wrap=True, highlight=False)
    reporter = ClipReporter(notes, people=options.form is None or options.out is not None)
    return predict_clips(sources, analyzer, options, reporter, images=images)


def _check(options: ClipOptions, clips: bool, crops: bool, detects: bool) -> None:
    """Raise a UsageError for options that do not fit the sources or each other."""
    if crops and clips:
        raise UsageError("--crops is for photos of cropped faces; in clips, faces have to be detected.")
    if crops and detects:
        raise UsageError("--crops runs no detector; leave out --align, --movements and --detector-threshold.")
    photo_options = ClipOptions(out=options.out, save=options.save, overwrite=options.overwrite)
    if not clips and options != photo_options:
        raise UsageError(f"{_CLIPS_ONLY} are for clips, but the sources are photos.")
