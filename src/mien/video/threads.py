"""Stages in threads of their own, so that decoding, detection and drawing share the machine's cores."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mien.errors import ImageError

T = TypeVar("T")


@dataclass
class Dropped:
    """How many items were thrown away because they came faster than they were taken."""

    count: int = 0


class _Shelf(Generic[T]):
    """Holds a few items between the thread that makes them and the one that takes them."""

    def __init__(self, room: int, dropped: Dropped | None) -> None:
        self._items: deque[T] = deque()
        self._room = room
        self._dropped = dropped
        self._turn = threading.Condition()
        self._done = self._closed = False
        self._error: BaseException | None = None

    def fill(self, source: Iterable[T]) -> None:
        """Put everything on the shelf, waiting for room, until it is closed."""
        try:
            for item in source:
                if not self.put(item):
                    return
        except BaseException as error:  # handed to whoever takes the items
            self._error = error
        finally:
            if isinstance(source, Generator):
                source.close()  # here, in the thread that ran it
            self.end()

    def put(self, item: T) -> bool:
        """Put an item on the shelf, waiting for room; returns False where the shelf was closed."""
        with self._turn:
            if self._dropped is not None and len(self._items) >= self._room:
                self._items.popleft()
                self._dropped.count += 1
            self._turn.wait_for(lambda: len(self._items) < self._room or self._closed)
            self._items.append(item)
            self._turn.notify_all()
            return not self._closed

    def end(self) -> None:
        """Say that no more items come."""
        with self._turn:
            self._done = True
            self._turn.notify_all()

    def take(self, patience_s: float | None) -> Generator[T, None, None]:
        while True:
            with self._turn:
                if not self._turn.wait_for(lambda: self._items or self._done, patience_s):
                    raise ImageError(f"no frame came for {patience_s:g} s. Check its plug or its sender.")
                if not self._items:
                    break
                item = self._items.popleft()
                self._turn.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        with self._turn:
            self._closed = True
            self._turn.notify_all()


def prefetch(
    source: Iterable[T], *, room: int = 4, dropped: Dropped | None = None, patience_s: float | None = None
) -> Generator[T, None, None]:
    """Yields what `source` yields, made ahead in another thread, at most `room` items.

    With `dropped`, an item that finds no room takes the place of the oldest, which is counted there: for
    live frames, of which the newest matters. An error of `source` is raised here, behind its last item.
    Closing the generator ends the thread, after the item that it is at.

    Raises:
        ImageError: nothing came for `patience_s`.
    """
    shelf: _Shelf[T] = _Shelf(room, dropped)
    thread = threading.Thread(target=shelf.fill, args=(source,), name="mien-prefetch", daemon=True)
    thread.start()
    try:
        yield from shelf.take(patience_s)
    finally:
        shelf.close()
        if patience_s is None:  # a live source may be stuck for good; the thread is a daemon
            thread.join()


class BackgroundWorker(Generic[T]):
    """Hands items to `work` in another thread, at most `room` ahead of it.

    An error of `work` is raised at the next `put` or `close`; items behind it are let go.
    """

    def __init__(self, work: Callable[[T], None], *, room: int = 8) -> None:
        self._work = work
        self._shelf: _Shelf[T] = _Shelf(room, None)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mien-background", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over the next item, waiting for room."""
        if not self._shelf.put(item):
            self._raise()

    def close(self) -> None:
        """Finish what was handed over and end the thread."""
        self._shelf.end()
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        try:
            for item in self._shelf.take(None):
                self._work(item)
        except BaseException as error:  # raised to whoever hands over the next one
            self._error = error
        finally:
            self._shelf.close()
