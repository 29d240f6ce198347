"""Work put aside to a thread of its own, in order: drawing and encoding, while the next faces are read."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BackgroundWorker(Generic[T]):
    """Hands items to `work` in another thread, at most `room` ahead of it.

    An error of `work` is raised at the next `put`, `wait` or `close`; items behind it are let go.
    """

    def __init__(self, work: Callable[[T], None], *, room: int = 8) -> None:
        self._work, self._room = work, room
        self._items: deque[T] = deque()
        self._busy = self._closed = False
        self._error: BaseException | None = None
        self._turn = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="mien-aside", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over the next item, waiting for room."""
        with self._turn:
            self._turn.wait_for(lambda: len(self._items) < self._room or self._error)
            self._raise()
            self._items.append(item)
            self._turn.notify_all()

    def wait(self) -> None:
        """Wait until everything that was handed over is done."""
        with self._turn:
            self._turn.wait_for(lambda: (not self._items and not self._busy) or self._error)
            self._raise()

    def close(self) -> None:
        """Finish what was handed over and end the thread."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            self._items.clear()
            raise error

    def _run(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._items or self._closed)
                if not self._items:
                    return
                item, self._busy = self._items.popleft(), True
                self._turn.notify_all()
            try:
                self._work(item)
            except BaseException as error:  # raised to whoever hands over the next one
                with self._turn:
                    self._error, self._closed = error, True
                    self._items.clear()
            with self._turn:
                self._busy = False
                self._turn.notify_all()
