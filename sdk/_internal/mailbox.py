"""Hands items from one thread to another: all of them in order, or the newest."""

import threading
from collections import deque
from collections.abc import Iterator
from queue import Empty, Full
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """A bounded queue between two threads."""

    def __init__(self, size: int, *, newest: bool) -> None:
        """Make an empty one.

        Args:
            size: most items in it.
            newest: when it is full the oldest item makes room; else whoever puts has to wait.
        """
        self._items: deque[Item] = deque()
        self._size, self._newest = size, newest
        self._closed = self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self.dropped = 0
        """Items that have made room."""

    def put(self, item: Item, *, wait: bool = True) -> bool:
        """Add an item.

        Returns:
            False when nobody will get it any more.

        Raises:
            queue.Full: it is full, and may not wait.
        """
        with self._changed:
            full = len(self._items) == self._size
            if full and self._newest:
                self._items.popleft()
                self.dropped += 1
            elif full and not wait:
                raise Full
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._size)
            if not self._stopped:
                self._items.append(item)
            self._changed.notify_all()
            return not self._stopped

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more will be put, because of `error` or the end. What is in it can be had."""
        with self._changed:
            self._closed, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Nothing more will be got: whoever waits goes on at once."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> Item:
        """The next item, waited for.

        Args:
            timeout: seconds to wait at most; None = as long as it takes.

        Raises:
            queue.Empty: no item came in time.
            BaseException: after the last item, once: the error that it was closed with.
            StopIteration: after the last item and that error.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._items or self._closed or self._stopped, timeout
            ):
                raise Empty
            if self._items:
                self._changed.notify_all()
                return self._items.popleft()
            error, self._error = self._error, None
        raise StopIteration if error is None or self._stopped else error

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """As `get`, however long it takes."""
        return self.get()
