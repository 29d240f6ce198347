"""Who is on a picture, read from its file's name: what a subject-independent split needs."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.errors import DataError, UsageError

# How data sets write the subject into the names of their files, by the name of the data set.
SUBJECTS: dict[str, str] = {
    "CK+": r"^(S\d{3})_\d{3}_\d{8}",  # S010_006_00000013.png: subject, sequence, frame (Lucey et al. 2010)
    "JAFFE": r"^([A-Z]{2})\.[A-Z]{2}\d+\.\d+",  # KA.AN1.39.tiff: subject, emotion and take, number
}
_SHOWN = 3


def subjects_of(faces: FaceTable, pattern: str = "") -> NDArray[np.str_]:
    """The subject of each face, (N,).

    Args:
        faces: a table with names of files.
        pattern: a regular expression whose first group is the subject, searched for in the path of each file;
            where it is empty, the names that CK+ and JAFFE give their files are known.

    Raises:
        DataError: the table has no names of files, or some do not name a subject.
        UsageError: the pattern is no regular expression with a group.
    """
    where = faces.source or "the table"
    if faces.names is None:
        raise DataError(
            f"{where} does not say who is on which face: there are no names of files to read it from, so no "
            "subject-independent split can be made. Give a folder of pictures."
        )
    if pattern:
        return _read(faces.names, [_compiled(pattern)], where, whole_path=True)
    return _read(faces.names, [re.compile(each) for each in SUBJECTS.values()], where, whole_path=False)


def _read(
    names: NDArray[np.str_], patterns: list[re.Pattern[str]], where: str, *, whole_path: bool
) -> NDArray[np.str_]:
    found: list[str] = []
    unread: list[str] = []
    for name in map(str, names):
        part = name if whole_path else name.rpartition("/")[2]
        match = next((hit for each in patterns if (hit := each.search(part))), None)
        if match is None or not match[1]:
            unread.append(name)
        else:
            found.append(match[1])
    if unread:
        examples = ", ".join(unread[:_SHOWN]) + (", ..." if len(unread) > _SHOWN else "")
        known = "" if whole_path else f" Known are the names of {' and '.join(SUBJECTS)}."
        raise DataError(
            f"{where}: the names of {len(unread):,} of {len(names):,} files do not tell who is on them "
            f"({examples}), so no subject-independent split can be made.{known} Say how to read it: "
            r"--set data.subject='^(\w+)_', a regular expression whose first group is the subject."
        )
    return np.array(found)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"data.subject={pattern!r} is no regular expression: {error}.") from error
    if not compiled.groups:
        raise UsageError(f"data.subject={pattern!r} has no group: put the subject's part in parentheses.")
    return compiled
