"""The events and frames of a clip for other programs: ELAN, BORIS, The Observer, BIDS, and R or SPSS."""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mien.files import write_atomically
from mien.names import csv_cell, json_text
from mien.video.results import FrameResult
from mien.video.study.dictionary import Column, event_columns
from mien.video.study.measures import Measures, named, timed
from mien.video.study.tables import Event

_ELAN = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_LINES = 10_000  # of a compressed file kept in memory
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class ExportedClip:
    """What an export is made of.

    Attributes:
        name: of the clip's folder in the study; no two clips have the same.
        study: the study's folder.
        sidecar: of the clip.
        measures: the values of a face.
        events: by their onset.
        results: returns the clip's frames from the beginning.
        names: a person's number to their name, where they have one.
    """

    name: str
    study: Path
    sidecar: dict[str, Any]
    measures: Measures
    events: list[Event]
    results: Callable[[], Iterable[FrameResult]]
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The clip's folder."""
        return self.study / self.name

    @property
    def source(self) -> str:
        """The clip as it was given."""
        return str(self.sidecar["source"]["path"])

    def subject(self, person: int) -> str:
        """What other programs call a person."""
        return self.names.get(person, f"person {person}")

    def event_row(self, event: Event) -> dict[str, Any]:
        """An event as a row of the table of events."""
        return event.row(self.source) | {"name": self.names.get(event.person)}


def export_elan(clip: ExportedClip) -> None:
    """Writes ``NAME.eaf``: one tier per person and emotion, one annotation per event."""
    document = ElementTree.Element("ANNOTATION_DOCUMENT", AUTHOR="mien", FORMAT="3.0", VERSION="3.0")
    document.set("DATE", _changed(clip).isoformat())
    document.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    document.set("xsi:noNamespaceSchemaLocation", _ELAN)
    header = ElementTree.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    path = Path(clip.source).absolute()
    media = {"MEDIA_URL": path.as_uri(), "MIME_TYPE": f"video/{path.suffix[1:].lower() or 'mp4'}"}
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    order = ElementTree.SubElement(document, "TIME_ORDER")
    tiers: dict[tuple[int, str], ElementTree.Element] = {}
    slots = 0
    for number, event in enumerate(clip.events, start=1):
        onset_ms = round(event.onset_s * 1000)
        for time_ms in (onset_ms, max(round(event.offset_s * 1000), onset_ms + 1)):
            slots += 1
            slot = {"TIME_SLOT_ID": f"ts{slots}", "TIME_VALUE": str(time_ms)}
            ElementTree.SubElement(order, "TIME_SLOT", slot)
        tier = tiers.setdefault((event.person, event.emotion), _tier(clip.subject(event.person), event))
        holder = ElementTree.SubElement(tier, "ANNOTATION")
        references = {"TIME_SLOT_REF1": f"ts{slots - 1}", "TIME_SLOT_REF2": f"ts{slots}"}
        annotation = ElementTree.SubElement(
            holder, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}"} | references
        )
        ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = event.emotion
    document.extend(tiers[key] for key in sorted(tiers))
    kind = {"LINGUISTIC_TYPE_ID": "expression", "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    ElementTree.SubElement(document, "LINGUISTIC_TYPE", kind)
    ElementTree.indent(document)
    content = ElementTree.tostring(document, encoding="utf-8", xml_declaration=True)
    write_atomically(clip.folder / f"{clip.name}.eaf", content)


def _tier(person: str, event: Event) -> ElementTree.Element:
    names = {"TIER_ID": f"{person}: {event.emotion}", "PARTICIPANT": person}
    return ElementTree.Element("TIER", names | {"LINGUISTIC_TYPE_REF": "expression"})


def _changed(clip: ExportedClip) -> datetime:
    """When the clip was last changed: the same study has the same bytes whenever it is written."""
    return datetime.fromtimestamp(clip.sidecar["source"].get("modified_ns", 0) // 10**9, UTC)


def export_boris(clip: ExportedClip) -> None:
    """Writes ``boris.tsv``, with the columns of BORIS's aggregated events: one row per event, a state."""
    facts = clip.sidecar
    rows = [
        {
            "Observation id": clip.name,
            "Media file name": clip.source,
            "Media duration (s)": facts["duration_s"],
            "FPS (frame/s)": facts["fps"],
            "Subject": clip.subject(event.person),
            "Behavior": event.emotion,
            "Behavioral category": "apparent expression",
            "Behavior type": "STATE",
            "Start (s)": round(event.onset_s, 3),
            "Stop (s)": round(event.offset_s, 3),
            "Duration (s)": round(event.offset_s - event.onset_s, 3),
            "Image index start": event.onset_frame,
            "Image index stop": event.offset_frame,
        }
        for event in clip.events
    ]
    names = [
        "Observation id",
        "Media file name",
        "Media duration (s)",
        "FPS (frame/s)",
        "Subject",
        "Behavior",
    ]
    names += ["Behavioral category", "Behavior type", "Start (s)", "Stop (s)", "Duration (s)"]
    _write_rows(
        clip.folder / "boris.tsv", [*names, "Image index start", "Image index stop"], rows, delimiter="\t"
    )


def export_observer(clip: ExportedClip) -> None:
    """Writes ``observer.csv``, an event log for The Observer XT: one row per start and per stop."""
    log = []
    for event in clip.events:
        subject = clip.subject(event.person)
        common = {"Observation": clip.name, "Subject": subject, "Behavior": event.emotion}
        for time_s, duration_s, kind in (
            (event.onset_s, event.offset_s - event.onset_s, "State start"),
            (event.offset_s, 0.0, "State stop"),
        ):
            times = {"Time_Relative_sf": round(time_s, 3), "Duration_sf": round(duration_s, 3)}
            log.append(times | common | {"Event_Type": kind})
    # A state that stops comes before one that starts at the same time.
    log.sort(key=lambda row: (row["Time_Relative_sf"], row["Event_Type"] != "State stop"))
    names = ["Time_Relative_sf", "Duration_sf", "Observation", "Subject", "Behavior", "Event_Type"]
    _write_rows(clip.folder / "observer.csv", names, log, delimiter=";")


def export_long(clip: ExportedClip) -> None:
    """Writes ``long.csv``, for R and SPSS: one row per frame, face and measure."""
    names = ["source", "face_id", "frame", "time_s", "measure", "value"]

    def rows() -> Iterator[dict[str, Any]]:
        for result in clip.results():
            place = {"source": clip.source, "frame": result.frame, "time_s": round(result.time_s, 6)}
            for face in result.faces:
                values = named("", clip.measures.names, clip.measures.of(face))
                for name, value in values.items():
                    yield place | {"face_id": face.id, "measure": name, "value": value}

    _write_rows(clip.folder / "long.csv", names, rows(), delimiter=",")


def export_bids(clip: ExportedClip) -> None:
    """Writes ``bids/sub-NAME/beh``: events, and frames like physiological recordings, one per person."""
    root = clip.study / "bids"
    label = _bids_label(clip)
    folder = root / f"sub-{label}" / "beh"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{label}_task-clip"
    description = {
        "Name": "Apparent facial expressions",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "mien", "Version": clip.sidecar["mien"]}],
    }
    _write_json(root / "dataset_description.json", description)
    columns = [column for column in event_columns(change=_changes(clip)) if column.name not in _BIDS_LEFT_OUT]
    rows = [
        {_BIDS_NAMES.get(name, name): value for name, value in clip.event_row(event).items()}
        for event in clip.events
    ]
    names = [_BIDS_NAMES.get(column.name, column.name) for column in columns]
    # Required in this order.
    names = ["onset", "duration", *(name for name in names if name not in ("onset", "duration"))]
    _write_rows(folder / f"{stem}_events.tsv", names, rows, delimiter="\t", missing="n/a")
    entries = {_BIDS_NAMES.get(column.name, column.name): _bids_entry(column) for column in columns}
    _write_json(folder / f"{stem}_events.json", entries | {"Sources": [clip.source]})
    _write_physio(clip, folder, stem)


_BIDS_NAMES = {"onset_s": "onset", "duration_s": "duration", "emotion": "trial_type"}
_BIDS_LEFT_OUT = ("source", "offset_s", "onset_frame", "offset_frame")


def _bids_label(clip: ExportedClip) -> str:
    """The clip's name as BIDS allows it, letters and digits alone; different for different clips."""
    label = re.sub(r"[^A-Za-z0-9]", "", clip.name) or "clip"
    if label == clip.name:
        return label
    return label + hashlib.sha256(clip.name.encode("utf-8", "surrogateescape")).hexdigest()[:6]


def _bids_entry(column: Column) -> dict[str, Any]:
    entry = {"Description": f"{column.description[0].upper()}{column.description[1:]}."}
    return entry | ({"Units": column.unit} if column.unit else {})


def _changes(clip: ExportedClip) -> bool:
    return any(name.startswith("delta_") for name in clip.measures.names)


@dataclass
class _Recording:
    """One person's values on a grid of time, written as a gzip file in members."""

    path: Path
    first: int
    next: int
    lines: list[str] = field(default_factory=list)

    def flush(self) -> None:
        """Append the lines that wait to the file."""
        with self.path.open("ab") as file:
            file.write(gzip.compress("".join(self.lines).encode(), mtime=0))
        self.lines = []


def _write_physio(clip: ExportedClip, folder: Path, stem: str) -> None:
    """One ``_physio.tsv.gz`` per person: the value of the frame that is shown at each tick of a steady clock.

    BIDS wants a steady rate; that of the analyzed frames is their average. A tick without the face is n/a.
    """
    start_s, rate = clip.sidecar["first_frame_s"], clip.sidecar["analyzed_fps"]
    recordings: dict[int, _Recording] = {}
    for old in folder.glob(f"{stem}_recording-*_physio.*"):
        old.unlink()
    if not rate:
        return
    nothing = "\t".join(["n/a"] * len(clip.measures.names)) + "\n"
    for result, seconds in timed(clip.results()):
        first = _ceiling((result.time_s - start_s - _ROUNDING_S) * rate)
        last = _ceiling((result.time_s + seconds - start_s - _ROUNDING_S) * rate)
        for face in result.faces:
            path = folder / f"{stem}_recording-face{face.id}_physio.tsv.gz"
            recording = recordings.setdefault(face.id, _Recording(path, first, first))
            values = named("", clip.measures.names, clip.measures.of(face)).values()
            line = "\t".join("n/a" if value is None else f"{value:.6f}" for value in values) + "\n"
            recording.lines += [nothing] * (first - recording.next) + [line] * (last - first)
            recording.next = last
            if len(recording.lines) > _LINES:
                recording.flush()
    for person, recording in recordings.items():
        recording.flush()
        entry = {"SamplingFrequency": rate, "StartTime": round(start_s + recording.first / rate, 6)}
        entry |= {"Columns": clip.measures.names, "Sources": [clip.source]}
        _write_json(folder / f"{stem}_recording-face{person}_physio.json", entry)


def _ceiling(value: float) -> int:
    return -int(-value // 1)


def _write_rows(
    path: Path, names: Sequence[str], rows: Iterable[dict[str, Any]], *, delimiter: str, missing: str = ""
) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, names, restval=missing, delimiter=delimiter, lineterminator="\n", extrasaction="ignore"
        )
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {name: missing if value is None else csv_cell(value) for name, value in row.items()}
            )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json_text(content, indent=2) + "\n")


EXPORTS: dict[str, Callable[[ExportedClip], None]] = {
    "elan": export_elan,
    "boris": export_boris,
    "observer": export_observer,
    "bids": export_bids,
    "long": export_long,
}
