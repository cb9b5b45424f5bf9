"""Ctrl-C and SIGTERM as a request to stop."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Tells whether a signal has asked to stop.

    Attributes
    ----------
    signal : int or None
        Number of the first signal. None if there was none.
    """

    signal: int | None = None

    def __call__(self) -> bool:
        """Return whether a signal has come."""
        return self.signal is not None


@contextlib.contextmanager
def stop_on_signal(on_request: Callable[[], None]) -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop. The second ends the process at once.

    The second signal skips Python's own shutdown, which would wait for a full pipe that nobody reads, or for a pool of
    processes. Use it in the main thread. The earlier handlers return when the block ends.

    Parameters
    ----------
    on_request : callable
        Called once, inside the signal handler, at the first signal.

    Yields
    ------
    StopRequest
    """
    request = StopRequest()

    def handle(number: int, _: FrameType | None) -> None:
        if request():
            from rich.console import Console

            Console(stderr=True).show_cursor()  # A progress bar hides it.
            os._exit(128 + number)
        request.signal = number
        on_request()

    earlier = {number: signal.signal(number, handle) for number in _STOPPING}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
