"""The queue between two stages: it holds one item."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Slot(Generic[_T]):
    """A queue of one item. What is put in takes the place of what was not fetched in time.

    Parameters
    ----------
    lossless : bool
        Wait until the item before was fetched instead.

    Attributes
    ----------
    dropped : int
        Items that were never fetched.
    """

    def __init__(self, lossless: bool = False) -> None:
        self.dropped = 0
        self._lossless = lossless
        self._items: list[_T] = []
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: _T) -> bool:
        """Put an item in. False: the slot is closed, nothing will be fetched any more."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._closed or not self._items)
            if self._closed:
                return False
            self.dropped += len(self._items)
            self._items = [item]
            self._changed.notify_all()
            return True

    def take(self, timeout: float | None = None) -> _T | None:
        """Fetch the item, waiting for one. None: the slot is closed and empty, or the time was up."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items, timeout)
            item = self._items.pop() if self._items else None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let no more in; what is inside can still be fetched."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
