"""Inference backends behind one protocol. To add one, write a module and add a line to `BACKENDS`."""

from __future__ import annotations

import importlib
from typing import cast

from edge_sam.runtimes.errors import RuntimeUnavailableError
from edge_sam.runtimes.pair import PLUS, BackendPair
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
    "PAIRS",
    "REFERENCE",
    "Backend",
    "Event",
    "Profile",
    "RuntimeUnavailableError",
    "Session",
    "SessionOptions",
    "ShapeRange",
    "Tensors",
    "arithmetics",
    "backend",
    "is_known",
    "is_pair",
    "packages",
    "profiler",
    "runs_on_cpu",
    "split_runtime",
    "why_unusable",
    "without_encoder",
]

BACKENDS = {
    "onnxruntime": "edge_sam.runtimes.onnxruntime_cpu",
    "openvino": "edge_sam.runtimes.openvino_device",
    "cuda": "edge_sam.runtimes.onnxruntime_cuda",
    "tensorrt": "edge_sam.runtimes.onnxruntime_tensorrt",
}
"""Module of each backend by public name. A device may follow after a colon: ``openvino:GPU``, ``cuda:1``.

Two runtimes joined by a plus are one: the first runs the image encoder, the second everything else.
"""

PAIRS = ("openvino+onnxruntime",)
"""Those that `edge-sam tune` and `edge-sam camera` measure beside the single ones."""

REFERENCE = "onnxruntime"
"""The backend whose results the others are compared with."""

AUTO = ("cuda", "onnxruntime", "openvino")
"""The order in which ``auto`` tries backends when `edge-sam tune` has not run. TensorRT is left out because it builds
its engines for minutes, which should only happen on request."""


def split_runtime(runtime: str) -> tuple[str, str]:
    """Split ``name:device`` into the backend's name and the device. The device is empty if none is named.

    A pair's names are joined by a plus, and so are its devices.
    """
    parts = [part.partition(":") for part in runtime.split(PLUS)]
    return PLUS.join(part[0] for part in parts), PLUS.join(part[2] for part in parts)


def is_known(runtime: str) -> bool:
    """Tell whether `backend` has this runtime, usable here or not."""
    names = split_runtime(runtime)[0].split(PLUS)
    return len(names) <= 2 and all(name in BACKENDS for name in names)


def is_pair(runtime: str) -> bool:
    """Tell whether two runtimes are joined by a plus."""
    return PLUS in runtime


def without_encoder(runtime: str) -> str:
    """Return the runtime of everything but the image encoder: the second of a pair."""
    return runtime.split(PLUS)[-1]


def backend(runtime: str) -> Backend:
    """Import a backend's module. Raises `KeyError` for a name that is not in `BACKENDS`."""
    names = split_runtime(runtime)[0].split(PLUS)
    if len(names) > 2:
        raise KeyError(runtime)
    modules = [cast(Backend, importlib.import_module(BACKENDS[name])) for name in names]
    return modules[0] if len(modules) == 1 else cast(Backend, BackendPair((names[0], names[1]), *modules))


def why_unusable(runtime: str) -> str | None:
    """Return None if a runtime is usable here, else the reason in one line. Never raises for a known name."""
    try:
        return backend(runtime).why_unusable(split_runtime(runtime)[1])
    except Exception as error:  # A broken installation can raise anything.
        return f"the check failed: {type(error).__name__}: {error}"


def runs_on_cpu(runtime: str) -> bool:
    """Tell whether a runtime computes on the CPU, so that processes share its cores."""
    return backend(runtime).runs_on_cpu(split_runtime(runtime)[1])


def arithmetics(runtime: str) -> tuple[str, ...]:
    """List the precisions that a runtime computes in here, whatever its files are stored in, besides fp32.

    Never raises for a known name.
    """
    try:
        found = getattr(backend(runtime), "arithmetics", None)
        return found(split_runtime(runtime)[1]) if found is not None else ()
    except Exception:  # A broken installation can raise anything; `open_session` will say what.
        return ()


def packages() -> list[str]:
    """List the distributions that the backends may come in, each once."""
    return list(dict.fromkeys(package for name in BACKENDS for package in backend(name).PACKAGES))


def profiler(runtime: str) -> Profile | None:
    """Return the function that profiles this runtime's operators, or None if its backend has none."""
    return getattr(backend(runtime), "profile", None)
