"""A study that is open: its clips, its corrections, and what of them is in the tables."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import UsageError
from mien.serve.viewer.faces import ClipFaces, events_of, load_faces, people_of, uncertain_stretches
from mien.serve.viewer.frames import FrameReader
from mien.video.options.study import StudyOptions
from mien.video.study.correct import clip_corrections
from mien.video.study.corrections import (
    FILE,
    Correction,
    Corrections,
    Undo,
    corrections_in,
    keep_corrections,
    to_dict,
)
from mien.video.study.rewrite import (
    apply_corrections,
    check_corrections,
    read_study,
    rewrite,
    study_options,
)

_FRAMES_PER_NOTE = 200


@dataclass
class _Clip:
    """A clip of the study.

    Attributes:
        name: of its folder.
        facts: its part of ``study.json``.
        path: where the clip's file is; None where it is not found.
        loaded: how many of its frames have been read from the log so far.
        faces: without corrections, once they are read.
        corrected: with these corrections, by their entries' numbers.
    """

    name: str
    facts: Mapping[str, Any]
    path: Path | None
    loaded: int = 0
    faces: ClipFaces | None = None
    corrected: tuple[tuple[Correction, ...], ClipFaces] | None = None
    frames: FrameReader | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Session:
    """A study that is open in the viewer; every method may be called from several threads.

    Args:
        folder: of the study.
        clips: where clips are looked for by their file names; beside, they are looked for where they were
            analyzed.

    Raises:
        UsageError: the folder contains no study of clips, or `clips` is no folder.
        CorrectionError: its corrections cannot be read.
    """

    def __init__(self, folder: Path, clips: Path | None = None) -> None:
        if clips is not None and not clips.is_dir():
            raise UsageError(f"--clips {clips} is not a folder. Name the folder that contains the clips.")
        self.folder = folder
        self._lock = threading.Lock()
        study = read_study(folder)
        self._options: StudyOptions = study_options(study)
        self._clips = {
            clip["folder"]: _Clip(clip["folder"], clip, _find(clip["source"]["path"], clips))
            for clip in study["clips"]
        }
        corrections_in(folder)

    def overview(self) -> dict[str, Any]:
        """The study: its clips and corrections."""
        return {
            "folder": str(self.folder),
            "clips": [self._describe(clip) for clip in self._clips.values()],
            **self.corrections(),
        }

    def corrections(self) -> dict[str, Any]:
        """All entries, each with whether it is in effect; what undo and redo would undo; what tables lack."""
        known = corrections_in(self.folder)
        numbers = {entry.number for entry in known.in_effect}
        entries = [to_dict(entry) | {"in_effect": entry.number in numbers} for entry in known.entries]
        undo = {name: _to_undo(known, name) for name in self._clips}
        redo = {name: _to_redo(known, name) for name in self._clips}
        return {"entries": entries, "undo": undo, "redo": redo, "behind": self._behind(known)}

    def clip(self, name: str) -> dict[str, Any]:
        """What the page shows of a clip: people, events, uncertain stretches, times."""
        clip = self._clips[name]
        faces, names = self._corrected(clip)
        times = faces.times_s
        return {
            "name": name,
            "labels": faces.labels,
            "people": people_of(faces, names),
            "events": events_of(faces, self._options),
            "uncertain": uncertain_stretches(faces),
            "from_s": float(times[0]) if len(times) else 0.0,
            "to_s": float(times[-1] + faces.seconds[-1]) if len(times) else 0.0,
        }

    def faces(self, name: str) -> ClipFaces:
        """The corrected faces of a clip."""
        return self._corrected(self._clips[name])[0]

    def loaded(self, name: str) -> dict[str, Any]:
        """How many frames have been read from the log of a clip, and how many there are."""
        clip = self._clips[name]
        whole = clip.facts.get("analyzed_frames")
        return {"frames": clip.loaded, "of": whole, "ready": clip.faces is not None}

    def path(self, name: str) -> Path | None:
        """The clip's file, or None."""
        return self._clips[name].path

    def jpeg(self, name: str, time_s: float) -> bytes:
        """The frame that is shown at a time.

        Raises:
            UsageError: the clip is not there, or has no frame then.
            ImageError: it cannot be decoded.
        """
        clip = self._clips[name]
        if clip.path is None:
            raise UsageError(f"the clip is not at {clip.facts['source']['path']}.")
        with clip.lock:
            clip.frames = clip.frames or FrameReader(clip.path)
            return clip.frames.jpeg(time_s)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Check an entry against the clip, and write it into the study's corrections.

        Raises:
            CorrectionError: it cannot be used; nothing is written then.
        """
        with self._lock:
            known = corrections_in(self.folder).added([entry])
            last = known.entries[-1]
            of = known.entries[last.entry - 1] if isinstance(last, Undo) else last
            if of.clip is None or of.clip not in self._clips:
                check_corrections(self.folder, read_study(self.folder), known)
            else:
                clip = self._clips[of.clip]
                applied = clip_corrections(known, clip.name)
                faces = self._load(clip).with_corrections(applied, check=clip.facts.get("complete", True))
                clip.corrected = (applied.entries, faces)
            keep_corrections(self.folder, known)

    def save(self) -> None:
        """Write all tables of the study again, with its corrections.

        Raises:
            CorrectionError: they do not fit.
            UsageError: a file cannot be written.
        """
        with self._lock:
            path = self.folder / FILE
            if path.exists():
                apply_corrections(self.folder, path)
            else:
                rewrite(self.folder)

    def close(self) -> None:
        """Close the clips' files."""
        for clip in self._clips.values():
            if clip.frames:
                clip.frames.close()

    def __contains__(self, name: str) -> bool:
        return name in self._clips

    def _describe(self, clip: _Clip) -> dict[str, Any]:
        source, error = clip.facts["source"], clip.facts.get("error")
        changed = clip.path is not None and source.get("bytes") not in (None, clip.path.stat().st_size)
        return {
            "name": clip.name,
            "source": source["path"],
            "size": clip.facts.get("size"),
            "fps": clip.facts.get("analyzed_fps"),
            "duration_s": clip.facts.get("duration_s"),
            "present": clip.path is not None,
            "changed": changed,
            "error": error,
        }

    def _behind(self, known: Corrections) -> list[str]:
        """The clips whose tables were written with other corrections."""
        behind = []
        for clip in read_study(self.folder)["clips"]:
            facts = known.facts(known.of_clip(clip["folder"])).get("corrections")
            if clip.get("corrections") != facts:
                behind.append(clip["folder"])
        return behind

    def _load(self, clip: _Clip) -> ClipFaces:
        def note(frames: int) -> None:
            if frames % _FRAMES_PER_NOTE == 0:
                clip.loaded = frames

        with clip.lock:
            if clip.faces is None:
                clip.faces = load_faces(self.folder / clip.name, note)
            return clip.faces

    def _corrected(self, clip: _Clip) -> tuple[ClipFaces, dict[int, str]]:
        """The faces with the corrections in effect, and the names of people."""
        applied = clip_corrections(corrections_in(self.folder), clip.name)
        faces, kept = self._load(clip), clip.corrected
        if not applied.entries:
            return faces, {}
        if kept is None or kept[0] != applied.entries:
            check = clip.facts.get("complete", True)
            kept = clip.corrected = (applied.entries, faces.with_corrections(applied, check=check))
        return kept[1], applied.names


def _find(source: str, clips: Path | None) -> Path | None:
    """A clip's file: in the folder of clips, else where it was analyzed."""
    for path in ([clips / Path(source).name] if clips else []) + [Path(source)]:
        if path.is_file():
            return path.absolute()
    return None


def _to_undo(known: Corrections, clip: str) -> int | None:
    """The last entry in effect for a clip."""
    numbers = [entry.number for entry in known.in_effect if entry.clip == clip]
    return max(numbers, default=None)


def _to_redo(known: Corrections, clip: str) -> int | None:
    """The last undo in effect for a clip, if no entry but undos was added since."""
    undone = {entry.entry for entry in known.entries if isinstance(entry, Undo)}
    for entry in reversed([entry for entry in known.entries if entry.clip == clip]):
        if not isinstance(entry, Undo):
            return None
        if entry.number not in undone and not isinstance(known.entries[entry.entry - 1], Undo):
            return entry.number
    return None
