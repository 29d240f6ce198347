"""Reads images and predicts their faces: what each worker process, or each actor of Ray, holds."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from mien.batch.sources import SourceFile, is_store, read_bytes
from mien.errors import MienError, UsageError
from mien.images.decode import DecodedImage, read_image
from mien.inference.analyzer import Analyzer
from mien.inference.face import Face
from mien.inference.sinks import warnings_cell
from mien.models.registry import DEFAULT
from mien.names import shown_text

# Files of a store that are fetched at once, ahead of the one that is analyzed.
_AHEAD = 8


# Called with an image, its faces and its source.
OnImage: TypeAlias = Callable[[DecodedImage, Sequence[Face], str], None]


@dataclass(frozen=True)
class ReadOptions:
    """What decides about the rows of a data set.

    Attributes:
        model: a shipped name, or the path of an ONNX file with its card beside it.
        labels, align: as `Analyzer` takes them.
        detector_threshold: as `BlazeFace` takes it.
        crops: treat each image as one cropped face, without detection.
        movements: as `Analyzer` takes it.
        device: where the model runs; it does not change the rows beyond rounding.
    """

    model: str = DEFAULT
    labels: str | None = None
    align: bool = False
    detector_threshold: float = 0.5
    crops: bool = False
    device: str = "auto"
    movements: bool = False

    def analyzer(self, threads: int | None = 1, *, model_threads: int | None = 1) -> Analyzer:
        """An analyzer with these options.

        Args:
            threads: of the detector, for tiles of large images; one per core for None.
            model_threads: of the model; ONNX Runtime's choice for None.

        Raises:
            UnknownModel, CardError, ModelError, UsageError: as `Analyzer` does.
        """
        from mien.detection.blazeface import BlazeFace

        detector = BlazeFace(threads=threads, threshold=self.detector_threshold)
        options: dict[str, Any] = {"labels": self.labels, "align": self.align, "device": self.device}
        options["movements"] = self.movements
        return Analyzer(self.model, detector, threads=model_threads, **options)


@dataclass(frozen=True)
class ImageRows:
    """The rows of some files as an Arrow table, and how much was read."""

    table: Any
    files: int
    faces: int
    failures: tuple[tuple[str, str], ...]


class ImageWorker:
    """Reads batches of files, one after the other, on one thread.

    Args:
        options: of the data set.
        on_image: called with each image, its faces and its source.
    """

    def __init__(self, options: ReadOptions, on_image: OnImage | None = None) -> None:
        self._options, self._on_image = options, on_image
        self._analyzer = options.analyzer()
        self._schema = _schema(self._analyzer.classifier.head, options)

    def read(self, files: Sequence[SourceFile], numbers: Sequence[int]) -> ImageRows:
        """The rows of the files, in their order; `numbers` are those of `DataSet.number_of`.

        The faces of several images are classified together. Whatever is wrong with a file stands in its row.
        """
        facts: list[dict[str, Any]] = [
            {
                "source": file.source,
                "file_id": f"{number:016x}",
                "bytes": file.bytes,
                "version": file.version,
            }
            for file, number in zip(files, numbers, strict=True)
        ]
        try:
            faces = self._faces(files, facts)
        except UsageError:  # an annotated image cannot be written
            raise
        except Exception:  # one of them stops the model or the detector: which one?
            faces = [self._faces_of_one(file, fact) for file, fact in zip(files, facts, strict=True)]
        return self.rows(facts, faces)

    def rows(self, facts: list[dict[str, Any]], faces: Sequence[Sequence[Face]]) -> ImageRows:
        """The rows of files by what is known of each and its faces."""
        import pyarrow as pa

        rows = []
        for fact, found in zip(facts, faces, strict=True):
            rows += [
                {**fact, "face_id": i, **face.to_row(), "warnings": warnings_cell(face)}
                for i, face in enumerate(found, start=1)
            ] or [fact]
        plain = list(map(plain_row, rows))
        failures = tuple((fact["source"], fact["message"]) for fact in facts if "error" in fact)
        table = pa.Table.from_pylist(plain, self._schema)
        return ImageRows(table, len(facts), sum(map(len, faces)), failures)

    def _faces(self, files: Sequence[SourceFile], facts: list[dict[str, Any]]) -> list[Sequence[Face]]:
        """The faces of each file; none of one that cannot be read, and why in its facts."""
        decoded = (
            _decode(file, content, fact)
            for file, content, fact in zip(files, _contents(files), facts, strict=True)
        )

        def report(place: int, image: DecodedImage, faces: Sequence[Face]) -> None:
            if self._on_image:
                self._on_image(image, faces, files[place].source)

        return faces_of(
            self._analyzer, decoded, crops=self._options.crops, report=report if self._on_image else None
        )

    def _faces_of_one(self, file: SourceFile, fact: dict[str, Any]) -> Sequence[Face]:
        for name in ("error", "message", "width", "height"):
            fact.pop(name, None)
        try:
            return self._faces([file], [fact])[0]
        except Exception as error:  # no file may stop the others; the row names the error
            fact |= failure_of(error)
            return ()


def faces_of(
    analyzer: Analyzer,
    images: Iterable[DecodedImage | None],
    *,
    crops: bool = False,
    report: Callable[[int, DecodedImage, Sequence[Face]], None] | None = None,
) -> list[Sequence[Face]]:
    """The faces of each image, none for None. Few images are in memory; the faces of several share a run.

    Args:
        analyzer: finds and reads the faces.
        images: decoded one by one while this runs; with `crops` all of them are kept.
        crops: treat each image as one cropped face, without detection.
        report: called with the place, the image and its faces.
    """
    result: list[Sequence[Face]] = []
    waiting: deque[tuple[int, DecodedImage | None]] = deque()

    def present() -> Iterator[DecodedImage]:
        for place, image in enumerate(images):
            result.append(())
            if image is not None:
                waiting.append((place, image if report else None))
                yield image

    found: Iterable[Sequence[Face]]
    if crops:
        found = [[face] for face in analyzer.analyze_crops(present())]
    else:
        found = analyzer.analyze_many(present())
    for faces in found:
        place, image = waiting.popleft()
        result[place] = faces
        if report and image is not None:
            report(place, image, faces)
    return result


def joined(several: Sequence[ImageRows]) -> ImageRows:
    """The rows of several batches as one."""
    import pyarrow as pa

    return ImageRows(
        pa.concat_tables(rows.table for rows in several),
        sum(rows.files for rows in several),
        sum(rows.faces for rows in several),
        tuple(failure for rows in several for failure in rows.failures),
    )


def unread_rows(options: ReadOptions, file: SourceFile, number: int, message: str) -> ImageRows:
    """The row of a file that ended the process that read it."""
    import pyarrow as pa

    head = options.analyzer().classifier.head
    fact = {"source": file.source, "file_id": f"{number:016x}", "bytes": file.bytes, "version": file.version}
    fact |= {"error": "ProcessEnded", "message": message}
    schema = _schema(head, options)
    return ImageRows(pa.Table.from_pylist([plain_row(fact)], schema), 1, 0, ((file.source, message),))


class _Named(io.BytesIO):
    """Encoded bytes with a name for messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def _contents(files: Sequence[SourceFile]) -> Iterator[bytes | Exception]:
    """The content of each file, or why it cannot be read; those of a store are fetched ahead."""
    if not any(is_store(file.location) for file in files):
        yield from map(_content, files)
        return
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="mien-fetch") as pool:
        waiting: deque[Future[bytes | Exception]] = deque()
        for file in files:
            waiting.append(pool.submit(_content, file))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _content(file: SourceFile) -> bytes | Exception:
    try:
        return read_bytes(file)
    except (OSError, MienError) as error:
        return error


def _decode(file: SourceFile, content: bytes | Exception, fact: dict[str, Any]) -> DecodedImage | None:
    """The image, its size and hash in `fact`; None where it cannot be read, and why in `fact`."""
    try:
        if isinstance(content, Exception):
            raise content
        fact["sha256"] = hashlib.sha256(content).hexdigest()
        image = read_image(_Named(content, file.source))
    except (OSError, ValueError, MemoryError, MienError) as error:
        fact |= failure_of(error)
        return None
    fact |= {"width": image.width, "height": image.height}
    return image


def failure_of(error: BaseException) -> dict[str, str]:
    """`error` and `message` of a row."""
    kind = "OSError" if isinstance(error, OSError) else type(error).__name__
    return {"error": kind, "message": shown_text(str(error) or kind)}


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with bytes of names that are not Unicode escaped: Parquet takes none."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def _schema(head: Any, options: ReadOptions) -> Any:
    """The columns of the rows; imported late: photos alone do without the tables of clips."""
    from mien.batch.dataset import schema_of

    return schema_of(head, movements=options.movements)
