"""The options of `mien predict`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from mien.cli.options import OUTPUT, option
from mien.cli.predict.sources import seconds

_DETECTION = "Face detection"
_CLIPS = "Clips, streams and cameras"
_CLIP_OUTPUT = "Output of clips"
_DATA_SET = "Data sets (--out FOLDER)"
_STUDY = "Tables of a study (--out FOLDER)"


class FaceChoice(StrEnum):
    """The faces of a clip that are reported."""

    all = "all"
    biggest = "biggest"


class PeopleChoice(StrEnum):
    """Who gets their number back when they return."""

    clip = "clip"
    off = "off"
    all = "all"


class EngineChoice(StrEnum):
    """What reads the files of a data set."""

    local = "local"
    ray = "ray"


class ExportFormat(StrEnum):
    """The other programs that a study can be exported for."""

    elan = "elan"
    boris = "boris"
    observer = "observer"
    bids = "bids"
    long = "long"


Sources: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...",
        help="Photos or clips: files, folders and globs; - for a photo on stdin; a camera's number. With "
        "--out FOLDER, also those of a list (names.txt, one path per line) or a store (s3://, gs://, hf://).",
    ),
]

Json: TypeAlias = Annotated[bool, option(OUTPUT, "--json", "Write one JSON document to stdout.")]
JsonLines: TypeAlias = Annotated[
    bool,
    option(
        OUTPUT,
        "--jsonl",
        "Write one JSON object per line to stdout: one per photo, or one per face in a clip.",
    ),
]
Csv: TypeAlias = Annotated[bool, option(OUTPUT, "--csv", "Write a CSV table to stdout, one row per face.")]
Out: TypeAlias = Annotated[
    str | None,  # a Path has no slash at its end
    option(
        OUTPUT,
        "--out PATH",
        "Write the results to this file instead. The suffix sets the format: .json, .jsonl, .csv, and "
        "for clips .parquet. Without a suffix, or with a slash at its end: a folder, with a data set of "
        "photos that a second run continues, and with all tables of a study of clips (or with --dataset, a "
        "data set of them).",
    ),
]
Save: TypeAlias = Annotated[
    Path | None, option(OUTPUT, "--save DIR", "Save annotated images or clips in this folder.")
]
Overwrite: TypeAlias = Annotated[
    bool, option(OUTPUT, "--overwrite", "Allow --out and --save to replace files.")
]

DetectorThreshold: TypeAlias = Annotated[
    float | None,
    option(
        _DETECTION,
        "--detector-threshold X",
        "Minimum detection confidence, 0 to 1. Default: 0.5.",
        min=0.0,
        max=1.0,
    ),
]
Align: TypeAlias = Annotated[
    bool,
    option(
        _DETECTION,
        "--align",
        "Rotate every face until its eyes are level, not only faces turned by more than 20 degrees.",
    ),
]
Movements: TypeAlias = Annotated[
    bool,
    option(
        _DETECTION,
        "--movements",
        "Also measure the pose of the head, eyes, gaze, brows and mouth from 478 landmarks, as columns and "
        "in JSON. About 3 ms more per face.",
    ),
]
Crops: TypeAlias = Annotated[
    bool, option(_DETECTION, "--crops", "Treat each image as one cropped face, without detection.")
]

Interval: TypeAlias = Annotated[
    float | None,
    option(
        _CLIPS,
        "--interval TIME",
        "Analyze one frame per interval, e.g. 0.2s. Default: every frame.",
        parser=seconds,
    ),
]
Start: TypeAlias = Annotated[
    float, option(_CLIPS, "--start TIME", "Begin here, e.g. 90s or 1:30.", parser=seconds)
]
End: TypeAlias = Annotated[float | None, option(_CLIPS, "--end TIME", "End here.", parser=seconds)]
Faces: TypeAlias = Annotated[
    FaceChoice,
    option(_CLIPS, "--faces all|biggest", "Report all faces, or only the person whose face is the biggest."),
]
People: TypeAlias = Annotated[
    PeopleChoice,
    option(
        _CLIPS,
        "--people clip|off|all",
        "Who keeps their number when they come back after a cut or out of sight: people within a clip, "
        "nobody, or people in all clips of the run.",
    ),
]
Smooth: TypeAlias = Annotated[
    float,
    option(
        _CLIPS,
        "--smooth TIME",
        "Average expressions over about this time, in seconds. 0: no smoothing.",
        parser=seconds,
    ),
]
DetectorSize: TypeAlias = Annotated[
    int,
    option(
        _CLIPS,
        "--detector-size PIXELS",
        "Longest side of the frame given to the face detector. A larger one finds smaller faces.",
        min=64,
    ),
]
Stream: TypeAlias = Annotated[
    bool,
    option(_CLIPS, "--stream", "Allow a source to be an address (rtsp://, http://, ...) and connect to it."),
]

Dataset: TypeAlias = Annotated[
    bool,
    option(
        _DATA_SET,
        "--dataset",
        "Write clips as a data set too: one table of all clips that a second run continues, instead of a "
        "study. The options below mean the same.",
    ),
]
Shard: TypeAlias = Annotated[
    str | None,
    option(
        _DATA_SET,
        "--shard I/N",
        "Read the I-th of N shares, chosen by a hash of each file's path: N machines need a shared folder.",
    ),
]
Range: TypeAlias = Annotated[
    float | None,
    option(
        _DATA_SET,
        "--range TIME",
        "Cut longer clips on disk into ranges of this time, e.g. 10m, which processes and shards share. "
        "They are joined when all are read.",
        parser=seconds,
    ),
]
VerifyHash: TypeAlias = Annotated[
    bool,
    option(
        _DATA_SET,
        "--verify-hash",
        "Find changed files by a hash of their content, not by size and time of change.",
    ),
]
Engine: TypeAlias = Annotated[
    EngineChoice,
    option(
        _DATA_SET,
        "--engine local|ray",
        "Read the files with the processes of this machine, or with a cluster of Ray, a worker per core.",
    ),
]
Address: TypeAlias = Annotated[
    str | None,
    option(
        _DATA_SET,
        "--address HOST",
        "The cluster of Ray: auto or HOST:PORT. Default: one that is started on this machine.",
    ),
]

Bin: TypeAlias = Annotated[
    float, option(_STUDY, "--bin TIME", "Length of an interval in the table of intervals.", parser=seconds)
]
Baseline: TypeAlias = Annotated[
    str | None,
    option(
        _STUDY,
        "--baseline FROM-TO",
        "Subtract each person's own mean in this time of the clip, e.g. 0s-10s, as columns delta_...",
    ),
]
EventThreshold: TypeAlias = Annotated[
    float,
    option(
        _STUDY,
        "--event-threshold X",
        "An event begins where an emotion (with --baseline, its change) reaches this.",
        min=0.0,
        max=1.0,
    ),
]
EventHysteresis: TypeAlias = Annotated[
    float,
    option(
        _STUDY,
        "--event-hysteresis X",
        "An event ends below the threshold less this.",
        min=0.0,
        max=1.0,
    ),
]
MinDuration: TypeAlias = Annotated[
    float,
    option(
        _STUDY,
        "--min-duration TIME",
        "Leave out people who are seen for less in a clip, e.g. 0.5s.",
        parser=seconds,
    ),
]
Export: TypeAlias = Annotated[
    list[ExportFormat] | None,
    option(
        _STUDY,
        "--export NAME",
        "Also write for other programs: elan, boris, observer, bids, long (for R and SPSS). Repeatable.",
    ),
]
Jobs: TypeAlias = Annotated[
    int,
    option(
        _STUDY,
        "--jobs N",
        "Number of clips that are read at once, each in a process of its own. One per core is fastest.",
        min=1,
    ),
]
Apply: TypeAlias = Annotated[
    Path | None,
    option(
        _STUDY,
        "--apply FILE",
        "Apply corrections (corrections.json) to the study in --out: its tables are computed again, without "
        "the clips. Give no SOURCE.",
    ),
]

Timeline: TypeAlias = Annotated[
    Path | None,
    option(
        _CLIP_OUTPUT,
        "--timeline DIR",
        "Save a figure of each person's expressions over time in this folder.",
    ),
]
BlurOthers: TypeAlias = Annotated[
    bool,
    option(_CLIP_OUTPUT, "--blur-others", "Blur all faces that are not reported, in what is saved or shown."),
]
Show: TypeAlias = Annotated[
    bool, option(_CLIP_OUTPUT, "--show", "Show each frame in a window. Q or Escape closes it.")
]
Resume: TypeAlias = Annotated[
    bool, option(_CLIP_OUTPUT, "--resume", "Continue the interrupted run that wrote the file of --out.")
]
