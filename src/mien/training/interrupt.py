"""Ctrl-C and SIGTERM as a wish that the training loop honours at its next step, after saving."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupt:
    """Inside the ``with``, the first Ctrl-C or SIGTERM sets `wanted`; a second one acts as it always did.

    Outside of the main thread, where Python lets nobody handle signals, it only ever says no.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._former: dict[int, signal.Handlers | int | None] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._ask)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.wanted = True
        signal.signal(number, self._former[number])
