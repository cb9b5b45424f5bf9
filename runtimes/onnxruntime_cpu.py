"""ONNX Runtime on the CPU."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge_sam.runtimes.onnxruntime_session import CPU, PACKAGES, open_inference_session
from edge_sam.runtimes.session import SessionOptions, Tensors

__all__ = ["MODEL_FORMATS", "PACKAGES", "hardware", "install_command", "open_session", "probe"]

MODEL_FORMATS = ("onnx",)


def probe(device: str) -> str | None:
    """Return None when ONNX Runtime is installed, else what to install."""
    if device:
        return f"it runs on the CPU and has no device {device!r}"
    if importlib.util.find_spec("onnxruntime") is None:
        return f"onnxruntime is not installed: {install_command()}"
    return None


def install_command() -> str:
    """See `Backend.install_command`."""
    return "pip install --force-reinstall onnxruntime"


def hardware(device: str) -> str:
    """Name the processor's kind; there is one."""
    return f"{platform.machine()} {device}".strip()


class OnnxRuntimeSession:
    """A model component in ONNX Runtime."""

    def __init__(self, model: Path, options: SessionOptions) -> None:
        self._session = open_inference_session(model, options, [(CPU, options.extra)])
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.input_names: list[str] = [tensor.name for tensor in self._session.get_inputs()]
        self.provider: str = self._session.get_providers()[0]

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """See `Session.upload`."""
        return array

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`."""
        outputs = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, outputs, strict=True))


def open_session(model: Path, options: SessionOptions) -> OnnxRuntimeSession:
    """Load an ONNX file for the CPU; see `Backend.open_session`."""
    return OnnxRuntimeSession(model, options)
