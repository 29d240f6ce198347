"""Waiting images share a batch, each request gets its own results, and too many are refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from mien.errors import ModelError
from mien.images.decode import DecodedImage, read_image
from mien.inference.face import Face
from mien.inference.sinks import ImageResult, ReadFailure
from mien.serve import batching
from mien.serve.batching import ImageOutcome, WorkerPool
from mien.serve.errors import ServiceError
from mien.serve.uploads import UploadedImage


def gray_png(level: int, size: tuple[int, int] = (8, 6)) -> bytes:
    """An image of one gray level, by which an analyzer recognizes it."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", size, level).save(buffer, "PNG")
    return buffer.getvalue()


class Levels:
    """An analyzer that finds one face per image, at the image's gray level; its gate must be opened."""

    def __init__(self, *, gate: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        if not gate:
            self.gate.set()

    def analyze_label_sets(self, sources: list[Any]) -> list[dict[str, list[Face]]]:
        levels = [int(image.pixels[0, 0, 0]) for image in sources]
        self.batches.append(levels)
        self.entered.release()
        assert self.gate.wait(30)
        return [
            {
                f"labels-{i}": [Face((level, 0, 1, 1), 0.9, {f"emotion-{i}": 1.0, "other": 0.0})]
                for i in (0, 1)
            }
            for level in levels
        ]


@contextmanager
def pool(
    analyzer: Levels, *, workers: int = 1, max_waiting: int = 100, **options: Any
) -> Iterator[WorkerPool]:
    made = WorkerPool(
        analyzer,
        workers=workers,
        max_waiting=max_waiting,
        max_pixels=1000,
        **options,
    )
    made.start()
    try:
        yield made
    finally:
        made.stop()


def uploads(*levels: int) -> list[UploadedImage]:
    return [UploadedImage(gray_png(level), f"{level}.png") for level in levels]


def levels_of(outcomes: list[ImageOutcome]) -> list[float]:
    return [outcome.result.faces[0].box[0] for outcome in outcomes if isinstance(outcome.result, ImageResult)]


async def entered(analyzer: Levels) -> None:
    """Until a worker has started a batch."""
    assert await asyncio.to_thread(analyzer.entered.acquire, timeout=30)


async def until(condition: Any) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came to that")


def test_each_request_gets_its_own_images_in_its_order() -> None:
    async def main() -> None:
        with pool(Levels(), workers=3) as made:
            requests = [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(20)]
            outcomes = await asyncio.gather(
                *(made.analyze(uploads(*levels), "labels-0") for levels in requests)
            )
        assert [levels_of(outcome) for outcome in outcomes] == requests

    asyncio.run(main())


def test_requests_that_wait_at_the_same_time_share_a_batch() -> None:
    async def main() -> None:
        analyzer = Levels(gate=True)
        with pool(analyzer) as made:
            first = asyncio.create_task(made.analyze(uploads(1), "labels-0"))
            await entered(analyzer)
            others = [asyncio.create_task(made.analyze(uploads(level), "labels-0")) for level in range(2, 8)]
            await until(lambda: made.waiting == 6)
            analyzer.gate.set()
            outcomes = await asyncio.gather(first, *others)
        assert analyzer.batches == [[1], [2, 3, 4], [5, 6], [7]]
        assert [levels_of(outcome) for outcome in outcomes] == [[level] for level in range(1, 8)]

    asyncio.run(main())


def test_a_batch_leaves_work_for_the_other_workers_and_has_at_most_eight_images() -> None:
    async def main() -> None:
        analyzer = Levels(gate=True)
        with pool(analyzer, workers=2) as made:
            blocked = [asyncio.create_task(made.analyze(uploads(level), "labels-0")) for level in (1, 2)]
            await entered(analyzer)
            await entered(analyzer)
            waiting = asyncio.create_task(made.analyze(uploads(*range(10, 40)), "labels-0"))
            await until(lambda: made.waiting == 30)
            analyzer.gate.set()
            await asyncio.gather(*blocked, waiting)
        sizes = sorted(len(batch) for batch in analyzer.batches[2:])
        assert (sizes[0], sizes[-1]) == (1, 8)  # the last few are split too

    asyncio.run(main())


def test_frames_go_before_images() -> None:
    async def main() -> None:
        analyzer, order = Levels(gate=True), []
        with pool(analyzer) as made:
            first = asyncio.create_task(made.analyze(uploads(1), "labels-0"))
            await entered(analyzer)
            image = asyncio.create_task(made.analyze(uploads(2), "labels-0"))
            await until(lambda: made.waiting == 1)
            frame = asyncio.create_task(made.run(lambda: order.append(len(analyzer.batches))))
            await asyncio.sleep(0)  # let it get in line
            analyzer.gate.set()
            await asyncio.gather(first, image, frame)
        assert order == [1]  # one share had begun, the second not

    asyncio.run(main())


def test_cancelled_requests_are_not_analyzed() -> None:
    async def main() -> None:
        analyzer = Levels(gate=True)
        with pool(analyzer) as made:
            first = asyncio.create_task(made.analyze(uploads(1), "labels-0"))
            await entered(analyzer)
            given_up = asyncio.create_task(made.analyze(uploads(2), "labels-0"))
            await until(lambda: made.waiting == 1)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            kept = asyncio.create_task(made.analyze(uploads(3), "labels-0"))
            await until(lambda: made.waiting == 2)
            analyzer.gate.set()
            await asyncio.gather(first, kept)
        assert [level for batch in analyzer.batches for level in batch] == [1, 3]

    asyncio.run(main())


def test_too_many_images_are_refused_at_once_with_the_time_to_try_again() -> None:
    async def main() -> None:
        analyzer = Levels(gate=True)
        with pool(analyzer, max_waiting=3) as made:
            first = asyncio.create_task(made.analyze(uploads(1), "labels-0"))
            await entered(analyzer)
            waiting = asyncio.create_task(made.analyze(uploads(2, 3), "labels-0"))
            await until(lambda: made.waiting == 2)
            with pytest.raises(ServiceError) as refused:
                await made.analyze(uploads(4, 5), "labels-0")
            assert made.waiting == 2  # neither of the two got in line
            analyzer.gate.set()
            assert levels_of(await waiting) == [2, 3]
            await first
        assert refused.value.status == 503
        assert refused.value.retry_after_s is not None
        assert int(refused.value.response().headers["retry-after"]) >= 1

    asyncio.run(main())


def test_an_unreadable_image_does_not_affect_the_others() -> None:
    async def main() -> None:
        with pool(Levels()) as made:
            mixed = [*uploads(1), UploadedImage(b"not an image", "notes.txt"), *uploads(2)]
            mixed.append(UploadedImage(gray_png(3, (100, 100)), "large.png"))
            outcomes = await made.analyze(mixed, "labels-0")
        assert [type(outcome.result) for outcome in outcomes] == [
            ImageResult, ReadFailure, ImageResult, ReadFailure,
        ]  # fmt: skip
        assert [outcome.too_large for outcome in outcomes] == [False, False, False, True]
        assert isinstance(outcomes[1].result, ReadFailure)
        assert outcomes[1].result.error.startswith("notes.txt")
        assert levels_of(outcomes) == [1, 2]

    asyncio.run(main())


def test_images_of_all_label_sets_share_a_batch_and_each_gets_its_own_labels() -> None:
    async def main() -> None:
        analyzer = Levels(gate=True)
        with pool(analyzer) as made:
            first = asyncio.create_task(made.analyze(uploads(1), "labels-1"))
            await entered(analyzer)
            others = [
                asyncio.create_task(made.analyze(uploads(level), f"labels-{level % 2}"))
                for level in range(2, 10)
            ]
            await until(lambda: made.waiting == 8)
            analyzer.gate.set()
            outcomes = [outcome for (outcome,) in await asyncio.gather(first, *others)]
        assert analyzer.batches == [[1], [2, 3, 4, 5], [6, 7], [8], [9]]
        assert levels_of(outcomes) == list(range(1, 10))
        for level, outcome in enumerate(outcomes, start=1):
            assert isinstance(outcome.result, ImageResult)
            assert outcome.result.faces[0].top[0] == f"emotion-{level % 2}"

    asyncio.run(main())


def test_a_failing_model_fails_the_whole_batch_and_the_worker_continues() -> None:
    class Fails(Levels):
        def analyze_label_sets(self, sources: list[Any]) -> list[dict[str, list[Face]]]:
            results = super().analyze_label_sets(sources)
            if len(self.batches) == 1:
                raise ModelError("NaN")
            return results

    async def main() -> None:
        with pool(Fails()) as made:
            with pytest.raises(ModelError):
                await made.analyze(uploads(1, 2), "labels-0")
            assert len(await made.analyze(uploads(3), "labels-0")) == 1

    asyncio.run(main())


def test_waiting_requests_are_cancelled_when_the_workers_stop() -> None:
    async def main() -> None:
        analyzer = Levels(gate=True)
        with pool(analyzer) as made:
            first = asyncio.create_task(made.analyze(uploads(1), "labels-0"))
            await entered(analyzer)
            waiting = asyncio.create_task(made.analyze(uploads(2), "labels-0"))
            await until(lambda: made.waiting == 1)
            stopping = asyncio.create_task(asyncio.to_thread(made.stop))
            await until(lambda: made.waiting == 0)
            analyzer.gate.set()
            await stopping
            assert levels_of(await first) == [1]  # what had begun is finished
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(main())


def test_decoded_images_keep_their_names() -> None:
    seen: list[str] = []

    class Names(Levels):
        def analyze_label_sets(self, sources: list[Any]) -> list[dict[str, list[Face]]]:
            seen.extend(image.source for image in sources if isinstance(image, DecodedImage))
            return super().analyze_label_sets(sources)

    async def main() -> None:
        with pool(Names()) as made:
            await made.analyze(uploads(1), "labels-0")

    asyncio.run(main())
    assert seen == ["1.png"]


class Apart(Levels):
    """An analyzer with which one level fails, and with it every batch that contains it."""

    def analyze_label_sets(self, sources: list[Any]) -> list[dict[str, list[Face]]]:
        results = super().analyze_label_sets(sources)
        if 66 in self.batches[-1]:
            raise RuntimeError("the kernel failed")
        return results


def test_an_image_on_which_the_model_fails_fails_alone() -> None:
    """One bad image made 58 of 160 good requests fail that shared its batch."""

    async def main() -> None:
        analyzer = Apart(gate=True)
        with pool(analyzer) as made:
            first = asyncio.create_task(made.analyze(uploads(1), "labels-0"))
            await entered(analyzer)
            requests = [
                asyncio.create_task(made.analyze(uploads(level), "labels-0")) for level in (2, 66, 3, 4)
            ]
            await until(lambda: made.waiting == 4)
            analyzer.gate.set()
            await first
            outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert [66 in batch for batch in analyzer.batches[:2]] == [False, True]  # it did share a batch
        assert isinstance(outcomes[1], RuntimeError)
        good = [outcome for outcome in outcomes if isinstance(outcome, list)]
        assert [levels_of(outcome) for outcome in good] == [[2], [3], [4]]

    asyncio.run(main())


def test_any_error_of_a_decoder_is_about_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's reader of AVIF raises RuntimeError."""
    read = read_image

    def failing(source: UploadedImage, **options: Any) -> DecodedImage:
        if source.name == "2.png":
            raise RuntimeError("no decoder")
        return read(source, **options)

    monkeypatch.setattr(batching, "read_image", failing)

    async def main() -> list[ImageOutcome]:
        with pool(Levels()) as made:
            return await made.analyze(uploads(1, 2, 3), "labels-0")

    outcomes = asyncio.run(main())
    assert levels_of(outcomes) == [1, 3]
    assert isinstance(outcomes[1].result, ReadFailure)
    assert outcomes[1].result.error == "2.png cannot be decoded: no decoder."


def test_costly_images_do_not_delay_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two JPEGs with 3,000 scans held both workers for over a minute."""
    gate = threading.Event()

    class SlowDecoder:
        def __init__(self, **_: Any) -> None: ...

        def read(self, data: bytes, name: str) -> DecodedImage:
            assert gate.wait(30)
            return DecodedImage(np.full((2, 2, 3), 200, np.uint8), name)

        def stop(self) -> None: ...

    monkeypatch.setattr(batching, "DecoderProcess", SlowDecoder)
    monkeypatch.setattr(batching, "_COSTLY", 1000)

    async def main() -> None:
        with pool(Levels()) as made:
            costly = [
                asyncio.create_task(
                    made.analyze([UploadedImage(gray_png(9, (40, 40)), "large.png")], "labels-0")
                )
                for _ in range(3)
            ]
            await until(lambda: made.waiting == 2)  # one is being decoded
            assert levels_of(await made.analyze(uploads(1), "labels-0")) == [1]
            assert not any(task.done() for task in costly)
            gate.set()
            assert [levels_of(outcomes) for outcomes in await asyncio.gather(*costly)] == [[200]] * 3

    asyncio.run(main())


def test_too_many_costly_images_are_refused_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_COSTLY", 1000)
    monkeypatch.setattr(batching, "_MAX_COSTLY_WAITING", 0)

    async def main() -> None:
        with pool(Levels()) as made:
            with pytest.raises(ServiceError) as refused:
                await made.analyze([UploadedImage(gray_png(9, (40, 40)), "large.png")], "labels-0")
            assert (refused.value.status, refused.value.code) == (503, "busy")
            assert levels_of(await made.analyze(uploads(1), "labels-0")) == [1]

    asyncio.run(main())
