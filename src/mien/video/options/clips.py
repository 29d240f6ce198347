"""How clips are analyzed, and what is written of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.video.options.study import StudyOptions

FaceSelection = Literal["all", "biggest"]
PeopleMode = Literal["clip", "off", "all"]
# The longest side of the detector's input, in pixels.
DETECTOR_SIZE = 640


@dataclass(frozen=True)
class ClipOptions:
    """How clips are analyzed, and what is written.

    Attributes:
        form: ``"csv"``, ``"jsonl"``, ``"json"`` or ``"parquet"``; no table for None.
        out: the table's file; stdout for None.
        save: folder of annotated videos and timelines.
        timeline: folder of timelines alone.
        study: write `out` as the folder of a study, see `mien.video.study.study`; `form` is None then.
        overwrite: replace files that exist.
        resume: continue the run that was interrupted while it wrote `out`.
        stream: let a source be an address, and connect to it.
        blur_others: blur all faces that are not reported in what is saved or shown.
        show: show the frames in a window.
        jobs: how many clips are read at once, each in a process of its own; more than one for a study only.
        people: who gets their number back when they return: in the same clip for ``"clip"``, in all clips of
            the run for ``"all"``, nobody for ``"off"``.
        interval_s, start_s, end_s, faces, smooth_s, detector_size: as `mien.analyze_video` takes them.
    """

    form: str | None = None
    out: Path | None = None
    save: Path | None = None
    timeline: Path | None = None
    study: StudyOptions | None = None
    overwrite: bool = False
    resume: bool = False
    stream: bool = False
    interval_s: float | None = None
    start_s: float = 0.0
    end_s: float | None = None
    faces: FaceSelection = "all"
    people: PeopleMode = "clip"
    blur_others: bool = False
    show: bool = False
    jobs: int = 1
    smooth_s: float = 0.2
    detector_size: int = DETECTOR_SIZE
