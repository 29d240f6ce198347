"""The folder of a study: for each clip and for all together, tables, sidecars, timelines and exports.

study/
  study.json                   sidecar of all clips together
  corrections.json             what a person corrected, if anything; all tables are with it
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtra, UsageError, reason
from mien.files import sha256_file, write_atomically
from mien.models.card import Head
from mien.names import json_text
from mien.video.log import Log, head_of, replay_details
from mien.video.options.study import StudyOptions
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

if TYPE_CHECKING:  # they need pydantic, which photos do without
    from mien.video.study.correct import ClipCorrections
    from mien.video.study.corrections import Corrections

SIDECAR = "study.json"
CLIP_SIDECAR, _LOG, _KNOWN = "clip.json", "log.jsonl", "known_people.json"
_ROUNDING_S = 1e-6
_TIME = "seconds since the beginning of the clip, as a player shows it; from the frames' own time stamps"


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


def read_study_corrections(folder: Path) -> Corrections:
    """The corrections in a study's folder, empty where there are none.

    Raises:
        CorrectionError: ``corrections.json`` cannot be read, or an entry cannot be used.
        MissingExtra: pydantic is not installed.
    """
    try:
        from mien.video.study.corrections import corrections_in
    except ImportError:
        raise MissingExtra("the tables of a study", "video") from None
    return corrections_in(folder)


def write_clip(
    folder: Path,
    name: str,
    facts: dict[str, Any],
    options: StudyOptions,
    corrections: Corrections | None = None,
) -> list[Path]:
    """Everything about a clip, computed from its log: sidecar, tables, timeline and exports.

    `corrections` are those of the whole study.

    Raises:
        CorrectionError: they do not fit the clip; the files of before are all there still.
        UsageError: the log cannot be read, or a file cannot be written.
        MissingExtra: pyarrow or matplotlib is not installed.
    """
    clip = folder / name
    log = clip / _LOG
    header = Log(log).header
    head = head_of(header)
    corrected = CorrectedClip(clip, corrections, check=facts.get("complete", True))
    brief = corrected.leave_out(options.min_duration_s)
    moved = bool(header["options"].get("movements"))
    span_s = options.baseline_s
    rest = None if span_s is None else rest_of(corrected.results(), head, span_s, movements=moved)
    measures = Measures(head, rest, movements=moved)
    columns = _columns(head, measures)
    sidecar = _sidecar(header, options) | facts | _frame_facts(Log(log)) | corrected.facts
    if options.min_duration_s:
        sidecar["left_out"] = {str(person): round(seconds, 6) for person, seconds in brief.items()}
    if rest is not None:
        names = measures.names[: len(measures.names) // 2]
        sidecar["rest"] = {str(person): named("", names, values) for person, values in sorted(rest.items())}
    sidecar["tables"] = {table: describe(columns[table]) for table in TABLES}
    timeline = Timeline(measures.labels)
    with ExitStack() as stack:
        files = {it: stack.enter_context(open_tables(clip, it, columns[it], sidecar)) for it in TABLES}
        details = _with_timeline(corrected.details(), timeline)
        events = _write_tables(details, header["source"], measures, options, files, corrected.names)
    written = [clip / "people.csv"]
    if timeline.draw(clip / "timeline.png", Path(header["source"]).name, corrected.names):
        written.append(clip / "timeline.png")
    else:
        (clip / "timeline.png").unlink(missing_ok=True)
    exported = ExportedClip(name, folder, sidecar, measures, events, corrected.results, corrected.names)
    for export in options.exports:
        EXPORTS[export](exported)
    _write_json(clip / CLIP_SIDECAR, sidecar)
    return written


def write_together(
    folder: Path,
    names: list[str],
    options: StudyOptions,
    errors: Sequence[dict[str, str]] = (),
    corrections: Corrections | None = None,
) -> None:
    """The tables of all clips of a study as one each, and ``study.json`` with what could not be read."""
    there = [name for name in names if (folder / name / CLIP_SIDECAR).exists()]
    sidecars = [json.loads((folder / name / CLIP_SIDECAR).read_text(encoding="utf-8")) for name in there]
    clips = [
        {"folder": name} | {key: value for key, value in it.items() if key != "tables"}
        for name, it in zip(there, sidecars, strict=True)
    ]
    sidecar: dict[str, Any] = {"clips": clips, "errors": list(errors)}
    if corrections:
        in_tables = {number for clip in clips for number in clip.get("corrections", {}).get("entries", ())}
        sidecar |= corrections.facts([it for it in corrections.in_effect if it.number in in_tables])
    sidecar |= {"study_options": asdict(options), "missing": MISSING}
    if there:
        header = Log(folder / there[0] / _LOG).header
        head = head_of(header)
        moved = bool(header["options"].get("movements"))
        measures = Measures(head, None if options.baseline_s is None else {}, movements=moved)
        columns = _columns(head, measures)
        sidecar["tables"] = {table: describe(columns[table]) for table in TABLES}
        for table in TABLES:
            parts = [folder / name / f"{table}.parquet" for name in there]
            join_tables(parts, folder, table, columns[table], sidecar)
    _write_json(folder / SIDECAR, sidecar)


def _write_tables(
    details: Iterable[AnalyzedFrame],
    source: str,
    measures: Measures,
    options: StudyOptions,
    files: dict[str, TableFiles],
    names: Mapping[int, str],
) -> list[Any]:
    """One pass over a clip's results; returns its events."""

    def write(table: str, rows: Iterable[dict[str, Any]]) -> None:
        files[table].write({**row, "name": names.get(row.get("face_id", 0))} for row in rows)

    people = PeopleTable(source, measures)
    intervals = IntervalTable(source, measures, options.bin_s)
    events = EventTable(measures, options.threshold, options.hysteresis)
    for result, seconds in timed(analyzed.result for analyzed in details):
        write("frames", _frame_rows(result, measures))
        people.write(result, seconds)
        write("intervals", intervals.write(result, seconds))
        events.write(result, seconds)
    write("intervals", intervals.finish())
    write("people", people.rows())
    found = events.events()
    write("events", (event.row(source) for event in found))
    return found


def _frame_rows(result: FrameResult, measures: Measures) -> Iterator[dict[str, Any]]:
    """The rows of a frame as `mien predict` has them, with the changes from rest and who set the emotion."""
    if not result.faces:
        yield from result.rows()
    for face, row in zip(result.faces, result.rows(), strict=False):
        changes = measures.changes
        yield {
            **row,
            **named("", measures.names[changes], measures.of(face)[changes]),
            "corrected": face.corrected,
        }


class CorrectedClip:
    """The results of a clip by its log, corrected.

    Attributes:
        names: a person's number to their name, where they have one.
        facts: about the corrections, for the sidecar.

    Args:
        clip: its folder.
        corrections: of the study; none for None.
        check: raise for entries that are about nobody in the clip.
    """

    def __init__(self, clip: Path, corrections: Corrections | None, *, check: bool) -> None:
        self._clip, self._check = clip, check
        self._corrections: ClipCorrections | None = None
        self._brief: dict[int, float] = {}
        self.names: dict[int, str] = {}
        self.facts: dict[str, Any] = {}
        if corrections and (entries := corrections.of_clip(clip.name)):
            from mien.video.study.correct import clip_corrections

            self._corrections = clip_corrections(corrections, clip.name)
            self.names, self.facts = self._corrections.names, corrections.facts(entries)

    def leave_out(self, min_duration_s: float) -> dict[int, float]:
        """Leave out who is seen for less, from now on; returns for how long they are seen."""
        if min_duration_s > 0:
            seen_s: dict[int, float] = {}
            for result, seconds in timed(self.results()):
                for face in result.faces:
                    seen_s[face.id] = seen_s.get(face.id, 0.0) + seconds
            # Sums of time stamps: a face that is seen for exactly so long stays.
            self._brief = {it: s for it, s in sorted(seen_s.items()) if s < min_duration_s - _ROUNDING_S}
        return self._brief

    def details(self) -> Iterator[AnalyzedFrame]:
        """The frames, with the numbers that people had in the run where nobody corrected them."""
        return map(self._without_brief, self._details()) if self._brief else self._details()

    def _without_brief(self, analyzed: AnalyzedFrame) -> AnalyzedFrame:
        faces = tuple(face for face in analyzed.result.faces if face.id not in self._brief)
        thumbnails = {it: jpeg for it, jpeg in analyzed.thumbnails.items() if it not in self._brief}
        return replace(analyzed, result=replace(analyzed.result, faces=faces), thumbnails=thumbnails)

    def _details(self) -> Iterator[AnalyzedFrame]:
        tracker, log = None, self._clip / _LOG
        if (self._clip / _KNOWN).exists():
            people = People()
            people.restore(json.loads((self._clip / _KNOWN).read_text(encoding="utf-8")))
            tracker = Tracker(people=people)
        if self._corrections is None:
            return replay_details(log, tracker=tracker)
        details = replay_details(log, tracker=tracker, part_of=self._corrections.part_of)
        return self._corrections.correct_details(details, check=self._check)

    def unused(self) -> set[int]:
        """The numbers of entries about all clips that are about nobody in this one; raises as `details`."""
        results = CorrectedClip(self._clip, None, check=False).results()
        return self._corrections.unused(results, check=self._check) if self._corrections else set()

    def results(self) -> Iterator[FrameResult]:
        """The results alone."""
        return (analyzed.result for analyzed in self.details())


def _with_timeline(details: Iterable[AnalyzedFrame], timeline: Timeline) -> Iterator[AnalyzedFrame]:
    for analyzed in details:
        timeline.write(analyzed)
        yield analyzed


def _columns(head: Head, measures: Measures) -> dict[str, list[Column]]:
    """The columns of each table."""
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
    for position in log.positions():
        first_s = first_s if count else position.time_s
        last_s, count = position.time_s, count + 1
    rate = round((count - 1) / (last_s - first_s), 6) if last_s > first_s else None
    spans = {"first_frame_s": round(first_s, 6), "last_frame_s": round(last_s, 6)}
    return {"analyzed_frames": count} | spans | {"analyzed_fps": rate}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    try:
        write_atomically(path, json_text(content, indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {reason(error)}. Choose another place.") from error
