"""One run over clips: what is missing or changed in a data set of clips is read, and its parts are written.

DIR/
  clips.json                   the manifest: model, options and version, the same for all rows; the columns
  clips/
    part-00000.parquet         the rows of some clips, one per face and frame; of a shard: part-03of16-00000
    range-...-0002of0012...    the log of a range of a long clip, until all of its ranges are there
    part-clip-....parquet      the rows of a clip whose ranges were joined
  clips.csv, clips.parquet     all rows as one table, see `merge_clips`
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mien.batch.clip_worker import ClipDataWork, ClipReadOptions, ClipRows
from mien.batch.dataset import DataSet, version_number
from mien.batch.joining import join_ranges
from mien.batch.ranges import RangeFile, range_files, range_name
from mien.batch.run import PART_FILES, BatchResult, Divide, manifest_for, plan, spooled
from mien.batch.sources import SourceFile, is_store
from mien.errors import ImageError, UsageError, reason
from mien.files import write_atomically
from mien.progress import Progress
from mien.video.opening import open_video
from mien.video.pool import read_together
from mien.video.runner import BatchObserver

# A part is written when it has so many rows: some minutes of work, which is what a killed run loses.
PART_ROWS = 20_000
_LEAST_RANGE_S = 1.0


def read_clips(
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    options: ClipReadOptions | None = None,
    *,
    shard: tuple[int, int] | None = None,
    verify_hash: bool = False,
    overwrite: bool = False,
    merge: bool | None = None,
    workers: int | None = None,
    part_files: int = PART_FILES,
    part_rows: int = PART_ROWS,
    progress: Progress | None = None,
) -> BatchResult:
    """Read the faces of clips into a data set; only of clips that are missing in it or have changed.

    Args:
        sources: files, folders, globs, ``.txt`` files that list clips, addresses such as ``s3://bucket/x``.
        out: the folder of the data set; made if it is missing. It may hold one of images too.
        options: how clips are read; the defaults of `mien.analyze_video` for None.
        shard: (i, n) reads the i-th of n shares, 1 <= i <= n, by a hash of each clip's path in its source,
            and of each range of a long clip.
        verify_hash, overwrite, progress: as `read_images` takes them.
        merge: write all rows as ``clips.csv`` and ``clips.parquet`` too; unless there is a shard, for None.
        workers: processes of this machine, each of which reads one clip; one per core for None.
        part_files, part_rows: a part is written when it has so many clips, or so many rows.

    Raises:
        UsageError: the data set was made with other options, or another process writes it.
        ImageError: sources without clips.
        UnknownModel, CardError, ModelError: the model cannot be loaded.
        MissingExtra: pyarrow, PyAV or the package of a store is not installed.
        KeyboardInterrupt: once what was read so far is written.
    """
    options = options or ClipReadOptions()
    if options.read.crops:
        raise UsageError("crops are images of cropped faces; in clips, faces have to be detected.")
    if options.range_s is not None and options.range_s < _LEAST_RANGE_S:
        raise UsageError(f"a range must have {_LEAST_RANGE_S:g} s or more, not {options.range_s:g} s.")
    data = DataSet(Path(out), "clips")
    decisive = {name: value for name, value in asdict(options).items() if name != "read"}
    data.open(manifest_for(options.read, "clips", decisive), overwrite=overwrite)
    report = progress or (lambda *_: None)
    with data.locked(shard), tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        divide = None if options.range_s is None else _divider(data, options)
        result, count = plan(data, sources, shard, verify_hash, spool, progress, divide)
        report("reading", 0, count)
        with closing(_read(spooled(spool), options, workers or os.cpu_count() or 1)) as several:
            _write(data, several, shard, (part_files, part_rows), result, report, count)
        report("joining", 0, 0)
        result.joined, result.waiting = join_ranges(data)
        changed = result.files or result.joined or not data.is_merged()
        if changed and (shard is None if merge is None else merge):
            report("merging", 0, 0)
            data.merge()
    return result


def merge_clips(folder: str | os.PathLike[str]) -> tuple[int, int]:
    """Joins the ranges of long clips, and writes all rows as ``clips.csv`` and ``clips.parquet``.

    Returns how many parts there are, and how many clips still lack ranges, which are not in the tables.

    Raises:
        DataError: there is no data set, or a part cannot be read.
        UsageError: a file cannot be written.
    """
    data = DataSet(Path(folder), "clips")
    data.manifest()
    _, waiting = join_ranges(data)
    return data.merge(), waiting


def _read(
    items: Iterator[tuple[SourceFile, int]], options: ClipReadOptions, workers: int
) -> Generator[ClipRows]:
    """Yields what is read of each item, as each is done."""
    work, observer = ClipDataWork(options), BatchObserver()
    if workers == 1:
        yield from map(work.reader(observer), items)
    else:
        yield from read_together(items, work, workers, observer)


def _write(
    data: DataSet,
    several: Iterator[ClipRows],
    shard: tuple[int, int] | None,
    full: tuple[int, int],
    result: BatchResult,
    report: Progress,
    count: int,
) -> None:
    """Writes a range when it is read, and a part whenever it is full."""
    names = data.free_names(shard)
    tables: list[Any] = []
    try:
        for rows in several:
            result.files, result.ranges = result.files + rows.files, result.ranges + rows.ranges
            result.frames, result.faces = result.frames + rows.frames, result.faces + rows.faces
            result.fail(rows.failures)
            if rows.table is None:
                _write_range(data, rows)
            else:
                tables.append(rows.table)
            if len(tables) >= full[0] or sum(len(table) for table in tables) >= full[1]:
                data.write(next(names), tables)
                tables = []
            report("reading", result.files + result.ranges, count)
    finally:  # Ctrl-C too: what was read is kept
        if tables:
            data.write(next(names), tables)


def _write_range(data: DataSet, rows: ClipRows) -> None:
    file, number = rows.item
    path = data.rows / _name(file, number)
    try:
        write_atomically(path, rows.content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {reason(error)}. Choose another place.") from error


def _name(file: SourceFile, number: int) -> str:
    return range_name(number, version_number(file.bytes, file.version), file.range or (1, 1))


def _divider(data: DataSet, options: ClipReadOptions) -> Divide:
    """What cuts long clips on disk into ranges, without those that are there; old ranges are deleted."""
    there: dict[int, list[RangeFile]] = {}
    for each in range_files(data.rows):
        there.setdefault(each.number, []).append(each)

    def divide(file: SourceFile, number: int) -> list[SourceFile]:
        count = 1 if is_store(file.location) else _count(file, options)
        items = [replace(file, range=(i, count)) for i in range(1, count + 1)] if count > 1 else [file]
        wanted = {_name(item, number) for item in items}
        done = {each.path.name for each in there.get(number, ())}
        for each in there.get(number, ()):
            if each.path.name not in wanted:  # of the clip before it changed
                each.path.unlink(missing_ok=True)
        return [item for item in items if item.range is None or _name(item, number) not in done]

    return divide


def _count(file: SourceFile, options: ClipReadOptions) -> int:
    """How many ranges a clip has; 1 for one that cannot be opened, which reading it reports."""
    try:
        with open_video(file.location) as video:
            return options.ranges(video).count
    except (ImageError, OSError):
        return 1
