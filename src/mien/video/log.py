"""The log of a clip's analysis: everything that was expensive to compute, from which every result follows.

JSON lines: a header, then one line per analyzed frame with its time, boxes, landmarks, detection confidence,
8 x 8 grey values, portrait, quality and probabilities of each face. An interrupted run resumes from it, and
`replay` tracks and smooths again without reading the clip.
"""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b64decode, b64encode
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, fields
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import mien
from mien.errors import UsageError, reason
from mien.geometry import Detection
from mien.images.quality import Quality
from mien.models.card import Head, Limits, read_head
from mien.models.onnx import OnnxClassifier
from mien.movements.measures import NAMES, Movements
from mien.video.frame import FramePosition
from mien.video.options.clips import FaceSelection
from mien.video.results import AnalyzedFrame, FrameResult
from mien.video.smoothing import Smoothing
from mien.video.stages.select import FaceSelector
from mien.video.stages.smooth import PartOf, SmoothStage
from mien.video.stages.track import FrameRecord, final_ids, track_record
from mien.video.tracking.people import People
from mien.video.tracking.portrait import portrait_from
from mien.video.tracking.tracker import Tracker

_NAME = "mien video log"
FORMAT = f"{_NAME} 3"
_QUALITY = tuple(field.name for field in fields(Quality))
_HASHED_BYTES = 1 << 20
_SEAM_TOLERANCE_S = 1e-4  # rounding, as of `Video.frames`


class LogWriter:
    """Appends records to a log.

    Args:
        path: the log, which is replaced.
        header: source, model, options, versions.
        size: resume: keep so many bytes of the log, and append behind them.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path, header: dict[str, Any], *, size: int | None = None) -> None:
        try:
            self._file: IO[bytes] = path.open("wb" if size is None else "r+b")
            if size is not None:
                self._file.truncate(size)
                self._file.seek(size)
            else:
                self._write([header])
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {reason(error)}. Choose another place.") from error

    def append(self, batch: Sequence[FrameRecord]) -> None:
        """Write a batch of frames, behind whose last one a run can resume."""
        lines = [_to_json(record) for record in batch]
        lines[-1]["checkpoint"] = True
        self._write(lines)

    def append_line(self, line: dict[str, Any]) -> None:
        """Write a frame of another log, as `Log.lines` yields it."""
        self._write([line])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, lines: list[dict[str, Any]]) -> None:
        self._file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        self._file.flush()


class Log:
    """A log that was written before. Its last line may be torn, as after a power cut.

    Attributes:
        header: what the records are of: source, model, options, versions.
        size: bytes up to the last frame behind which a run can resume, or of the header alone.
        last: the record of that frame, with the one before it; None where there is none.

    Raises:
        UsageError: the file is no log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = self._lines()
        first = next(lines, None)
        form = first[1].get("format") if first else None
        if first is None or form != FORMAT:
            if str(form).startswith(_NAME):
                raise UsageError(
                    f"{path} has the format {form!r} of another version of mien; this one reads {FORMAT!r}. "
                    "Analyze the clip again, with --overwrite."
                )
            raise UsageError(f"{path} is not a log of a clip: it does not begin with {FORMAT!r}.")
        lines.close()
        self._head_size, self.header = first

    @property
    def size(self) -> int:
        return self._end[0]

    @property
    def last(self) -> tuple[FramePosition | None, FrameRecord] | None:
        return self._end[1]

    def check(self, header: dict[str, Any]) -> None:
        """Compare the header with that of a run that is to resume.

        Raises:
            UsageError: the log is of another clip, model or options.
        """
        now = json.loads(json.dumps(header))
        for name in now:
            if self.header.get(name) != now[name]:
                what = "clip" if name in ("source", "file") else name
                raise UsageError(
                    f"{now['source']} cannot be resumed: the {what} has changed since {self._path} was "
                    "written. Begin anew with --overwrite."
                )

    def records(self, *, whole: bool = True) -> Iterator[FrameRecord]:
        """Yields the records in order; if not `whole`, those up to `size` alone."""
        lines = self._lines()
        next(lines, None)
        for end, line in lines:
            if not whole and end > self.size:
                return
            yield _from_json(line)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yields the frames as they are in the file."""
        return (line for _, line in islice(self._lines(), 1, None))

    def takes_over_s(self, seam_s: float) -> float:
        """The time of the first frame from `seam_s` on where the detector ran; infinity for no such frame.

        If it ran on none of them, the first frame counts.
        """
        first_s = math.inf
        for line in self.lines():
            if line["time_s"] >= seam_s - _SEAM_TOLERANCE_S:
                if line["detected"]:
                    return float(line["time_s"])
                first_s = min(first_s, line["time_s"])
        return first_s

    def positions(self) -> Iterator[FramePosition]:
        """Yields which frames the records are of."""
        for _, line in islice(self._lines(), 1, None):
            yield _position(line)

    @cached_property
    def _end(self) -> tuple[int, tuple[FramePosition | None, FrameRecord] | None]:
        """`size` and `last`, by the log as it is when one of them is first wanted."""
        size, found = self._head_size, None
        before: FramePosition | None = None
        for end, line in islice(self._lines(), 1, None):
            if line.get("checkpoint"):
                size, found = end, (before, line)
            before = _position(line)
        return size, found and (found[0], _from_json(found[1]))

    def _lines(self) -> Generator[tuple[int, dict[str, Any]], None, None]:
        """The lines that are whole, each with the position of its end in bytes."""
        end = 0
        try:
            with self._path.open("rb") as file:
                for line in file:
                    end += len(line)
                    if not line.endswith(b"\n"):
                        return
                    yield end, json.loads(line)
        except ValueError:
            return
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {reason(error)}.") from error


def replay(
    path: str | Path,
    *,
    smoothing: Smoothing | None = None,
    faces: FaceSelection | None = None,
    tracker: Tracker | None = None,
) -> Iterator[FrameResult]:
    """Yields the results of a log, tracked and smoothed again without reading the clip.

        >>> for result in replay("clip.log", smoothing=Smoothing(0.5)):
        ...     print(result.time_s, [face.top for face in result.faces])

    With no options, they equal the results of the run that wrote the log.

    Args:
        path: the log, as `mien.analyze_video(..., log=path)` writes it.
        smoothing: how to smooth.
        faces: ``"all"``, or ``"biggest"`` for one person at a time.
        tracker: how to track, such as ``Tracker(lost_s=5, people=People())``; it must be new.

    Raises:
        UsageError: the file is not a log.
    """
    details = replay_details(path, smoothing=smoothing, faces=faces, tracker=tracker)
    yield from (analyzed.result for analyzed in details)


def replay_details(
    path: str | Path,
    *,
    smoothing: Smoothing | None = None,
    faces: FaceSelection | None = None,
    tracker: Tracker | None = None,
    part_of: PartOf | None = None,
) -> Iterator[AnalyzedFrame]:
    """Yields the results of a log with the thumbnails in it; arguments and errors as of `replay`.

    Nothing is smoothed from one part of a person's time to another, as `part_of` divides it.
    """
    log = Log(Path(path))
    header = log.header
    options = header["options"]
    tracker = tracker or Tracker(people=People(recognize=options["people"] != "off"))
    stage = SmoothStage(
        header["source"],
        head_of(header),
        smoothing or Smoothing(**options["smoothing"]),
        live=options["live"],
        selector=FaceSelector(faces or options["faces"]),
        part_of=part_of,
        limits={name: (low, high) for name, (low, high) in header["model"]["limits"].items()},
    )
    for record in log.records():
        yield from stage.feed(track_record(tracker, record))
    yield from stage.finish(final_ids(tracker))


def join_logs(paths: Sequence[Path], seams_s: Sequence[float], out: Path) -> None:
    """Writes the logs of ranges of one clip, which overlap, as one log.

    Each log takes over from the one before at the first frame, from its seam on, on which the detector ran.
    Frames keep the numbers that they have in the first log.

    Args:
        paths: the logs, in order.
        seams_s: when each but the first takes over.
        out: the log to write.

    Raises:
        UsageError: a file is not a log, or `out` cannot be written.
    """
    logs = [Log(path) for path in paths]
    starts_s = [-math.inf, *(log.takes_over_s(seam_s) for log, seam_s in zip(logs[1:], seams_s, strict=True))]
    shift, at_seam = 0, None
    with closing(LogWriter(out, logs[0].header)) as writer:
        for i, (log, start_s) in enumerate(zip(logs, starts_s, strict=True)):
            end_s, number_at_end = min(starts_s[i + 1 :], default=math.inf), None
            for line in log.lines():
                if line["time_s"] < start_s:
                    continue
                if at_seam is not None:  # a range counts broken frames before it, which are in no log
                    shift, at_seam = at_seam - line["frame"], None
                line["frame"] += shift
                if line["time_s"] >= end_s:
                    number_at_end = line["frame"] if line["time_s"] == end_s else None
                    break
                writer.append_line(line)
            at_seam = number_at_end


def head_of(header: dict[str, Any]) -> Head:
    """The head that made the predictions of a log, from its header."""
    return read_head(header["model"]["head"])


def log_header(
    source: str, classifier: OnnxClassifier, limits: Limits, options: dict[str, Any]
) -> dict[str, Any]:
    """The header of a log: which clip, analyzed by which model, how, and by which version of mien."""
    model = {"name": classifier.name, "sha256": classifier.card.sha256, "head": asdict(classifier.head)}
    model["limits"] = {name: list(ends) for name, ends in limits.items()}
    file = _file_facts(Path(source))
    return {
        "format": FORMAT,
        "mien": mien.__version__,
        "source": source,
        "file": file,
        "model": model,
        "options": options,
    }


def _file_facts(file: Path) -> dict[str, Any] | None:
    """What shows whether a clip's file is still the same; None for cameras and streams."""
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        start = hashlib.sha256(opened.read(_HASHED_BYTES)).hexdigest()
    status = file.stat()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "sha256_of_first_mib": start}


def _to_json(record: FrameRecord) -> dict[str, Any]:
    position, faces = record.position, []
    for i, detection in enumerate(record.detections):
        points = detection.keypoints
        face: dict[str, Any] = {
            "box": [float(value) for value in detection.box],
            "confidence": float(detection.confidence),
            "keypoints": None if points is None else _numbers(points),
            "small": _text(record.small[i].tobytes()),
            "quality": [getattr(record.qualities[i], name) for name in _QUALITY],
            "probabilities": _numbers(record.probabilities[i]),
        }
        if (portrait := record.portraits[i]) is not None:
            face["portrait"] = _text(portrait.raw.tobytes())
        if record.movements is not None:
            face["movements"] = _movements_to_json(record.movements[i])
        if i in record.thumbnails:
            face["thumbnail"] = _text(record.thumbnails[i])
        faces.append(face)
    return {
        "frame": position.index,
        "time_s": position.time_s,
        "pts": position.pts,
        "detected": record.detected,
        "cut": record.cut,
        "faces": faces,
        **({} if record.movements is None else {"movements": True}),
    }


def _movements_to_json(movements: Movements | None) -> dict[str, float | None] | None:
    """In full precision, without the landmarks."""
    return None if movements is None else {name: getattr(movements, name) for name in NAMES}


def _from_json(line: dict[str, Any]) -> FrameRecord:
    faces = line["faces"]
    return FrameRecord(
        position=_position(line),
        detections=tuple(_detection(face) for face in faces),
        detected=line["detected"],
        cut=line["cut"],
        small=tuple(np.frombuffer(b64decode(face["small"]), np.uint8).reshape(8, 8) for face in faces),
        portraits=tuple(
            portrait_from(np.frombuffer(b64decode(face["portrait"]), np.uint8))
            if "portrait" in face
            else None
            for face in faces
        ),
        qualities=tuple(Quality(*face["quality"]) for face in faces),
        probabilities=np.array([face["probabilities"] for face in faces], np.float32),
        thumbnails={i: b64decode(face["thumbnail"]) for i, face in enumerate(faces) if "thumbnail" in face},
        movements=tuple(face["movements"] and Movements(**face["movements"]) for face in faces)
        if "movements" in line
        else None,
    )


def _position(line: dict[str, Any]) -> FramePosition:
    return FramePosition(line["frame"], line["time_s"], line["pts"])


def _detection(face: dict[str, Any]) -> Detection:
    points = face["keypoints"]
    keypoints = None if points is None else np.array(points, np.float32).reshape(-1, 2)
    return Detection(tuple(face["box"]), face["confidence"], keypoints)


def _numbers(values: NDArray[np.float32]) -> list[float]:
    """Nine significant digits bring a float32 back exactly."""
    return [float(f"{value:.9g}") for value in values.ravel().tolist()]


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")
