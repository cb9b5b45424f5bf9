"""OpenVINO on the CPU, or on a GPU or NPU by its name."""

from __future__ import annotations

import importlib.util
import logging
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.runtimes.session import Event, RuntimeUnavailableError, SessionOptions, Tensors

_log = logging.getLogger("edge_sam")
MODEL_FORMATS = ("openvino", "onnx")
PACKAGES = ("openvino",)
COMPILES_FOR_MINUTES = False
RUNS_ALIKE = 3
"""Runs with the same shapes, one after the other, for the model to be compiled for these; doubled each time. The two
images of a probe do not reach it."""
_CPU = "CPU"
_APART = 0.1
"""Largest difference from the answer of the model for any shape, as a part of its largest number: 2e-6 in fp32, 0.03 in
int8, where a last bit decides about a whole step; a wrong kernel gives 1 and more."""
Shapes = dict[str, tuple[int, ...]]


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


@dataclass(frozen=True)
class _Compiled:
    """A compiled model, the shapes that it is for (None: any), and its idle requests, each for one thread at a time."""

    model: Any
    shapes: Shapes | None
    idle: list[Any] = field(default_factory=list)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        try:
            request = self.idle.pop()
        except IndexError:
            request = self.model.create_infer_request()
        results = request.infer(inputs)
        # The request owns its output buffers and will write over them.
        outputs = {output.get_any_name(): results[output].copy() for output in self.model.outputs}
        self.idle.append(request)
        return outputs


class OpenVinoSession:
    """A model component in OpenVINO.

    It is compiled for any shape, and anew for one shape where runs keep to it: that takes as long as about ten runs of
    the encoder win by it (docs/performance.md).
    """

    def __init__(self, model: Path, options: SessionOptions) -> None:
        import openvino

        self._core, self._file = openvino.Core(), model
        self._device = options.device or _CPU
        # Pinned, because the plugin's own choice of f16 has been seen to give the same embedding for every image.
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if options.threads is not None and self._device == _CPU:
            settings["INFERENCE_NUM_THREADS"] = options.threads
        self._settings = settings | dict(options.extra)
        self._kept = {} if options.cache is None else {"CACHE_DIR": str(options.cache)}
        self._compiled = self._compile(None)
        running = self._compiled.model.get_property("EXECUTION_DEVICES")
        if not any(name == self._device or name.startswith(f"{self._device}.") for name in running):
            raise RuntimeUnavailableError(f"OpenVINO put {', '.join(running)} in the place of {self._device}")
        self.input_names: list[str] = [tensor.get_any_name() for tensor in self._compiled.model.inputs]
        self.provider = f"OpenVINO {running[0]}"
        self._lock = threading.Lock()
        self._latest: Shapes = {}
        self._streak = 0
        self._enough = RUNS_ALIKE if options.steady else math.inf

    @property
    def compiled_for(self) -> Shapes | None:
        """Shapes that the next run is compiled for; None: any."""
        return self._compiled.shapes

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """See `Session.upload`."""
        return array

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`."""
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        return self._fitting(arrays).run(arrays)

    def nodes(self) -> list[Any]:
        """Return what OpenVINO says of each node of the last run; it must have been told to count."""
        return list(self._compiled.idle[-1].get_profiling_info())

    def _fitting(self, inputs: Mapping[str, NDArray[Any]]) -> _Compiled:
        """Take the model as it is compiled, or compile it anew when shapes begin or cease to stay the same."""
        shapes = {name: array.shape for name, array in inputs.items()}
        with self._lock:
            if self._compiled.shapes not in (None, shapes):
                self._compiled = self._compile(None)
            if self._compiled.shapes is None:
                self._streak = self._streak + 1 if shapes == self._latest else 1
                self._latest = shapes
                if self._streak >= self._enough:
                    self._settle(inputs, shapes)
            return self._compiled

    def _settle(self, inputs: Mapping[str, NDArray[Any]], shapes: Shapes) -> None:
        """Go over to a model for these shapes, if it gives the answer of the model that has been probed."""
        self._enough *= 2  # Shapes that keep changing after all cost less and less often.
        expected = self._compiled.run(inputs)
        try:
            fixed = self._compile(shapes)
            computed = fixed.run(inputs)
        except RuntimeError as error:  # Other kernels are chosen for one size, and may be missing.
            _log.info("OpenVINO stays with the model for any size: %s", error)
            self._enough = math.inf
            return
        if all(_part(computed[name] - array, array) <= _APART for name, array in expected.items()):
            self._compiled = fixed
        else:
            _log.warning("OpenVINO computes something else once compiled for one size, so it is not")
            self._enough = math.inf

    def _compile(self, shapes: Shapes | None) -> _Compiled:
        try:
            if shapes is None:
                compiled = self._core.compile_model(str(self._file), self._device, self._settings | self._kept)
            else:
                model = self._core.read_model(str(self._file))
                model.reshape({name: list(shape) for name, shape in shapes.items()})
                compiled = self._core.compile_model(model, self._device, self._settings)
        except RuntimeError as error:
            raise RuntimeUnavailableError(f"OpenVINO could not compile {self._file.name}: {error}") from error
        return _Compiled(compiled, shapes)


def _part(difference: NDArray[Any], whole: NDArray[Any]) -> float:
    return float(np.abs(difference).max() / np.abs(whole).max())


def open_session(model: Path, options: SessionOptions) -> OpenVinoSession:
    """Compile a model for a device; see `Backend.open_session`."""
    return OpenVinoSession(model, options)


def profile(model: Path, options: SessionOptions, inputs: Mapping[str, NDArray[Any]], runs: int) -> list[Event]:
    """See `edge_sam.runtimes.session.Profile`."""
    counting = replace(options, cache=None, extra={**options.extra, "PERF_COUNT": "YES"})
    session = OpenVinoSession(model, counting)
    for _ in range(RUNS_ALIKE):
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
