"""What an interrupted run over clips leaves behind, beside the log of its last clip: which clips are done."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import UsageError, reason
from mien.files import write_atomically

_FORMAT = 3


@dataclass
class Progress:
    """How far a run got.

    Attributes:
        options: what decides the results; a run resumes only with the same.
        done: clips that were finished.
        errors: what went wrong with clips, as `ReadFailure.to_dict` has it.
        size: of the table in bytes, behind the clips that are done; None before the first.
        people: whom `People` knows from the clips that are done.
    """

    options: dict[str, Any]
    done: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    size: int | None = None
    people: dict[str, Any] = field(default_factory=dict)


def save_progress(path: Path, progress: Progress) -> None:
    """Writes it in one piece: a run that is killed meanwhile leaves the one before.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        write_atomically(path, json.dumps({"format": _FORMAT, **vars(progress)}))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {reason(error)}. Choose another place.") from error


def load_progress(path: Path, options: dict[str, Any]) -> Progress:
    """The progress that a run with these options left.

    Raises:
        UsageError: it was left by a run with other options or another version, or is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != _FORMAT:
            raise UsageError(f"{path} was left by another version of mien; begin anew with --overwrite.")
        progress = Progress(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read ({error!r}); begin anew with --overwrite.") from error
    now = json.loads(json.dumps(options))
    for name in now | progress.options:
        if progress.options.get(name) != now.get(name):
            raise UsageError(
                f"the interrupted run had {name} {progress.options.get(name)!r}, not {now.get(name)!r}. "
                "Give the same, or begin anew with --overwrite."
            )
    return progress
