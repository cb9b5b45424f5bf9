"""Times in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


def elapsed_ms(start: float, end: float | None = None) -> float:
    """Return the milliseconds between two readings of `time.perf_counter`. Default end: now."""
    return ((time.perf_counter() if end is None else end) - start) * 1000


@contextmanager
def stage(timings: dict[str, float], name: str) -> Iterator[None]:
    """Add the block's time to `timings[name]`. A block that raises is not counted."""
    start = time.perf_counter()
    yield
    timings[name] = timings.get(name, 0.0) + elapsed_ms(start)
