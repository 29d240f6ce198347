"""One run over images: what is missing or changed in a data set is read, and its parts are written."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, TypeAlias

from mien.batch.dataset import DataSet, Known, manifest_of, version_number
from mien.batch.pool import Batch, read_batches
from mien.batch.ranges import item_name
from mien.batch.sources import Kind, SourceFile, hash_of, in_shard, iter_files
from mien.batch.worker import ImageRows, OnImage, ReadOptions
from mien.errors import ImageError, UsageError
from mien.progress import Progress

# Reads batches of files; yields the rows of each, in order.
Reader: TypeAlias = Callable[[Iterable[Batch]], Iterator[ImageRows]]
# The items of work that a file is cut into, by the file and its number; those that are done are left out.
Divide: TypeAlias = Callable[[SourceFile, int], list[SourceFile]]


@dataclass(frozen=True)
class RayEngine:
    """A cluster of Ray that reads the files; each machine must see them under the same path.

    Attributes:
        address: of a cluster that runs, or ``"auto"``; for None a cluster is started on this machine.
        gpus: of each worker, such as 0.25 for four workers on one; with ``device="cuda"``.
    """

    address: str | None = None
    gpus: float = 0.0

    def read(
        self, batches: Iterable[Batch], options: ReadOptions, workers: int | None
    ) -> Iterator[ImageRows]:
        """The rows of each batch, in order; see `mien.batch.ray_engine.read_with_ray`."""
        from mien.batch.ray_engine import read_with_ray, with_absolute_paths

        return read_with_ray(with_absolute_paths(batches), options, workers, self.address, self.gpus)


# The files of a part: some ten seconds of work, which is what a killed run loses.
PART_FILES = 1000
# A batch ends at either; 32 photos of a megapixel are read in about half a second.
_BATCH_FILES, _BATCH_BYTES = 32, 64_000_000
_BEGINNING = 16  # hex digits of a hash that are compared
# Failures that are named one by one in a result.
_NAMED = 100


@dataclass
class BatchResult:
    """What a run did.

    Attributes:
        files: read in this run.
        faces: found in them.
        failed: of the files, how many could not be read.
        failures: source and message of the first hundred of those.
        known: files that were in the data set already, unchanged.
        changed: of the files, how many had been read before and were different then.
        frames: of clips that were read as a whole; `faces` are rows with a face then.
        ranges: of long clips, read in this run.
        joined: long clips of which this run joined the ranges.
        waiting: long clips of which ranges are still missing.
    """

    files: int = 0
    faces: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    known: int = 0
    changed: int = 0
    frames: int = 0
    ranges: int = 0
    joined: int = 0
    waiting: int = 0

    def add(self, rows: ImageRows) -> None:
        """Count the rows of a batch."""
        self.files += rows.files
        self.faces += rows.faces
        self.fail(rows.failures)

    def fail(self, failures: Sequence[tuple[str, str]]) -> None:
        """Count files that could not be read."""
        self.failed += len(failures)
        self.failures += failures[: max(0, _NAMED - len(self.failures))]


def read_images(
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    options: ReadOptions | None = None,
    *,
    shard: tuple[int, int] | None = None,
    verify_hash: bool = False,
    overwrite: bool = False,
    merge: bool | None = None,
    workers: int | None = None,
    part_files: int = PART_FILES,
    engine: RayEngine | None = None,
    on_image: OnImage | None = None,
    progress: Progress | None = None,
) -> BatchResult:
    """Read the faces of images into a data set; only of files that are missing in it or have changed.

    Args:
        sources: files, folders, globs, ``.txt`` files that list images, addresses such as ``s3://bucket/x``.
        out: the folder of the data set; made if it is missing.
        options: model, labels, detection; the defaults of `mien.analyze` for None.
        shard: (i, n) reads the i-th of n shares, 1 <= i <= n, by a hash of each file's path in its source.
        verify_hash: find changed files by their content instead of size and time of change.
        overwrite: begin anew.
        merge: write all rows as ``images.csv`` and ``images.parquet`` too; unless there is a shard, for None.
        workers: processes of this machine, or actors of the engine; one per core for None.
        part_files: files in one part.
        engine: a cluster that reads the files; this machine for None.
        on_image: called with each image, its faces and its source; everything is read on one thread then.
        progress: called with what is at work, how much is done, and how much there is.

    Raises:
        UsageError: the data set was made with other options, or another process writes it.
        ImageError: sources without images.
        UnknownModel, CardError, ModelError: the model cannot be loaded.
        MissingExtra: pyarrow, Ray or the package of a store is not installed.
        KeyboardInterrupt: once what was read so far is written.
    """
    options = options or ReadOptions()
    if part_files < 1:
        raise UsageError(f"part_files must be 1 or more, not {part_files}.")
    data = DataSet(Path(out))
    data.open(manifest_for(options, data.kind, {}), overwrite=overwrite)
    if engine is not None and on_image is not None:
        raise UsageError("annotated photos are saved by one process, not by an engine of many machines.")

    def reader(batches: Iterable[Batch]) -> Iterator[ImageRows]:
        if engine is not None:
            return engine.read(batches, options, workers)
        return read_batches(batches, options, workers or os.cpu_count() or 1, on_image)

    with data.locked(shard), tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        result, count = plan(data, sources, shard, verify_hash, spool, progress)
        report = progress or (lambda *_: None)
        _read(data, spooled(spool), reader, shard, part_files, result, lambda n: report("reading", n, count))
        changed = result.files or not data.is_merged()
        if changed and (shard is None if merge is None else merge):
            report("merging", 0, 0)
            data.merge()
    return result


def manifest_for(options: ReadOptions, kind: Kind, others: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for all rows of a data set, with `others` among its options.

    A device changes nothing but rounding.
    """
    classifier = options.analyzer().classifier
    card = classifier.card
    model = {"name": classifier.name, "sha256": card.sha256, "head": asdict(classifier.head)}
    model["limits"] = card.limits  # by which a face has warnings
    decisive = asdict(replace(options, model="", device=""))
    names = ("align", "detector_threshold", "crops", "movements")
    return manifest_of(
        classifier.head,
        {"model": model, "options": {key: decisive[key] for key in names} | others},
        kind,
        movements=options.movements,
    )


def plan(
    data: DataSet,
    sources: Iterable[str | os.PathLike[str]],
    shard: tuple[int, int] | None,
    verify_hash: bool,
    spool: IO[str],
    progress: Progress | None,
    divide: Divide | None = None,
) -> tuple[BatchResult, int]:
    """Writes the files to read into `spool`, one per line, and drops the rows of changed ones.

    `divide` cuts files into items, each of which has a shard of its own. Returns a result without files yet,
    and how many items there are to read.
    """
    known = data.known(shard)
    result, listed, count, stale = BatchResult(), 0, 0, _twice(known)
    for file in iter_files([os.fspath(each) for each in sources], data.kind):
        listed += 1
        if progress is not None and listed % 1000 == 0:
            progress(f"listing {listed:,} files", 0, 0)
        if divide is None and not in_shard(file.name, shard):
            continue
        number = data.number_of(file)
        place = known.find(number)
        if place is not None and _same(known, place, file, verify_hash):
            result.known += in_shard(file.name, shard)
            continue
        items = [file] if divide is None else divide(file, number)
        items = [item for item in items if in_shard(item_name(item), shard)]
        if place is not None and items:
            stale.setdefault(known.names[known.parts[place]], set()).add(number)
            result.changed += 1
        for item in items:
            spool.write(json.dumps([*astuple(item), number]) + "\n")
        count += len(items)
    if listed == 0:
        raise ImageError(f"the sources name no {data.kind}.")
    data.drop(stale)
    spool.seek(0)
    return result, count


def _same(known: Known, place: int, file: SourceFile, verify_hash: bool) -> bool:
    """Whether a file is as it was when it was read."""
    if known.retry[place]:
        return False
    if not verify_hash:
        return int(known.versions[place]) == version_number(file.bytes, file.version)
    try:
        return int(hash_of(file)[:_BEGINNING], 16) == int(known.hashes[place])
    except (OSError, ImageError):
        return False


def _twice(known: Known) -> dict[str, set[int]]:
    """The files that two parts hold, by the later part: two processes wrote them without a lock."""
    stale: dict[str, set[int]] = {}
    for place in known.twice.nonzero()[0]:
        stale.setdefault(known.names[known.parts[place]], set()).add(int(known.ids[place]))
    return stale


def spooled(spool: IO[str]) -> Iterator[tuple[SourceFile, int]]:
    """Yields what `plan` wrote: items with the numbers of their files."""
    for line in spool:
        source, location, name, size, version, of, number = json.loads(line)
        yield SourceFile(source, location, name, size, version, of and (of[0], of[1])), number


def _read(
    data: DataSet,
    files: Iterator[tuple[SourceFile, int]],
    reader: Reader,
    shard: tuple[int, int] | None,
    part_files: int,
    result: BatchResult,
    advance: Callable[[int], None],
) -> None:
    """Reads files and writes a part whenever it is full."""
    names, missing = data.free_names(shard), part_files
    tables: list[Any] = []
    advance(0)
    try:
        with closing(reader(_batches(files, part_files))) as several:  # type: ignore[type-var]
            for rows in several:
                result.add(rows)
                tables.append(rows.table)
                missing -= rows.files
                if missing == 0:
                    data.write(next(names), tables)
                    tables, missing = [], part_files
                advance(result.files)
    except KeyboardInterrupt:
        if tables:  # what was read is kept
            data.write(next(names), tables)
        raise
    if tables:
        data.write(next(names), tables)


def _batches(files: Iterator[tuple[SourceFile, int]], part_files: int) -> Iterator[Batch]:
    """Files in batches; none crosses the end of a part, so that parts are the same on every engine."""
    while part := itertools.islice(files, part_files):
        batch: Batch = []
        size, empty = 0, True
        for file, number in part:
            empty = False
            size += file.bytes or 0
            batch.append((file, number))
            if len(batch) == _BATCH_FILES or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch
        if empty:
            return
