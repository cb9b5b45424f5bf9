"""Inference backends behind one protocol. Adding one is a module and a line in `BACKENDS`."""

from __future__ import annotations

import importlib
from typing import cast

from edge_sam.runtimes.session import Backend, RuntimeUnavailableError, Session, Tensors

__all__ = ["BACKENDS", "Backend", "RuntimeUnavailableError", "Session", "Tensors", "probe", "select"]

BACKENDS = {
    "onnxruntime": "edge_sam.runtimes.onnxruntime_cpu",
    "openvino": "edge_sam.runtimes.openvino_cpu",
}
"""Module of each backend by public name, in the order in which `auto` tries them."""


def probe(runtime: str) -> str | None:
    """Return None when a backend in `BACKENDS` is usable here, else one line that says why not."""
    return _module(runtime).probe()


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
        backend = _module(name)
        reason = backend.probe()
        if reason is None:
            return name, backend
        reasons.append(f"{name}: {reason}")
    raise RuntimeUnavailableError("no usable runtime; " + "; ".join(reasons))


def _module(name: str) -> Backend:
    return cast(Backend, importlib.import_module(BACKENDS[name]))
