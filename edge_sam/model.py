"""A model's components, loaded in a runtime."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundle import Bundle, Role
from edge_sam.errors import InputError
from edge_sam.runtimes import BACKENDS, Backend, Session, select

_INPUTS: dict[Role, set[str]] = {
    "encoder": {"image"},
    "mask_encoder": {"image_embedding", "mask"},
    "decoder": {"image_tokens", "point_coords", "point_labels", "token_size"},
}
_MAX_THREADS = 256
"""A runtime starts as many as it is told to, and a slip of the keyboard would take the machine down."""


class Model:
    """Encoder, mask encoder and decoder of a bundle in one precision, loaded in one runtime.

    Parameters
    ----------
    bundle : Bundle
        Where the weights are.
    runtime, precision, threads
        See `edge_sam.load`.

    Attributes
    ----------
    encoder, mask_encoder, decoder : Session
        Tensors in and out as docs/bundle.md has them.
    padding : ndarray of float32, (64, 64, 256)
        Embedding of a frame that is all padding.
    no_mask : ndarray of float32, (256,)
        Added to every image token where a prompt has no mask.
    runtime, precision : str
        What was chosen.

    Raises
    ------
    InputError
        The bundle is damaged or lacks the precision, the runtime is unknown, the number of threads impossible.
    RuntimeUnavailableError
        The runtime is not usable here.
    """

    def __init__(self, bundle: Bundle, runtime: str, precision: str, threads: int | None) -> None:
        if runtime not in ("auto", *BACKENDS):
            raise InputError(f"unknown runtime {runtime!r}; known: auto, {', '.join(BACKENDS)}")
        self.precision = bundle.precisions[0] if precision == "auto" and bundle.precisions else precision
        count = _thread_count(threads)
        self.runtime, backend = select(runtime)
        self.encoder, self.mask_encoder, self.decoder = (
            _open(bundle, role, self.precision, backend, count) for role in _INPUTS
        )
        constants = bundle.constants(self.precision)
        self.padding: NDArray[np.float32] = constants["padding"]
        self.no_mask: NDArray[np.float32] = constants["no_mask"]


def _open(bundle: Bundle, role: Role, precision: str, backend: Backend, threads: int | None) -> Session:
    component = bundle.component(role, precision, backend.MODEL_FORMAT)
    session = backend.open_session(bundle.verified_file(component), threads)
    names = set(session.input_names)
    if names != _INPUTS[role] or names != {tensor.name for tensor in component.inputs}:
        raise InputError(f"bundle {bundle.path}: {component.file} is not the {role}; its inputs are {sorted(names)}")
    return session


def _thread_count(threads: int | None) -> int | None:
    given = os.environ.get("EDGE_SAM_THREADS") if threads is None else str(threads)
    if not given:
        return None
    if not (given.isascii() and given.isdigit()) or not 1 <= int(given) <= _MAX_THREADS:
        raise InputError(f"number of threads must be between 1 and {_MAX_THREADS}, not {given!r}")
    return int(given)
