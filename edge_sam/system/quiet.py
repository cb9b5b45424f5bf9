"""Silence native libraries."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_LOCK = threading.RLock()
"""Without it, two threads that replace the same descriptor would leave it closed."""


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Hide what native libraries (libpng, OpenVINO, FFmpeg) write to standard error, but not our own lines."""
    with _LOCK:
        try:
            kept = os.dup(2)
        except OSError:  # Standard error is closed already.
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            with os.fdopen(os.dup(kept), "w", buffering=1) as ours, contextlib.redirect_stderr(ours):
                yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
