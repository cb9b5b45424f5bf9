"""The queue between two stages. It holds one item."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Slot(Generic[_T]):
    """A queue of one item. A new item replaces one that was not taken in time.

    Parameters
    ----------
    lossless : bool
        Make `put` wait until the earlier item was taken, instead of replacing it.

    Attributes
    ----------
    dropped : int
        Number of replaced items.
    """

    def __init__(self, lossless: bool = False) -> None:
        self.dropped = 0
        self._lossless = lossless
        self._items: list[_T] = []
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: _T) -> bool:
        """Add an item. Return False if the slot is closed."""
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
        """Wait for an item and take it. Return None if the slot is closed and empty, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items, timeout)
            item = self._items.pop() if self._items else None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Refuse further items. The item inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
