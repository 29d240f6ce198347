"""What training changes in its process: signals, and settings that are restored when it ends."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

import torch


@contextmanager
def settings_restored() -> Iterator[None]:
    """Afterwards torch's threads and generator, cuDNN's search and denormal numbers are restored.

    For a program that goes on after a training. It is a decorator too.
    """
    threads = torch.get_num_threads()
    benchmark = torch.backends.cudnn.benchmark
    flushed = denormals_are_flushed()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark
        torch.set_flush_denormal(flushed)


def denormals_are_flushed() -> bool:
    """Whether this thread's processor makes 0 of numbers smaller than `sys.float_info.min`."""
    return sys.float_info.min / 2 == 0.0


class Interrupt:
    """Inside the ``with``, the first Ctrl-C or SIGTERM sets `wanted`; a second one acts as it always did.

    Outside of the main thread, where Python cannot handle signals, `wanted` stays False.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.signal = signal.SIGINT
        self._former: dict[int, signal.Handlers | int | None] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._request)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)

    def _request(self, number: int, _frame: FrameType | None) -> None:
        self.wanted, self.signal = True, signal.Signals(number)
        signal.signal(number, self._former[number])
