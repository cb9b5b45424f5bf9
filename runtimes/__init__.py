"""Inference backends behind one protocol. Adding one is a module and a line in `BACKENDS`."""

from __future__ import annotations

import importlib
from typing import cast

from edge_sam.runtimes.session import Backend, RuntimeUnavailableError, Session, Tensors

__all__ = ["BACKENDS", "Backend", "RuntimeUnavailableError", "Session", "Tensors", "select"]

BACKENDS = {
    "onnxruntime": "edge_sam.runtimes.onnxruntime_cpu",
}
"""Module of each backend by public name, in the order in which `auto` tries them."""


def select(runtime: str) -> tuple[str, Backend]:
    """Find the backend to use.

    Parameters
    ----------
    runtime : str
        A name in `BACKENDS`, or ``"auto"`` for the first one that is usable here.

    Returns
    -------
    name : str
        The backend's public name.
    backend : Backend
        Its module.

    Raises
    ------
    RuntimeUnavailableError
        The backend (with ``"auto"``: every backend) is not usable here.
    KeyError
        The name is in neither.
    """
    names = list(BACKENDS) if runtime == "auto" else [runtime]
    reasons = []
    for name in names:
        backend = cast(Backend, importlib.import_module(BACKENDS[name]))
        reason = backend.probe()
        if reason is None:
            return name, backend
        reasons.append(f"{name}: {reason}")
    raise RuntimeUnavailableError("no usable runtime; " + "; ".join(reasons))
