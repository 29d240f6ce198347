"""The exports of a study, each read back by a reader that others wrote."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pympi
import pytest
from bids_validator import BIDSValidator

from mien.emotions import ABSTAIN, FERPLUS, VOTES
from mien.inference.face import Face
from mien.models.card import Head
from mien.video.results import FrameResult, TrackedFace
from mien.video.study.exports import EXPORTS, ExportedClip
from mien.video.study.measures import Measures, timed
from mien.video.study.tables import Event, EventTable

HEAD = Head("votes", VOTES, ABSTAIN)


def face(person: int, happy: float) -> TrackedFace:
    emotions = dict.fromkeys(FERPLUS, (1 - happy) / 7) | {"happy": happy}
    one = Face((1, 2, 30, 40), 0.9, emotions, {"unknown": 0.0, "not a face": 0.0})
    return TrackedFace(person, one, one)


def scene() -> list[FrameResult]:
    """Five seconds at 20 frames per second, one frame lost; the second person comes, goes and comes back."""
    results = []
    for i in (i for i in range(100) if i != 30):
        faces = [face(1, 0.5 + 0.45 * np.sin(i / 8))]
        if 10 <= i < 40 or i >= 70:
            faces.append(face(2, 0.8 if i % 20 < 8 else 0.1))
        results.append(FrameResult("my clip.mov", i, 1.0 + i / 20, tuple(faces)))
    return results


@pytest.fixture
def clip(tmp_path: Path) -> ExportedClip:
    results, measures = scene(), Measures(HEAD)
    table = EventTable(measures, 0.5, 0.1)
    for result, seconds in timed(results):
        table.write(result, seconds)
    sidecar = {
        "mien": "0.1.0",
        "source": {"path": "my clip.mov", "modified_ns": 1_700_000_000_000_000_000},
        "fps": 20.0,
        "duration_s": 6.0,
        "first_frame_s": 1.0,
        "analyzed_fps": 20.0,
    }
    (tmp_path / "my clip").mkdir()
    return ExportedClip("my clip", tmp_path, sidecar, measures, table.events(), lambda: iter(results))


def strong(clip: ExportedClip) -> list[Event]:
    assert len(clip.events) >= 4
    assert {event.person for event in clip.events} == {1, 2}
    return clip.events


def test_elan_reads_the_events_in_a_tier_per_person_and_emotion(clip: ExportedClip) -> None:
    EXPORTS["elan"](clip)
    read = pympi.Elan.Eaf(str(clip.folder / "my clip.eaf"))
    expected: dict[str, list[tuple[int, int, str]]] = {}
    for event in strong(clip):
        times_ms = round(event.onset_s * 1000), round(event.offset_s * 1000)
        expected.setdefault(f"person {event.person}: {event.emotion}", []).append((*times_ms, event.emotion))
    assert set(read.get_tier_names()) == set(expected)
    for tier, of_tier in expected.items():
        assert sorted(read.get_annotation_data_for_tier(tier)) == of_tier
        assert read.get_parameters_for_tier(tier)["PARTICIPANT"] == tier.split(":")[0]
    assert read.get_linked_files()[0]["MEDIA_URL"].endswith("my%20clip.mov")
    assert read.adocument["DATE"] == "2023-11-14T22:13:20+00:00"


def test_the_file_of_elan_has_the_structure_of_its_format(clip: ExportedClip) -> None:
    """Order of elements, required attributes, unique ids and references, by the description of EAF 3.0."""
    EXPORTS["elan"](clip)
    root = ElementTree.parse(clip.folder / "my clip.eaf").getroot()
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]
    tags = [child.tag for child in root]
    assert list(dict.fromkeys(tags)) == order
    assert tags == sorted(tags, key=order.index)
    assert {"AUTHOR", "DATE", "FORMAT", "VERSION"} <= set(root.attrib)
    slots = [slot.attrib for slot in root.iter("TIME_SLOT")]
    annotations = [each.attrib for each in root.iter("ALIGNABLE_ANNOTATION")]
    ids = [slot["TIME_SLOT_ID"] for slot in slots] + [each["ANNOTATION_ID"] for each in annotations]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", each) for each in ids)
    time_ms = {slot["TIME_SLOT_ID"]: int(slot["TIME_VALUE"]) for slot in slots}
    assert all(time_ms[it["TIME_SLOT_REF1"]] < time_ms[it["TIME_SLOT_REF2"]] for it in annotations)
    kinds = {kind.attrib["LINGUISTIC_TYPE_ID"] for kind in root.iter("LINGUISTIC_TYPE")}
    tiers = [tier.attrib for tier in root.iter("TIER")]
    assert {tier["LINGUISTIC_TYPE_REF"] for tier in tiers} <= kinds
    assert len({tier["TIER_ID"] for tier in tiers}) == len(tiers)
    for tier in root.iter("TIER"):
        # Annotations of a tier that can be aligned with time must not overlap.
        of_tier = sorted(
            (time_ms[it.attrib["TIME_SLOT_REF1"]], time_ms[it.attrib["TIME_SLOT_REF2"]])
            for it in tier.iter("ALIGNABLE_ANNOTATION")
        )
        assert all(a[1] <= b[0] for a, b in pairwise(of_tier))


def test_elan_reads_a_clip_without_events(clip: ExportedClip) -> None:
    clip.events.clear()
    EXPORTS["elan"](clip)
    assert list(pympi.Elan.Eaf(str(clip.folder / "my clip.eaf")).get_tier_names()) == []


def test_the_event_list_of_boris_has_a_state_per_event(clip: ExportedClip) -> None:
    EXPORTS["boris"](clip)
    read = pd.read_csv(clip.folder / "boris.tsv", sep="\t")
    events = strong(clip)
    assert read["Subject"].tolist() == [f"person {event.person}" for event in events]
    assert read["Behavior"].tolist() == [event.emotion for event in events]
    assert read["Start (s)"].to_numpy() == pytest.approx([event.onset_s for event in events], abs=5e-4)
    assert read["Stop (s)"].to_numpy() == pytest.approx([event.offset_s for event in events], abs=5e-4)
    assert read["Duration (s)"].to_numpy() == pytest.approx(read["Stop (s)"] - read["Start (s)"], abs=1e-3)
    assert set(read["Behavior type"]) == {"STATE"}


def test_the_event_log_of_the_observer_starts_and_stops_each_state(clip: ExportedClip) -> None:
    EXPORTS["observer"](clip)
    read = pd.read_csv(clip.folder / "observer.csv", sep=";")
    assert read["Time_Relative_sf"].is_monotonic_increasing
    assert read["Event_Type"].value_counts().to_dict() == dict.fromkeys(
        ("State start", "State stop"), len(strong(clip))
    )
    for _, states in read.groupby(["Subject", "Behavior"]):
        assert states["Event_Type"].tolist() == ["State start", "State stop"] * (len(states) // 2)
        stops = states["Time_Relative_sf"].to_numpy()
        assert stops[1::2] - stops[::2] == pytest.approx(states["Duration_sf"].to_numpy()[::2], abs=1.1e-3)


def test_the_long_table_has_a_row_per_frame_face_and_measure(clip: ExportedClip) -> None:
    EXPORTS["long"](clip)
    read = pd.read_csv(clip.folder / "long.csv")
    wide = read.pivot(index=["frame", "face_id"], columns="measure", values="value")
    faces = {(result.frame, it.id): it for result in scene() for it in result.faces}
    assert set(wide.index) == set(faces)
    assert set(wide.columns) == {*FERPLUS, "valence"}
    happy = [faces[key].face.emotions["happy"] for key in wide.index]
    assert wide["happy"].to_numpy() == pytest.approx(happy, abs=1e-6)


def test_bids_names_are_valid_and_its_tables_hold_events_and_frames(clip: ExportedClip) -> None:
    EXPORTS["bids"](clip)
    root = clip.study / "bids"
    files = sorted(path for path in root.rglob("*") if path.is_file())
    assert len(files) == 1 + 2 + 2 * 2  # description, events, and the frames of two people
    for path in files:
        assert BIDSValidator().is_bids(f"/{path.relative_to(root).as_posix()}"), path
    description = json.loads((root / "dataset_description.json").read_text())
    assert (description["DatasetType"], description["GeneratedBy"][0]["Name"]) == ("derivative", "mien")

    (table,) = root.rglob("*_events.tsv")
    read = pd.read_csv(table, sep="\t", na_values="n/a")
    assert list(read.columns[:2]) == ["onset", "duration"]
    assert read["trial_type"].tolist() == [event.emotion for event in strong(clip)]
    assert read["onset"].to_numpy() == pytest.approx([event.onset_s for event in clip.events])
    entries = json.loads(table.with_suffix(".json").read_text())
    assert set(read.columns) <= set(entries)


def test_physio_frames_of_bids_have_a_steady_rate_and_no_values_without_the_face(clip: ExportedClip) -> None:
    EXPORTS["bids"](clip)
    first = {path.name: path.read_bytes() for path in clip.study.rglob("*_physio.tsv.gz")}
    EXPORTS["bids"](clip)  # again: the same bytes, nothing appended
    assert {path.name: path.read_bytes() for path in clip.study.rglob("*_physio.tsv.gz")} == first
    for person, start, ticks in ((1, 0, range(100)), (2, 10, range(10, 100))):
        (path,) = clip.study.rglob(f"*_recording-face{person}_physio.tsv.gz")
        facts = json.loads(path.with_suffix("").with_suffix(".json").read_text())
        assert facts["SamplingFrequency"] == 20.0
        assert facts["StartTime"] == pytest.approx(1.0 + start / 20)
        with gzip.open(path, "rt") as file:
            read = pd.read_csv(file, sep="\t", header=None, names=facts["Columns"], na_values="n/a")
        assert len(read) == len(ticks)
        shown = {i: i - (i == 30) for i in range(100)}  # the lost frame: the one before stays
        faces = {(result.frame, it.id): it for result in scene() for it in result.faces}
        for row, tick in zip(read.to_dict("records"), ticks, strict=True):
            seen = faces.get((shown[tick], person))
            if seen is None:
                assert np.isnan(list(row.values())).all()
            else:
                assert row["happy"] == pytest.approx(seen.face.emotions["happy"], abs=1e-6)


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_r_reads_the_long_table(clip: ExportedClip) -> None:
    EXPORTS["long"](clip)
    code = (
        f"d <- read.csv({str(clip.folder / 'long.csv')!r}); "
        "m <- aggregate(value ~ face_id + measure, data = d, FUN = mean); "
        "cat(sprintf('%.6f', m$value[m$measure == 'happy']))"
    )
    done = subprocess.run(["Rscript", "--vanilla", "-e", code], capture_output=True, text=True, check=True)
    means = [
        np.mean([it.face.emotions["happy"] for result in scene() for it in result.faces if it.id == person])
        for person in (1, 2)
    ]
    assert [float(text) for text in done.stdout.split()] == pytest.approx(means, abs=2e-6)
