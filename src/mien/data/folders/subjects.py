"""The person on an image, from the name of its file: for subject-independent splits."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.errors import DataError, UsageError

# Where data sets put the subject in the names of files, by the name of the data set.
SUBJECTS: dict[str, str] = {
    "CK+": r"^(S\d{3})_\d{3}_\d{8}",  # S010_006_00000013.png: subject, sequence, frame (Lucey et al. 2010)
    "JAFFE": r"^([A-Z]{2})\.[A-Z]{2}\d+\.\d+",  # KA.AN1.39.tiff: subject, emotion and take, number
}
_MAX_EXAMPLES = 3


def subjects_of(faces: FaceTable, pattern: str = "") -> NDArray[np.str_]:
    """The subject of each face, (N,).

    Args:
        faces: a table with subjects or names of files.
        pattern: a regular expression whose first group is the subject, searched for in the path of each file;
            if empty, the table's own subjects, else the patterns of CK+ and JAFFE.

    Raises:
        DataError: the table has no names of files, or some do not contain a subject.
        UsageError: the pattern is not a regular expression with a group.
    """
    where = faces.source or "the table"
    if faces.subjects is not None and not pattern:
        return faces.subjects
    if faces.names is None:
        raise DataError(
            f"{where} has no names of files from which to read the subjects, so no subject-independent split "
            "can be made. Give a folder of images."
        )
    if pattern:
        return _read(faces.names, [_compiled(pattern)], where, whole_path=True)
    return _read(faces.names, [re.compile(each) for each in SUBJECTS.values()], where, whole_path=False)


def known_subjects(faces: FaceTable, pattern: str = "") -> NDArray[np.str_] | None:
    """The subject of each face, (N,); None where the names of the files do not contain it.

    Raises:
        DataError, UsageError: as `subjects_of`, where a `pattern` is given.
    """
    if pattern:
        return subjects_of(faces, pattern)
    try:
        return subjects_of(faces)
    except DataError:
        return None


def _read(
    names: NDArray[np.str_], patterns: list[re.Pattern[str]], where: str, *, whole_path: bool
) -> NDArray[np.str_]:
    subjects: list[str] = []
    unread: list[str] = []
    for name in map(str, names):
        part = name if whole_path else name.rpartition("/")[2]
        match = next((hit for each in patterns if (hit := each.search(part))), None)
        if match is None or not match[1]:
            unread.append(name)
        else:
            subjects.append(match[1])
    if unread:
        examples = ", ".join(unread[:_MAX_EXAMPLES]) + (", ..." if len(unread) > _MAX_EXAMPLES else "")
        known = "" if whole_path else f" mien knows the names of {' and '.join(SUBJECTS)}."
        raise DataError(
            f"{where}: the names of {len(unread):,} of {len(names):,} files do not contain the subject "
            f"({examples}), so no subject-independent split can be made.{known} Give a pattern: "
            r"--set data.subject='^(\w+)_', a regular expression whose first group is the subject."
        )
    return np.array(subjects)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"data.subject={pattern!r} is not a regular expression: {error}.") from error
    if not compiled.groups:
        raise UsageError(f"data.subject={pattern!r} has no group: put the subject's part in parentheses.")
    return compiled
