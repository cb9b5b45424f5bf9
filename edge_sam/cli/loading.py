"""What the commands share that load a model and segment with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge_sam import Predictor

ModelOption = Annotated[str, typer.Option(help="Model name or bundle folder.")]
RuntimeOption = Annotated[
    str, typer.Option(help="auto, onnxruntime, openvino, cuda or tensorrt; with a device: openvino:GPU, cuda:1.")
]
PrecisionOption = Annotated[
    str, typer.Option(help="auto, smallest, or a precision of the bundle, like fp32, w16 or int8.")
]
ThreadsOption = Annotated[int | None, typer.Option(help="Threads for one inference.")]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Fail when the runtime does, instead of taking the next one.")
]


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
