"""Reads clips, or ranges of long ones: what each worker process of a data set of clips holds."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mien.batch.ranges import RangePlan, pack_range
from mien.batch.sources import SourceFile, is_store, local_path
from mien.batch.worker import ReadOptions, failure_of, plain_row
from mien.errors import ImageError
from mien.files import sha256_file
from mien.names import shown_text
from mien.video.analysis import VideoAnalysis
from mien.video.opening import as_video, open_video
from mien.video.options.clips import DETECTOR_SIZE, FaceSelection
from mien.video.reader import Video, open_container
from mien.video.results import FrameResult
from mien.video.runner import BatchObserver
from mien.video.smoothing import Smoothing
from mien.video.stages.detect import due_s
from mien.video.stages.pipeline import DETECT_INTERVAL_S
from mien.video.tracking.people import People

# Rows of a table that are made at once.
_BLOCK = 5000
# `error` of a clip of which a part was read.
INCOMPLETE = "Incomplete"


@dataclass(frozen=True)
class ClipReadOptions:
    """What decides about the rows of a data set of clips.

    Attributes:
        read: model, labels, detection; `crops` must be False.
        interval_s, start_s, end_s, faces, smooth_s, detector_size: as `mien.analyze_video` takes them.
        people: ``"clip"``: who returns in the clip gets their number back; ``"off"``: nobody.
        range_s: cut longer clips on disk into ranges of about so many seconds, which are read apart and
            joined; None reads each clip as a whole.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    interval_s: float | None = None
    start_s: float = 0.0
    end_s: float | None = None
    faces: FaceSelection = "all"
    people: Literal["clip", "off"] = "clip"
    smooth_s: float = 0.2
    detector_size: int = DETECTOR_SIZE
    range_s: float | None = None

    def ranges(self, video: Video) -> RangePlan:
        """How a clip is cut into ranges."""
        if self.range_s is None:
            return RangePlan()
        known_s = video.duration_s
        end_s = known_s if self.end_s is None or known_s is None else min(self.end_s, known_s)
        seconds = 0.0 if end_s is None else end_s - self.start_s
        return RangePlan.of(seconds, self.range_s, self.start_s, self.end_s, self.interval_s)


@dataclass(frozen=True)
class ClipRows:
    """What was read of a clip, or of a range of one.

    Attributes:
        table: the rows of a whole clip as an Arrow table; None for a range.
        files, ranges: 1 for a whole clip, and for a range.
        frames: analyzed, of a whole clip.
        faces: rows with a face, likewise.
        failures: source and message, if it could not be read whole.
        content: of the file of a range.
        item: the clip or range, and the number of its file.
    """

    table: Any
    files: int
    ranges: int
    frames: int
    faces: int
    failures: tuple[tuple[str, str], ...]
    item: tuple[SourceFile, int]
    content: bytes = b""


@dataclass(frozen=True)
class ClipDataWork:
    """Reads clips into a data set; see `mien.video.pool.Work`. An item is a file and its number."""

    options: ClipReadOptions

    def reader(self, observer: BatchObserver) -> Callable[[tuple[SourceFile, int]], ClipRows]:
        """A function that reads a clip, or a range of one."""
        return ClipWorker(self.options, observer).read

    def lost(self, item: tuple[SourceFile, int], error: str, observer: BatchObserver) -> ClipRows:  # noqa: ARG002
        """The rows of a clip, or of a range, whose process ended."""
        from mien.batch.dataset import schema_of

        facts = _facts(item) | {"error": "ProcessEnded", "message": error}
        if item[0].range:
            return _range_rows(item, facts, 0.0, b"")
        head = self.options.read.analyzer().classifier.head
        return _clip_rows(item, facts, (), schema_of(head, "clips", movements=self.options.read.movements))


class ClipWorker:
    """Reads clips one after the other. The rows of a clip name what is wrong with it.

    Args:
        options: of the data set.
        observer: hears of each frame; it may raise `KeyboardInterrupt`.
    """

    def __init__(self, options: ClipReadOptions, observer: BatchObserver) -> None:
        from mien.batch.dataset import schema_of

        self._options, self._observer = options, observer
        self._analyzer = options.read.analyzer()
        head = self._analyzer.classifier.head
        self._schema = schema_of(head, "clips", movements=options.read.movements)

    def read(self, item: tuple[SourceFile, int]) -> ClipRows:
        """The rows of a clip, or the log of a range of one."""
        file, facts = item[0], _facts(item)
        if file.range:
            with tempfile.TemporaryDirectory(prefix="mien-") as folder:
                log = Path(folder) / "log.jsonl"
                for _ in self._results(file, facts, log):
                    pass
                seam_s = facts.pop("seam_s", 0.0)
                return _range_rows(item, facts, seam_s, log.read_bytes() if log.exists() else b"")
        return _clip_rows(item, facts, self._results(file, facts), self._schema)

    def _results(
        self, file: SourceFile, facts: dict[str, Any], log: Path | None = None
    ) -> Iterator[FrameResult]:
        """Yields the results of a clip or of a range; puts size, hash and what went wrong into `facts`."""
        try:
            with _opened(file, facts) as video:
                span = self._span(file, video, facts)
                with self._analysis(video, span, log) as analysis:
                    for result in analysis:
                        facts |= {"width": video.size[0], "height": video.size[1]}
                        self._observer.analyzed(result)
                        yield result
                if wrong := video.status.describe():
                    facts |= {"error": INCOMPLETE, "message": shown_text(wrong)}
        except Exception as error:  # no clip may stop the others; its row names the error
            facts |= failure_of(error)

    def _span(self, file: SourceFile, video: Video, facts: dict[str, Any]) -> tuple[float, float | None]:
        """From when to when to read; for a range, when its own time begins goes into `facts`."""
        if file.range is None:
            return self._options.start_s, self._options.end_s
        plan = self._options.ranges(video)
        facts["seam_s"] = plan.seam_s(file.range[0])
        start_s, end_s = plan.to_read(file.range[0])
        return self._in_step_s(video, start_s), end_s

    def _in_step_s(self, video: Video, start_s: float) -> float:
        """When the detector would run last until `start_s` in a scene that began with the whole clip.

        A range that begins there has the same boxes as a whole clip. Behind a cut both begin anew.
        """
        first_s, interval_s = self._options.start_s, self._options.interval_s
        times_s = video.times_s(first_s, start_s, interval_s)
        last_s = max(due_s(times_s, DETECT_INTERVAL_S), default=start_s)
        if interval_s is None:
            return last_s
        return first_s + interval_s * math.floor((last_s - first_s) / interval_s + 1e-3)

    def _analysis(self, video: Video, span: tuple[float, float | None], log: Path | None) -> VideoAnalysis:
        options = self._options
        return VideoAnalysis(
            video,
            self._analyzer,
            start_s=span[0],
            end_s=span[1],
            interval_s=options.interval_s,
            faces=options.faces,
            smoothing=Smoothing(options.smooth_s),
            detector_size=options.detector_size,
            people=People(recognize=options.people == "clip"),
            log=log,
        )


@contextmanager
def _opened(file: SourceFile, facts: dict[str, Any]) -> Iterator[Video]:
    """A clip opened; the hash of its content goes into `facts`, of ranges only with the first."""
    with local_path(file) as path:
        if file.range is None or file.range[0] == 1:
            facts["sha256"] = sha256_file(path)
        if not is_store(file.location):
            yield open_video(path)
            return
        try:
            video = as_video(file.source, open_container(str(path)))
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), file.source)) from None
        yield video


def clip_tables(
    results: Iterable[FrameResult], facts: dict[str, Any], schema: Any, counts: list[int]
) -> Iterator[Any]:
    """Yields the rows of a clip as Arrow tables: one row per face, or per frame without any.

    A clip that could not be read whole has one row more, without a frame, that says why.

    Args:
        results: of the frames, in order.
        facts: of the file, for each row; `error` and `message` are taken out of it once `results` ends.
        schema: of the tables.
        counts: frames and faces are added to its two numbers.
    """
    import pyarrow as pa

    def rows() -> Iterator[dict[str, Any]]:
        for result in results:
            counts[0] += 1
            counts[1] += len(result.faces)
            known = {name: value for name, value in facts.items() if name not in ("error", "message")}
            for row in result.rows():
                yield row | known
        if "error" in facts or not counts[0]:
            yield facts

    several = rows()
    while block := list(itertools.islice(several, _BLOCK)):
        yield pa.Table.from_pylist(list(map(plain_row, block)), schema)


def _facts(item: tuple[SourceFile, int]) -> dict[str, Any]:
    file, number = item
    return {
        "source": file.source,
        "file_id": f"{number:016x}",
        "bytes": file.bytes,
        "version": file.version,
        "sha256": None,
    }


def _clip_rows(
    item: tuple[SourceFile, int], facts: dict[str, Any], results: Iterable[FrameResult], schema: Any
) -> ClipRows:
    import pyarrow as pa

    counts = [0, 0]
    table = pa.concat_tables(clip_tables(results, facts, schema, counts))
    return ClipRows(table, 1, 0, counts[0], counts[1], _failures(facts), item)


def _range_rows(item: tuple[SourceFile, int], facts: dict[str, Any], seam_s: float, log: bytes) -> ClipRows:
    return ClipRows(None, 0, 1, 0, 0, _failures(facts), item, pack_range(facts, seam_s, log))


def _failures(facts: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    if "error" not in facts:
        return ()
    source, message = facts["source"], facts["message"]
    return ((source, message if source in message else f"{source}: {message}"),)
