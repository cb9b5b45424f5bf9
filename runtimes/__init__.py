"""Inference backends behind one protocol. Adding one is a module and a line in `BACKENDS`."""

from __future__ import annotations

import importlib
from typing import cast

from edge_sam.runtimes.errors import RuntimeUnavailableError
from edge_sam.runtimes.session import (
    Backend,
    Event,
    Profile,
    Session,
    SessionOptions,
    Shapes,
    Tensors,
)

__all__ = [
    "AUTO",
    "BACKENDS",
    "Backend",
    "Event",
    "Profile",
    "RuntimeUnavailableError",
    "Session",
    "SessionOptions",
    "Shapes",
    "Tensors",
    "backend",
    "profiler",
    "split_runtime",
    "why_unusable",
]

BACKENDS = {
    "onnxruntime": "edge_sam.runtimes.onnxruntime_cpu",
    "openvino": "edge_sam.runtimes.openvino_device",
    "cuda": "edge_sam.runtimes.onnxruntime_cuda",
    "tensorrt": "edge_sam.runtimes.onnxruntime_tensorrt",
}
"""Module of each backend by public name. A device may follow after a colon: ``openvino:GPU``, ``cuda:1``."""

AUTO = ("cuda", "onnxruntime", "openvino")
"""What ``auto`` tries, in this order, where nothing was measured. TensorRT is not among them: building its engines
takes minutes, which nobody should meet unasked."""


def split_runtime(runtime: str) -> tuple[str, str]:
    """Split ``name:device`` into the backend's name and the device, empty for the first."""
    name, _, device = runtime.partition(":")
    return name, device


def backend(runtime: str) -> Backend:
    """Import a backend's module. Raises `KeyError` for a name that is not in `BACKENDS`."""
    return cast(Backend, importlib.import_module(BACKENDS[split_runtime(runtime)[0]]))


def why_unusable(runtime: str) -> str | None:
    """Return None when a runtime is usable here, else one line that says why not. Never raises for a known name."""
    try:
        return backend(runtime).why_unusable(split_runtime(runtime)[1])
    except Exception as error:  # A broken installation fails in as many ways as there are packages.
        return f"asking it failed: {type(error).__name__}: {error}"


def profiler(runtime: str) -> Profile | None:
    """Return the function that profiles this runtime's operators; None where its backend has none."""
    return getattr(backend(runtime), "profile", None)
