"""Keeping native libraries quiet."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_ONE = threading.RLock()
"""Two threads that exchange the same descriptor would leave it closed for good."""


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keep native libraries (libpng, OpenVINO, FFmpeg) from writing to standard error beside our own lines."""
    with _ONE:
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
