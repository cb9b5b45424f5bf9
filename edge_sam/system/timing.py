"""What stages take, in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


def elapsed_ms(start: float) -> float:
    """Milliseconds since `time.perf_counter` gave `start`."""
    return (time.perf_counter() - start) * 1000


@contextmanager
def stage(timings: dict[str, float], name: str) -> Iterator[None]:
    """Add what the block takes to `timings` under a name; a block that raises is not counted."""
    start = time.perf_counter()
    yield
    timings[name] = timings.get(name, 0.0) + elapsed_ms(start)
