"""The tables of a study computed again from its logs: with other options, or with corrections."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mien.errors import CorrectionError, MissingExtra, UsageError, reason
from mien.video.options.study import StudyOptions
from mien.video.results import FrameResult
from mien.video.study.dictionary import TABLES
from mien.video.study.study import (
    CLIP_SIDECAR,
    SIDECAR,
    CorrectedClip,
    read_study_corrections,
    write_clip,
    write_together,
)

if TYPE_CHECKING:  # they need pydantic, which photos do without
    from mien.video.study.corrections import Corrections

# What a clip's sidecar has that does not follow from its log.
_FACTS = ("source", "fps", "duration_s", "time_base", "time", "error", "complete", "size")


def rewrite(folder: str | Path, options: StudyOptions | None = None) -> None:
    """Compute all tables of a study again from its logs, without the clips, perhaps with other options.

    The corrections in the folder are applied.

    Raises:
        UsageError: the folder contains no study, or a log cannot be read.
        CorrectionError: a correction cannot be used.
    """
    root = Path(folder)
    _rewrite(root, read_study(root), options, read_study_corrections(root))


@overload
def apply_corrections(
    results: str | Path, corrections: str | Path | Iterable[Mapping[str, Any]], *, clip: str | None = None
) -> None: ...


@overload
def apply_corrections(
    results: Iterable[FrameResult],
    corrections: str | Path | Iterable[Mapping[str, Any]],
    *,
    clip: str | None = None,
) -> list[FrameResult]: ...


def apply_corrections(
    results: str | Path | Iterable[FrameResult],
    corrections: str | Path | Iterable[Mapping[str, Any]],
    *,
    clip: str | None = None,
) -> list[FrameResult] | None:
    """Correct the results of a clip, or all tables of a study, without reading a clip.

        >>> mien.apply_corrections("study/", "study/corrections.json")
        >>> results = mien.apply_corrections(results, [{"kind": "merge", "people": [2], "into": 1}])

    Of a folder, frames, people, intervals, events, timelines, exports and sidecars are computed again from
    the logs, and nothing is smoothed from one person to another, nor over an excluded stretch; the entries
    are kept in the folder's ``corrections.json``. Clips whose tables have the same corrections already stay
    as they are. Results keep the smoothed values that they have.

    Args:
        results: the folder of a study, or what `mien.analyze_video` yields.
        corrections: the file, or its entries, see `mien.video.study.corrections`.
        clip: which clip the results are of, by its folder in the study; needed if the entries name several.

    Raises:
        CorrectionError: an entry cannot be used, or does not fit the results; nothing is changed then.
        UsageError: the folder contains no study.
        MissingExtra: pydantic is not installed.
    """
    try:
        from mien.video.study.correct import clip_corrections
        from mien.video.study.corrections import (
            corrections_in,
            corrections_of,
            keep_corrections,
            read_corrections,
        )
    except ImportError:
        raise MissingExtra("corrections", "video") from None
    path = isinstance(corrections, str | Path)
    read = read_corrections(corrections) if path else corrections_of(corrections)  # type: ignore[arg-type]
    if not isinstance(results, str | Path):
        return list(clip_corrections(read, clip).correct(results))
    root = Path(results)
    study = read_study(root)
    # Writing a clip's tables checks its entries as well, before a file is changed: enough for a single clip.
    is_kept, general = corrections_in(root).entries == read.entries, any(not it.clip for it in read.in_effect)
    changed = [clip for clip in study["clips"] if not _has_tables_of(root / clip["folder"], read)]
    if is_kept and not general and len(changed) == 1:
        _check_clips(study, read)
    else:
        check_corrections(root, study, read)
    keep_corrections(root, read)
    _rewrite(root, study, None, read, all_clips=False)
    return None


def check_corrections(root: Path, study: dict[str, Any], corrections: Corrections) -> None:
    """Raise for entries that do not fit the clips of a study, of which `study` is the sidecar.

    Raises:
        CorrectionError: an entry is about a clip, a person or a time that is not there.
    """
    _check_clips(study, corrections)
    general = {entry.number for entry in corrections.in_effect if entry.clip is None}
    unused = set(general)
    for clip in study["clips"]:
        corrected = CorrectedClip(root / clip["folder"], corrections, check=clip.get("complete", True))
        if general or (corrected.facts and not _has_tables_with(root / clip["folder"], corrected.facts)):
            unused &= corrected.unused()
    if unused:
        raise CorrectionError(
            f"{corrections.source}, entry {min(unused)}: it is about all clips, and fits none of them. "
            "Check its numbers and times."
        )


def _check_clips(study: dict[str, Any], corrections: Corrections) -> None:
    """Raise for entries about a clip that the study has not."""
    names = [clip["folder"] for clip in study["clips"]]
    for entry in corrections.in_effect:
        if entry.clip is not None and entry.clip not in names:
            raise CorrectionError(
                f"{corrections.source}, entry {entry.number}: the study has no clip {entry.clip!r}. It has "
                f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}."
            )


def read_study(root: Path) -> dict[str, Any]:
    """The sidecar of a study.

    Raises:
        UsageError: the folder contains no study of clips.
    """
    try:
        study = json.loads((root / SIDECAR).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{root} is not the folder of a study: {SIDECAR} cannot be read ({reason(error)})."
        ) from error
    if "clips" not in study:
        raise UsageError(f"{root} is not the folder of a study of clips: {SIDECAR} lists no clips.")
    return dict(study)


def study_options(study: dict[str, Any]) -> StudyOptions:
    """The options with which the tables of a study were computed, from its sidecar."""
    values = study["study_options"]
    lists = {name: values[name] and tuple(values[name]) for name in ("baseline_s", "exports")}
    return StudyOptions(**values | lists)


def clip_results(clip: Path) -> Iterator[FrameResult]:
    """The results of a clip of a study without corrections, by the log in its folder.

    Raises:
        UsageError: the log cannot be read.
    """
    return CorrectedClip(clip, None, check=False).results()


def _rewrite(
    root: Path,
    study: dict[str, Any],
    options: StudyOptions | None,
    corrections: Corrections,
    *,
    all_clips: bool = True,
) -> None:
    """Write the tables of all clips, or of those alone whose corrections changed, and of all together."""
    options = options or study_options(study)
    names = [clip["folder"] for clip in study["clips"]]
    for name in names:
        if not all_clips and _has_tables_of(root / name, corrections):
            continue
        sidecar = json.loads((root / name / CLIP_SIDECAR).read_text(encoding="utf-8"))
        facts = {key: sidecar[key] for key in _FACTS if key in sidecar}
        write_clip(root, name, facts, options, corrections)
    write_together(root, names, options, study["errors"], corrections)


def _has_tables_of(clip: Path, corrections: Corrections) -> bool:
    return _has_tables_with(clip, corrections.facts(corrections.of_clip(clip.name)))


def _has_tables_with(clip: Path, facts: dict[str, Any]) -> bool:
    """Whether all tables of a clip, and its sidecar, which is written last, have these corrections."""
    import pyarrow.parquet as pq

    paths = [clip / f"{table}.parquet" for table in TABLES]
    if not all(path.exists() and path.with_suffix(".csv").exists() for path in paths):
        return False
    sidecars = [pq.read_schema(path).metadata[b"mien"] for path in paths]
    sidecars.append((clip / CLIP_SIDECAR).read_bytes())
    return all(json.loads(sidecar).get("corrections") == facts.get("corrections") for sidecar in sidecars)
