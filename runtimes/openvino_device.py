"""OpenVINO on the CPU, or on a GPU or NPU by its name."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.runtimes.session import Event, RuntimeUnavailableError, SessionOptions, Tensors

MODEL_FORMATS = ("openvino", "onnx")
PACKAGES = ("openvino",)
COMPILES_FOR_MINUTES = False
_CPU = "CPU"


def probe(device: str) -> str | None:
    """Return None when OpenVINO is installed and has the device, else what is missing."""
    if importlib.util.find_spec("openvino") is None:
        return f"openvino is not installed: {install_command()}"
    if device in ("", _CPU):
        return None
    import openvino

    devices = openvino.Core().available_devices
    if not any(name == device or name.startswith(f"{device}.") for name in devices):
        return f"OpenVINO has no device {device!r} here, only {', '.join(devices)}"
    return None


def install_command() -> str:
    """See `Backend.install_command`."""
    return 'pip install "edge-sam[openvino]"'


def load_package() -> ModuleType:
    """See `Backend.load_package`."""
    import openvino

    module: ModuleType = openvino
    return module


def hardware(device: str) -> str:
    """Name the device as its plugin does."""
    import openvino

    name: str = openvino.Core().get_property(device or _CPU, "FULL_DEVICE_NAME")
    return name


class OpenVinoSession:
    """A model component in OpenVINO."""

    def __init__(self, model: Path, options: SessionOptions) -> None:
        import openvino

        device = options.device or _CPU
        # Pinned, because the plugin's own choice of f16 has been seen to give the same embedding for every image.
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if options.threads is not None and device == _CPU:
            settings["INFERENCE_NUM_THREADS"] = options.threads
        if options.cache is not None:
            settings["CACHE_DIR"] = str(options.cache)
        try:
            self._compiled = openvino.Core().compile_model(str(model), device, settings | dict(options.extra))
        except RuntimeError as error:
            raise RuntimeUnavailableError(f"OpenVINO could not compile {model.name}: {error}") from error
        running = self._compiled.get_property("EXECUTION_DEVICES")
        if not any(name == device or name.startswith(f"{device}.") for name in running):
            raise RuntimeUnavailableError(f"OpenVINO put {', '.join(running)} in the place of {device}")
        self._outputs = [output.get_any_name() for output in self._compiled.outputs]
        self.input_names: list[str] = [tensor.get_any_name() for tensor in self._compiled.inputs]
        self._local = threading.local()  # An inference request serves one thread at a time.
        self.provider = f"OpenVINO {running[0]}"

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """See `Session.upload`."""
        return array

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`."""
        results = self._request().infer({name: np.ascontiguousarray(array) for name, array in inputs.items()})
        # The request owns its output buffers and will write over them.
        return {name: results[i].copy() for i, name in enumerate(self._outputs)}

    def nodes(self) -> list[Any]:
        """Return what OpenVINO says of each node of this thread's last run; it must have been told to count."""
        return list(self._request().get_profiling_info())

    def _request(self) -> Any:
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        return self._local.request


def open_session(model: Path, options: SessionOptions) -> OpenVinoSession:
    """Compile a model for a device; see `Backend.open_session`."""
    return OpenVinoSession(model, options)


def profile(model: Path, options: SessionOptions, inputs: Mapping[str, NDArray[Any]], runs: int) -> list[Event]:
    """See `edge_sam.runtimes.session.Profile`."""
    counting = replace(options, cache=None, extra={**options.extra, "PERF_COUNT": "YES"})
    session = OpenVinoSession(model, counting)
    session.run(inputs)
    events: list[Event] = []
    clock = 0.0
    for _ in range(runs):
        session.run(inputs)
        for node in session.nodes():
            microseconds = node.real_time.total_seconds() * 1e6
            if microseconds > 0:
                # OpenVINO tells durations but no starts: one node is drawn after the other.
                args = {"op_name": node.node_type, "node": node.node_name, "kernel": node.exec_type}
                place = {"cat": "Node", "ph": "X", "pid": 0, "tid": 0}
                events.append({**place, "name": node.node_name, "ts": clock, "dur": microseconds, "args": args})
                clock += microseconds
    return events
