"""OpenVINO on the CPU."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.runtimes.session import RuntimeUnavailableError, Tensors

MODEL_FORMAT = "onnx"


def probe() -> str | None:
    """Return None when OpenVINO is installed, else what to install."""
    if importlib.util.find_spec("openvino") is None:
        return 'openvino is not installed: pip install "edge-sam[openvino]"'
    return None


class OpenVinoSession:
    """A model component in OpenVINO."""

    def __init__(self, model: Path, threads: int | None) -> None:
        import openvino

        # Pinned, because the plugin's own choice of f16 has been seen to give the same embedding for every image.
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            self._compiled = openvino.Core().compile_model(str(model), "CPU", options)
        except RuntimeError as error:
            raise RuntimeUnavailableError(f"OpenVINO could not compile {model.name}: {error}") from error
        self._outputs = [output.get_any_name() for output in self._compiled.outputs]
        self.input_names: list[str] = [tensor.get_any_name() for tensor in self._compiled.inputs]
        self._local = threading.local()  # An inference request serves one thread at a time.
        self.provider = f"OpenVINO {self._compiled.get_property('EXECUTION_DEVICES')[0]}"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """See `Session.run`."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        results = self._local.request.infer({name: np.ascontiguousarray(array) for name, array in inputs.items()})
        # The request owns its output buffers and will write over them.
        return {name: results[i].copy() for i, name in enumerate(self._outputs)}


def open_session(model: Path, threads: int | None) -> OpenVinoSession:
    """Compile an ONNX file for the CPU.

    Raises
    ------
    RuntimeUnavailableError
        OpenVINO refused the file.
    """
    return OpenVinoSession(model, threads)
