"""ONNX Runtime on the CPU."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge_sam.runtimes.session import RuntimeUnavailableError, Tensors

MODEL_FORMAT = "onnx"
_PROVIDER = "CPUExecutionProvider"


def probe() -> str | None:
    """Return None when ONNX Runtime is installed, else what to install."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed: pip install onnxruntime"
    return None


class OnnxRuntimeSession:
    """A model component in ONNX Runtime."""

    def __init__(self, model: Path, threads: int | None) -> None:
        # An edge runtime is silent by default; ONNX Runtime reads this when it is first imported.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # Errors come as exceptions; they need no line of their own.
        # Threads that spin on after a run would slow the next component down and burn an idle board's battery
        # (docs/performance.md); within a run they may.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=[_PROVIDER])
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes, some of them private.
            raise RuntimeUnavailableError(f"ONNX Runtime could not load {model.name}: {error}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.input_names: list[str] = [tensor.name for tensor in self._session.get_inputs()]
        self.provider: str = self._session.get_providers()[0]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """See `Session.run`."""
        outputs = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, outputs, strict=True))


def open_session(model: Path, threads: int | None) -> OnnxRuntimeSession:
    """Load an ONNX file for the CPU.

    Raises
    ------
    RuntimeUnavailableError
        ONNX Runtime refused the file.
    """
    return OnnxRuntimeSession(model, threads)
