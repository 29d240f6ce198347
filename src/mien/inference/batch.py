"""Many images one after the other, decoded and analyzed on several threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mien.errors import ImageError
from mien.images.decode import DecodedImage, read_image
from mien.inference.analyzer import Analyzer
from mien.inference.sinks import ImageResult, ReadFailure


@dataclass(frozen=True)
class AnalyzedImage:
    """A decoded image and what was found in it."""

    image: DecodedImage
    result: ImageResult


def analyze_files(
    analyzer: Analyzer, paths: Iterable[Path], *, crops: bool = False, workers: int = 1
) -> Generator[AnalyzedImage | ReadFailure]:
    """Yields each image with its faces, or why it cannot be read, in the order of the paths.

    Close the generator (`contextlib.closing`) where it may be left early, so that its threads end.

    Args:
        analyzer: finds and reads the faces; used by several threads at once.
        paths: the files.
        crops: treat each image as one cropped face, without detection.
        workers: images analyzed at once; no more than that many wait to be taken.
    """

    def analyze(path: Path) -> AnalyzedImage | ReadFailure:
        try:
            image = read_image(path)
            faces = analyzer.analyze_crops([image]) if crops else analyzer.analyze(image)
        except ImageError as error:
            return ReadFailure(str(path), str(error))
        return AnalyzedImage(image, ImageResult(str(path), image.width, image.height, tuple(faces)))

    with ThreadPoolExecutor(workers, thread_name_prefix="mien-images") as pool:
        waiting: deque[Future[AnalyzedImage | ReadFailure]] = deque()
        for path in paths:
            waiting.append(pool.submit(analyze, path))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
