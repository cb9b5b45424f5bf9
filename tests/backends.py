"""Backends for tests: the CPU under another name, which fails when it is told to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edge_sam.errors import RuntimeUnavailableError
from edge_sam.runtimes import BACKENDS, Session, SessionOptions, Tensors, onnxruntime_cpu

Register = Callable[..., None]


class Failing:
    """A real session that stops working, as a device does that runs out of memory."""

    def __init__(self, session: Session, fails: Callable[[], bool]) -> None:
        self._session, self._fails = session, fails

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        if self._fails():
            raise RuntimeError("CUDA failure 2: out of memory")
        return self._session.run(inputs)


def cannot_open(_model: Path, _options: SessionOptions) -> Any:
    """Open nothing."""
    raise RuntimeUnavailableError("the driver has gone")


def fails_after(runs: int) -> Callable[[Path, SessionOptions], Failing]:
    """Open sessions that work for a number of runs."""

    def open_session(model: Path, options: SessionOptions) -> Failing:
        left = iter(range(runs))
        return Failing(onnxruntime_cpu.open_session(model, options), lambda: next(left, None) is None)

    return open_session


def register_backend(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """Put a module into the registry, or in the place of another, that is the CPU's but for these members."""
    module = ModuleType(f"backend_of_a_test_{name}")
    module.__dict__.update(
        {
            "MODEL_FORMATS": ("onnx",),
            "PACKAGES": (),
            "BUILDS_ENGINES": False,
            "why_unusable": lambda _: None,
            "hardware": lambda _: name,
            "open_session": onnxruntime_cpu.open_session,
            **members,
        }
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BACKENDS, name, module.__name__)
