"""The kinds of sources, the times and the formats that the options of `mien predict` name."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from mien.batch.sources import Kind, is_list, is_store, kinds_in, names_any
from mien.errors import ImageError, UsageError
from mien.images.find import SUFFIXES as IMAGES
from mien.images.find import is_several, walk_files
from mien.names import shown
from mien.video.sources import SUFFIXES as CLIPS
from mien.video.sources import is_address, is_camera, is_clip, without_password

FORMATS = ("json", "jsonl", "csv", "parquet")
STUDY = "study"
_DATA_SET_ONLY = "--dataset, --shard, --range, --verify-hash, --engine and --address"


def split_sources(sources: list[str], *, dataset: bool = False) -> tuple[list[str], list[str]]:
    """The sources of clips (with streams and cameras) and those of photos; a folder or a glob may be both.

    A source that is neither counts as a photo: the reader of photos reports what is wrong with it. Clips in
    a folder of a store are sources for a data set alone.
    """
    clips, photos = [], []
    for source in sources:
        if is_store(source) or is_list(source):
            wanted = _kinds_named(source, dataset)
            if "clips" in wanted:
                clips.append(source)
            if "images" in wanted or not wanted:
                photos.append(source)
            continue
        if is_camera(source) or is_address(source) or (is_clip(source) and not is_several(source)):
            clips.append(source)
            continue
        kinds = _kinds_in(source) if is_several(source) else {"photos"}
        if "clips" in kinds:
            clips.append(source)
        if "photos" in kinds or not kinds:
            photos.append(source)
    return clips, photos


def check_data_set(sources: list[str], form: str | None, *, options: bool) -> None:
    """Raise for sources and options of a data set where there is none.

    Raises:
        UsageError: an address of a store, a list of files or `options` without a folder.
    """
    only = [each for each in sources if is_store(each) or is_list(each)]
    if form != STUDY and only:
        kind = "an address of a store" if is_store(only[0]) else "a list of files"
        raise UsageError(
            f"{shown(without_password(only[0]))} is {kind}: give --out a folder for the data set, such as "
            "faces/."
        )
    if options and form != STUDY:
        raise UsageError(f"{_DATA_SET_ONLY} are for data sets, with a folder as --out, such as faces/.")


def seconds(text: str | float) -> float:
    """A time in seconds: ``"0.2s"``, ``"200ms"``, ``"90"``, ``"1:30"`` or ``"1:02:03.5"``; a number as it is.

    Raises:
        UsageError: the text is not a valid time.
    """
    clean = str(text).strip()
    if match := re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|min|h)?", clean):
        units = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
        return float(match[1]) * units[match[2]]
    if re.fullmatch(r"(\d+:)?\d+:\d\d(\.\d*)?", clean):
        return math.fsum(float(part) * 60**i for i, part in enumerate(reversed(clean.split(":"))))
    raise UsageError(f"{text!r} is not a valid time. Write 0.2s, 200ms, 90s, 1:30 or 1:02:03.5.")


def span(text: str | None) -> tuple[float, float] | None:
    """A span of time in seconds: ``"0s-10s"`` gives (0.0, 10.0).

    Raises:
        UsageError: the text is not two times with a minus between, or the second is not the later one.
    """
    if text is None:
        return None
    start, minus, end = text.partition("-")
    if not minus or seconds(end) <= seconds(start):
        raise UsageError(f"{text!r} is not a valid span of time. Write 0s-10s: from, a minus, to.")
    return seconds(start), seconds(end)


def format_of(as_json: bool, as_jsonl: bool, as_csv: bool, out: str | None, *, clips: bool) -> str | None:
    """The format of the results, by the options: ``"study"`` for a folder, None for the table alone.

    A slash at the end of `out` makes it a folder, whatever its suffix.

    Raises:
        UsageError: more than one format, a suffix of no format, or an empty `out`.
    """
    if out == "":
        raise UsageError("--out is empty. Name a file or a folder, or leave it out to print a table.")
    chosen = [name for name, wanted in zip(FORMATS, (as_json, as_jsonl, as_csv), strict=False) if wanted]
    if len(chosen) > 1:
        raise UsageError("--json, --jsonl and --csv exclude each other; run mien once for each.")
    if chosen or out is None:
        return chosen[0] if chosen else None
    path = Path(out)
    if out.endswith(("/", os.sep)) or not path.suffix or path.is_dir():
        return STUDY
    known = FORMATS if clips else FORMATS[:3]
    if (suffix := path.suffix.lower().removeprefix(".")) in known:
        return suffix
    raise UsageError(
        f"--out {out}: the suffix is not that of a known format. Use .{', .'.join(known)}, or add --json, "
        "--jsonl or --csv. A folder has a slash at its end."
    )


def _kinds_named(source: str, dataset: bool) -> set[Kind]:
    """What an address of a store, or a list, names; nothing for a list that cannot be read."""
    try:
        kinds = kinds_in(source)
    except ImageError:
        return set()
    if len(kinds) == 1 or is_list(source):
        return kinds
    return {kind for kind in kinds if names_any(source, kind)} if dataset else {"images"}


def _kinds_in(source: str) -> set[str]:
    """Whether a folder or a glob contains clips, photos or both."""
    try:
        walked = walk_files(source, IMAGES | CLIPS, kind="images or clips")
        found = {path.suffix.lower() for path in walked}
    except ImageError:
        return set()
    return {kind for kind, suffixes in (("clips", CLIPS), ("photos", IMAGES)) if found & suffixes}
