"""The folder of a study: for each clip and for all together, tables, sidecars, timelines and exports.

study/
  study.json                   sidecar of all clips together
  frames, people, intervals, events (.csv, .parquet)
  images/, images (.csv, .parquet, .json)      the photos, if there are any, see `mien.batch.dataset`
  bids/                        if exported
  CLIP/
    log.jsonl                  everything else is computed from this file and clip.json
    clip.json                  sidecar of the clip
    frames, people, intervals, events (.csv, .parquet)
    timeline.png
    CLIP.eaf, boris.tsv, observer.csv, long.csv    if exported
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien.errors import UsageError
from mien.files import sha256_file, write_atomically
from mien.models.card import Head
from mien.names import json_text
from mien.video.log import Log, head_of, replay_details
from mien.video.output.timeline import Timeline
from mien.video.reader import Video
from mien.video.results import AnalyzedFrame, FrameResult
from mien.video.study.dictionary import (
    MISSING,
    TABLES,
    Column,
    describe,
    event_columns,
    frame_columns,
    interval_columns,
    people_columns,
)
from mien.video.study.exports import EXPORTS, ExportedClip
from mien.video.study.files import TableFiles, join_tables, open_tables
from mien.video.study.measures import Measures, named, rest_of, timed
from mien.video.study.tables import EventTable, IntervalTable, PeopleTable
from mien.video.tracking.people import People
from mien.video.tracking.tracker import Tracker

SIDECAR = "study.json"
_CLIP_SIDECAR, _LOG, _KNOWN = "clip.json", "log.jsonl", "known_people.json"
_TIME = "seconds since the beginning of the clip, as a player shows it; from the frames' own time stamps"


@dataclass(frozen=True)
class StudyOptions:
    """How the tables of a study are computed.

    Attributes:
        bin_s: length of an interval.
        threshold: an event begins where a probability (with a baseline, its change from rest) reaches it.
        hysteresis: an event ends where it falls below the threshold less this.
        baseline_s: from when to when a person is at rest, since the clip's beginning; None for no baseline.
        exports: of `EXPORTS`.

    Raises:
        UsageError: a value is out of range.
    """

    bin_s: float = 1.0
    threshold: float = 0.5
    hysteresis: float = 0.1
    baseline_s: tuple[float, float] | None = None
    exports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.bin_s <= 0:
            raise UsageError(f"--bin must be longer than 0 s, not {self.bin_s:g} s.")
        if not 0 <= self.hysteresis < self.threshold <= 1:
            raise UsageError(
                f"--event-threshold is {self.threshold:g} and --event-hysteresis {self.hysteresis:g}: the "
                "threshold must be 1 or less, and the hysteresis smaller than the threshold."
            )
        if unknown := [name for name in self.exports if name not in EXPORTS]:
            raise UsageError(f"--export {unknown[0]} is not known. Use {', '.join(EXPORTS)}.")


def log_path(folder: Path, name: str) -> Path:
    """The log of a clip in a study."""
    return folder / name / _LOG


def keep_known_people(folder: Path, name: str, people: People) -> None:
    """Keep who was known before a clip, where people are numbered across clips."""
    _write_json(folder / name / _KNOWN, people.to_dict())


def clip_facts(video: Video) -> dict[str, Any]:
    """What a sidecar has about a clip: file, rate, length, time base; only what the container announces."""
    path = Path(video.source)
    source: dict[str, Any] = {"path": video.source}
    if path.is_file():
        status = path.stat()
        source |= {"sha256": sha256_file(path), "bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    base = video.stream.time_base
    return {
        "source": source,
        "fps": video.rate,
        "duration_s": video.duration_s,
        "time_base": None if base is None else f"{base.numerator}/{base.denominator}",
        "time": _TIME,
    }


def write_clip(folder: Path, name: str, facts: dict[str, Any], options: StudyOptions) -> list[Path]:
    """Everything about a clip, computed from its log: sidecar, tables, timeline and exports.

    Raises:
        UsageError: the log cannot be read, or a file cannot be written.
        MissingExtra: pyarrow or matplotlib is not installed.
    """
    clip = folder / name
    log = clip / _LOG
    header = Log(log).header
    head = head_of(header)
    rest = None if options.baseline_s is None else rest_of(_results(clip), head, options.baseline_s)
    measures = Measures(head, rest)
    columns = _columns(head, measures)
    sidecar = _sidecar(header, options) | facts | _frame_facts(Log(log))
    if rest is not None:
        names = measures.names[: len(measures.names) // 2]
        sidecar["rest"] = {str(person): named("", names, values) for person, values in sorted(rest.items())}
    sidecar["tables"] = {table: describe(columns[table]) for table in TABLES}
    timeline = Timeline(measures.labels)
    with ExitStack() as stack:
        files = {it: stack.enter_context(open_tables(clip, it, columns[it], sidecar)) for it in TABLES}
        details = _with_timeline(_details(clip), timeline)
        events = _write_tables(details, header["source"], measures, options, files)
    written = [clip / "people.csv"]
    if timeline.draw(clip / "timeline.png", Path(header["source"]).name):
        written.append(clip / "timeline.png")
    exported = ExportedClip(name, folder, sidecar, measures, events, lambda: _results(clip))
    for export in options.exports:
        EXPORTS[export](exported)
    _write_json(clip / _CLIP_SIDECAR, sidecar)
    return written


def write_together(
    folder: Path, names: list[str], options: StudyOptions, errors: Sequence[dict[str, str]] = ()
) -> None:
    """The tables of all clips of a study as one each, and ``study.json`` with what could not be read."""
    there = [name for name in names if (folder / name / _CLIP_SIDECAR).exists()]
    sidecars = [json.loads((folder / name / _CLIP_SIDECAR).read_text(encoding="utf-8")) for name in there]
    clips = [
        {"folder": name} | {key: value for key, value in it.items() if key != "tables"}
        for name, it in zip(there, sidecars, strict=True)
    ]
    sidecar: dict[str, Any] = {"clips": clips, "errors": list(errors)}
    sidecar |= {"study_options": asdict(options), "missing": MISSING}
    if there:
        header = Log(folder / there[0] / _LOG).header
        head = head_of(header)
        measures = Measures(head, None if options.baseline_s is None else {})
        columns = _columns(head, measures)
        sidecar["tables"] = {table: describe(columns[table]) for table in TABLES}
        for table in TABLES:
            parts = [folder / name / f"{table}.parquet" for name in there]
            join_tables(parts, folder, table, columns[table], sidecar)
    _write_json(folder / SIDECAR, sidecar)


def rewrite(folder: str | Path, options: StudyOptions | None = None) -> None:
    """Compute all tables of a study again from its logs, without the clips, perhaps with other options.

    Raises:
        UsageError: the folder contains no study, or a log cannot be read.
    """
    root = Path(folder)
    try:
        study = json.loads((root / SIDECAR).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{root} is not the folder of a study: {SIDECAR} cannot be read ({error})."
        ) from error
    if "clips" not in study:
        raise UsageError(f"{root} is not the folder of a study of clips: {SIDECAR} lists no clips.")
    if options is None:
        values = study["study_options"]
        lists = {name: values[name] and tuple(values[name]) for name in ("baseline_s", "exports")}
        options = StudyOptions(**values | lists)
    names = [clip["folder"] for clip in study["clips"]]
    for name in names:
        sidecar = json.loads((root / name / _CLIP_SIDECAR).read_text(encoding="utf-8"))
        facts = {key: sidecar[key] for key in _FACTS if key in sidecar}
        write_clip(root, name, facts, options)
    write_together(root, names, options, study["errors"])


_FACTS = ("source", "fps", "duration_s", "time_base", "time", "error", "complete", "size")


def _write_tables(
    details: Iterable[AnalyzedFrame],
    source: str,
    measures: Measures,
    options: StudyOptions,
    files: dict[str, TableFiles],
) -> list[Any]:
    """One pass over a clip's results; returns its events."""
    people = PeopleTable(source, measures)
    intervals = IntervalTable(source, measures, options.bin_s)
    events = EventTable(measures, options.threshold, options.hysteresis)
    for result, seconds in timed(analyzed.result for analyzed in details):
        files["frames"].write(_frame_rows(result, measures))
        people.write(result, seconds)
        files["intervals"].write(intervals.write(result, seconds))
        events.write(result, seconds)
    files["intervals"].write(intervals.finish())
    files["people"].write(people.rows())
    found = events.events()
    files["events"].write(event.row(source) for event in found)
    return found


def _frame_rows(result: FrameResult, measures: Measures) -> Iterator[dict[str, Any]]:
    """The rows of a frame as `mien predict` has them, with the changes from rest."""
    faces = list(result.faces)
    for index, row in enumerate(result.rows()):
        if faces:
            values = named("", measures.names, measures.of(faces[index]))
            row |= {name: value for name, value in values.items() if name.startswith("delta_")}
        yield row


def _details(clip: Path) -> Iterator[AnalyzedFrame]:
    """The frames of a clip by its log, with the numbers that people had in the run."""
    tracker = None
    if (clip / _KNOWN).exists():
        people = People()
        people.restore(json.loads((clip / _KNOWN).read_text(encoding="utf-8")))
        tracker = Tracker(people=people)
    return replay_details(clip / _LOG, tracker=tracker)


def _results(clip: Path) -> Iterator[FrameResult]:
    return (analyzed.result for analyzed in _details(clip))


def _with_timeline(details: Iterable[AnalyzedFrame], timeline: Timeline) -> Iterator[AnalyzedFrame]:
    for analyzed in details:
        timeline.write(analyzed)
        yield analyzed


def _columns(head: Head, measures: Measures) -> dict[str, list[Column]]:
    change = any(name.startswith("delta_") for name in measures.names)
    return {
        "frames": frame_columns(head, measures),
        "people": people_columns(measures),
        "intervals": interval_columns(measures),
        "events": event_columns(change=change),
    }


def _sidecar(header: dict[str, Any], options: StudyOptions) -> dict[str, Any]:
    known = {"mien": header["mien"], "model": header["model"], "options": header["options"]}
    return known | {"study_options": asdict(options), "missing": MISSING}


def _frame_facts(log: Log) -> dict[str, Any]:
    """How many frames were analyzed, from when to when, and how many per second on average."""
    count, first_s, last_s = 0, 0.0, 0.0
    for record in log.records():
        first_s = first_s if count else record.position.time_s
        last_s, count = record.position.time_s, count + 1
    rate = round((count - 1) / (last_s - first_s), 6) if last_s > first_s else None
    spans = {"first_frame_s": round(first_s, 6), "last_frame_s": round(last_s, 6)}
    return {"analyzed_frames": count} | spans | {"analyzed_fps": rate}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    try:
        write_atomically(path, json_text(content, indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}.") from error
