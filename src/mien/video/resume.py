"""What an interrupted run over clips leaves behind, so that `--resume` goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import UsageError

_FORMAT = 1


@dataclass
class Progress:
    """How far a run got.

    Attributes:
        options: what decides the results; a run goes on only with the same.
        done: clips that were finished.
        errors: what went wrong with clips, as `TableWriter.errors`.
        offset: size in bytes of the table at this point; None before the first.
        clip: the clip that was being read, with its size and time of change; None between clips.
        state: of the parts of that clip's run.
    """

    options: dict[str, Any]
    done: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    offset: int | None = None
    clip: list[Any] | None = None
    state: dict[str, Any] | None = None


def save_progress(path: Path, progress: Progress) -> None:
    """Writes it in one piece: a run that is killed meanwhile leaves the one before.

    Raises:
        UsageError: the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, **vars(progress)}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}.") from error


def load_progress(path: Path, options: dict[str, Any]) -> Progress:
    """The progress that a run with these options left.

    Raises:
        UsageError: it was left by a run with other options or another version, or is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("format")
        progress = Progress(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read ({error!r}); start anew with --overwrite.") from error
    if version != _FORMAT:
        raise UsageError(f"{path} was left by another version of mien; start anew with --overwrite.")
    now = json.loads(json.dumps(options))
    for name in now | progress.options:
        if progress.options.get(name) != now.get(name):
            raise UsageError(
                f"the run to go on with had {name} {progress.options.get(name)!r}, not {now.get(name)!r}. "
                "Give the same, or start anew with --overwrite."
            )
    return progress


def fingerprint(clip: str) -> list[Any]:
    """What tells whether a clip's file is still the same: its path, size and time of change."""
    path = Path(clip)
    if not path.is_file():
        return [clip, None, None]
    status = path.stat()
    return [clip, status.st_size, status.st_mtime_ns]
