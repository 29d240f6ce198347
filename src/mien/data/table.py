"""One immutable table of labelled faces, whatever they were read from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.data.splits import find_split
from mien.emotions import FER2013, VOTES
from mien.errors import DataError, FormatError

UNLABELLED = -1
_COLUMNS = ("pixels", "labels", "splits", "rows", "votes", "names", "subjects")


@dataclass(frozen=True)
class BadRow:
    """What is wrong with a row, a file or a folder of the source.

    Attributes:
        where: its line in the file (1 is the header), its path, or a folder.
        reason: what is wrong.
        refused: False where no row is lost: a byte-order mark, CR LF line ends, a file that seems cut.
        count: how many rows or files it is about; a folder that is left out counts its images.
    """

    where: str
    reason: str
    refused: bool = True
    count: int = 1


# Pixels and labels, and perhaps splits: what `FaceTable.from_arrays` takes.
Arrays: TypeAlias = "tuple[Any, Any] | tuple[Any, Any, Any]"


@dataclass(frozen=True, eq=False)
class FaceTable:
    """N labelled gray faces.

    Attributes:
        pixels: uint8 (N, H, W).
        labels: int64 (N,), index into `classes`; -1 where there is none.
        splits: (N,) text, such as ``"Training"``, ``"PublicTest"``, ``"PrivateTest"``.
        rows: int64 (N,), the zero-based row in the source (FER+'s votes join by it).
        classes: names of the labels.
        votes: uint8 (N, 10), columns in the order of `mien.emotions.VOTES`, or None.
        names: (N,) text, the file each face came from, or None where there are no files.
        subjects: (N,) text, the person on each face, or None where the source does not say; names of files
            may contain it (`mien.data.folders.subjects`).
        source: what it was read from, for messages.
        problems: the rows that were refused, and what else is wrong with the source.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    rows: NDArray[np.int64]
    classes: tuple[str, ...] = FER2013
    votes: NDArray[np.uint8] | None = None
    names: NDArray[np.str_] | None = None
    subjects: NDArray[np.str_] | None = None
    source: str = ""
    problems: tuple[BadRow, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        n = len(self.pixels)
        if self.pixels.ndim != 3 or self.pixels.dtype != np.uint8:
            raise DataError(f"pixels must be uint8 (N, H, W), not {self.pixels.dtype} {self.pixels.shape}.")
        columns = {name: getattr(self, name) for name in _COLUMNS}
        for name, column in columns.items():
            if column is not None and len(column) != n:
                raise DataError(f"{name} has {len(column)} rows where pixels has {n}.")
        if self.votes is not None and self.votes.shape[1:] != (len(VOTES),):
            raise DataError(f"votes must have {len(VOTES)} columns, not shape {self.votes.shape}.")
        for column in columns.values():
            if column is not None:
                column.flags.writeable = False

    @classmethod
    def from_arrays(
        cls,
        pixels: NDArray[Any],
        labels: NDArray[Any] | Sequence[Any],
        splits: str | NDArray[Any] | Sequence[str] = "all",
        *,
        classes: Sequence[str] = FER2013,
        subjects: NDArray[Any] | Sequence[str] | None = None,
        source: str = "arrays",
    ) -> FaceTable:
        """A table of arrays, as from a `Dataset` of one's own.

            >>> import numpy as np
            >>> len(FaceTable.from_arrays(np.zeros((2, 48, 48), np.uint8), ["happy", "sad"]))
            2

        Args:
            pixels: gray faces, uint8 (N, S, S), or (N, S, S, 1) or (N, 1, S, S).
            labels: (N,), index into `classes`, -1 where there is none; or names among them.
            splits: (N,) text, or one split for all.
            classes: names of the labels.
            subjects: (N,) text, the person on each face.
            source: what the faces are called in messages.

        Raises:
            DataError: another shape or type, or a label that is no class.
        """
        faces = np.asarray(pixels)
        if faces.ndim == 4 and 1 in (faces.shape[1], faces.shape[3]):
            faces = faces.reshape(len(faces), *(faces.shape[2:] if faces.shape[1] == 1 else faces.shape[1:3]))
        if faces.ndim != 3 or faces.dtype != np.uint8:
            raise DataError(
                f"pixels must be gray faces, uint8 (N, S, S), not {faces.dtype} {faces.shape}. Multiply "
                "values in 0..1 by 255, and average colours, before .astype(numpy.uint8)."
            )
        return cls(
            pixels=faces.copy(),
            labels=_as_labels(np.asarray(labels), tuple(classes)),
            splits=np.full(len(faces), splits) if isinstance(splits, str) else np.array(splits, dtype=str),
            rows=np.arange(len(faces)),
            classes=tuple(classes),
            subjects=None if subjects is None else np.array(subjects, dtype=str),
            source=source,
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> FaceTable:
        """The rows of an index or a mask, as a new table without `problems`."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        taken = {name: column[index] for name, column in columns.items() if column is not None}
        return replace(self, **taken, problems=())

    def split(self, name: str) -> FaceTable:
        """The rows of one split; `train`, `TRAIN` and `Training` mean the same.

        Raises:
            DataError: the table has no such split; the message lists those it has.
        """
        found = self.find_split(name)
        if found is None:
            raise DataError(
                f"{self.source or 'the table'} has no split {name!r}; it has: {self.splits_listed}. "
                "Give one of them (--split on the command line)."
            )
        return self.take(self.splits == found)

    def find_split(self, name: str) -> str | None:
        """The name in this table of the split that `name` means; None if it has no such split."""
        return find_split(name, self.split_counts)

    @property
    def splits_listed(self) -> str:
        """The splits with their numbers of rows, for messages."""
        return ", ".join(f"{split} ({count:,})" for split, count in self.split_counts.items()) or "no rows"

    @property
    def refused(self) -> int:
        """How many rows or files of the source were refused."""
        return sum(problem.count for problem in self.problems if problem.refused)

    @property
    def missing_classes(self) -> tuple[str, ...]:
        """The classes without a single labelled row."""
        present = set(np.unique(self.labels).tolist())
        return tuple(name for label, name in enumerate(self.classes) if label not in present)

    @cached_property
    def split_counts(self) -> Mapping[str, int]:
        """Rows per split, in order of first appearance."""
        names, first, counts = np.unique(self.splits, return_index=True, return_counts=True)
        return {str(names[i]): int(counts[i]) for i in np.argsort(first)}

    @cached_property
    def pixel_keys(self) -> NDArray[np.bytes_]:
        """A 16-byte digest of each face's pixels, (N,); equal keys are pixel-identical faces."""
        return np.array(
            [hashlib.blake2b(face.tobytes(), digest_size=16).hexdigest() for face in self.pixels], dtype="S32"
        )

    @cached_property
    def sha256(self) -> str:
        """A hash of pixels, labels, splits and votes: the data hash in the records of a run."""
        digest = hashlib.sha256()
        for column in (self.pixels, self.labels, self.splits.astype("S16"), self.votes):
            digest.update(b"-" if column is None else np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


def _as_labels(labels: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Labels as indices into `classes`, from indices or names.

    Raises:
        DataError: one is no class.
    """
    if labels.dtype.kind in "US":
        index = {name: label for label, name in enumerate(classes)}
        if unknown := sorted(set(labels.tolist()) - set(index)):
            raise DataError(f"label {unknown[0]!r} is not one of the classes {', '.join(classes)}.")
        return np.array([index[name] for name in labels.tolist()], np.int64)
    whole = labels.astype(np.int64)
    if (
        labels.ndim != 1
        or (whole != labels).any()
        or (whole < UNLABELLED).any()
        or (whole >= len(classes)).any()
    ):
        raise DataError(
            f"labels must be whole numbers (N,) from 0 to {len(classes) - 1}, or -1 for none, not "
            f"{labels.dtype} {labels.shape} from {labels.min()} to {labels.max()}."
        )
    return whole


def not_in(faces: FaceTable, others: FaceTable) -> NDArray[np.bool_]:
    """A mask (N,) of the `faces` that are pixel-identical to none of the `others`."""
    return ~np.isin(faces.pixel_keys, others.pixel_keys)


def without_contempt(source: str, dropped: int) -> str:
    """The name of a source of which so many faces of contempt were left out."""
    return f"{source} ({dropped:,} faces of contempt left out)" if dropped else source


def nothing_usable(source: str, what: str, problems: Sequence[BadRow]) -> FormatError:
    """The error for a source without one good row; `what` is a row's name: row, face or image."""
    first = f" The first problem: {problems[0].where}: {problems[0].reason}." if problems else ""
    return FormatError(f"{source} contains no {what} that can be used.{first}")
