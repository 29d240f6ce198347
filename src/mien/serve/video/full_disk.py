"""A file that goes on in memory when the disk is full, so that no row of a finished clip is lost."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import IO, Any

_FULL = (errno.ENOSPC, errno.EDQUOT)


class OverflowFile(io.FileIO):
    """A new file for writing; `overflow` is what did not fit on the disk.

    Args:
        path: of the file, which is replaced.
        max_bytes: of `overflow`.

    Raises:
        OSError: the disk is full and so is `overflow`, or the file cannot be written for another reason.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(path, "w")
        self.overflow = bytearray()
        self._max_bytes = max_bytes

    def write(self, data: Any) -> int:
        """Write bytes; returns how many were taken."""
        if not self.overflow:
            try:
                return super().write(data) or 0
            except OSError as error:
                if error.errno not in _FULL:
                    raise
        if len(self.overflow) + len(data) > self._max_bytes:
            raise OSError(errno.ENOSPC, "the disk is full")
        self.overflow += data
        return len(data)

    def as_text(self) -> IO[str]:
        """The file as UTF-8 text."""
        buffered = io.BufferedWriter(self)
        return io.TextIOWrapper(buffered, encoding="utf-8", errors="surrogateescape", newline="")
