"""What the commands share that load a model and segment with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sam import Predictor


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keep native libraries (libpng, OpenVINO) from writing to standard error beside our own line."""
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


def model_facts(predictor: Predictor) -> dict[str, str]:
    """Say which model answered, and on what."""
    return {
        "model": predictor.bundle.manifest.name,
        "precision": predictor.precision,
        "runtime": predictor.runtime,
        "provider": predictor.provider,
    }
