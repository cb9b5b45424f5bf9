"""Inference backends behind one protocol. To add one, write a module and add a line to `BACKENDS`."""

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
    ShapeRange,
    Tensors,
)

__all__ = [
    "AUTO",
    "BACKENDS",
    "REFERENCE",
    "Backend",
    "Event",
    "Profile",
    "RuntimeUnavailableError",
    "Session",
    "SessionOptions",
    "ShapeRange",
    "Tensors",
    "backend",
    "packages",
    "profiler",
    "runs_on_cpu",
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

REFERENCE = "onnxruntime"
"""The backend whose results the others are compared with."""

AUTO = ("cuda", "onnxruntime", "openvino")
"""The order in which ``auto`` tries backends when `edge-sam tune` has not run. TensorRT is left out because it builds
its engines for minutes, which should only happen on request."""


def split_runtime(runtime: str) -> tuple[str, str]:
    """Split ``name:device`` into the backend's name and the device. The device is empty if none is named."""
    name, _, device = runtime.partition(":")
    return name, device


def backend(runtime: str) -> Backend:
    """Import a backend's module. Raises `KeyError` for a name that is not in `BACKENDS`."""
    return cast(Backend, importlib.import_module(BACKENDS[split_runtime(runtime)[0]]))


def why_unusable(runtime: str) -> str | None:
    """Return None if a runtime is usable here, else the reason in one line. Never raises for a known name."""
    try:
        return backend(runtime).why_unusable(split_runtime(runtime)[1])
    except Exception as error:  # A broken installation can raise anything.
        return f"the check failed: {type(error).__name__}: {error}"


def runs_on_cpu(runtime: str) -> bool:
    """Tell whether a runtime computes on the CPU, so that processes share its cores."""
    return backend(runtime).runs_on_cpu(split_runtime(runtime)[1])


def packages() -> list[str]:
    """List the distributions that the backends may come in, each once."""
    return list(dict.fromkeys(package for name in BACKENDS for package in backend(name).PACKAGES))


def profiler(runtime: str) -> Profile | None:
    """Return the function that profiles this runtime's operators, or None if its backend has none."""
    return getattr(backend(runtime), "profile", None)
