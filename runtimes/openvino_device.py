"""OpenVINO on the CPU, or on a GPU or NPU that is named."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edge_sam.runtimes.cores import default_threads
from edge_sam.runtimes.errors import RuntimeUnavailableError
from edge_sam.runtimes.file_identity import file_identity
from edge_sam.runtimes.session import Event, Session, SessionOptions, Tensors

_log = logging.getLogger("edge_sam")
MODEL_FORMATS = ("openvino", "onnx")
PACKAGES = ("openvino",)
BUILDS_ENGINES = False
RUNS_ALIKE = 3
"""Consecutive runs with the same shapes after which the model is compiled for them; doubled each time. The two images
of the guard's probe do not reach it."""
_CPU = "CPU"
_LOCK = threading.Lock()  # A cached function may still run twice at once.
_MAX_DIFFERENCE = 0.1
"""Largest difference from the dynamic-shape model, relative: 2e-6 in fp32, 0.03 in int8, 1 with a wrong kernel."""
Shapes = dict[str, tuple[int, ...]]
Port = tuple[str, str, list[int | str]]
"""Name, dtype and shape of an input or output. Unknown sizes are ``"?"``."""


def why_unusable(device: str) -> str | None:
    """Return None if OpenVINO is installed and has the device, else what is missing."""
    if importlib.util.find_spec("openvino") is None:
        return f"openvino is not installed: {install_command()}"
    if runs_on_cpu(device):
        return None
    devices = _core().available_devices
    if not any(name == device or name.startswith(f"{device}.") for name in devices):
        return f"OpenVINO has no device {device!r} here, only {', '.join(devices)}"
    return None


def install_command() -> str:
    """See `Backend.install_command`."""
    return 'pip install "edge-sam[openvino]"'


def load_package() -> ModuleType:
    """Import OpenVINO without its telemetry package; see `Backend.load_package`."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # Pretend that it is not installed.
    import openvino

    return cast(ModuleType, openvino)


def _core() -> Any:
    """Return this process's only `openvino.Core`.

    Each one has a CPU plugin of its own, which gives the thread another stack for signal handlers and returns the
    earlier one when it is unloaded. Unloading two in the order of loading leaves the thread with memory that is gone:
    the next Ctrl-C would end in a segmentation fault (seen with OpenVINO 2026.4).
    """
    with _LOCK:
        return _only_core()


@functools.cache
def _only_core() -> Any:
    return load_package().Core()


def runs_on_cpu(device: str) -> bool:
    """See `Backend.runs_on_cpu`."""
    return device in ("", _CPU)


def hardware(device: str) -> str:
    """Return the device's name from its plugin."""
    return str(_core().get_property(device or _CPU, "FULL_DEVICE_NAME"))


def arithmetics(device: str) -> tuple[str, ...]:
    """See `Arithmetics`: bf16 where the device has instructions for it, such as AVX512_BF16 or AMX."""
    capabilities = _core().get_property(device or _CPU, "OPTIMIZATION_CAPABILITIES")
    return ("bf16",) if "BF16" in capabilities else ()


@dataclass(frozen=True)
class _Compiled:
    """A compiled model, its shapes (None: dynamic), and its idle infer requests, each for one thread at a time."""

    model: Any
    shapes: Shapes | None
    idle: list[Any] = field(default_factory=list)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        try:
            request = self.idle.pop()
        except IndexError:
            request = self.model.create_infer_request()
        results = request.infer(inputs)
        # The request owns its output buffers and will overwrite them.
        outputs = {_name(output): results[output].copy() for output in self.model.outputs}
        self.idle.append(request)
        return outputs

    def release_memory(self) -> None:
        self.idle.clear()
        with contextlib.suppress(AttributeError, RuntimeError):  # Missing before 2025.0; fails during a run.
            self.model.release_memory()


class OpenVinoSession(Session):
    """A model component in OpenVINO.

    The model is compiled for dynamic shapes. If runs keep one shape, a thread compiles it for that shape too, which
    pays off after about ten runs of the encoder (docs/lab/performance.md). No run waits for that thread, and the
    dynamic-shape model stays loaded, so that other shapes do not wait either.
    """

    def __init__(self, model: Path, options: SessionOptions) -> None:
        self._file, self._read = model, file_identity(model, model.with_suffix(".bin"))
        self._device = options.device or _CPU
        # Pinned: the plugin's own choice of f16 once gave the same embedding for every image.
        arithmetic = "bf16" if options.precision == "bf16" else "f32"
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": arithmetic}
        threads = options.threads or default_threads()
        if threads is not None and self._device == _CPU:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._settings = settings | dict(options.extra)
        self._kept = {} if options.cache is None else {"CACHE_DIR": str(options.cache)}
        self._general = self._compile(None)
        self._fixed: _Compiled | None = None
        running = self._general.model.get_property("EXECUTION_DEVICES")
        if not any(name == self._device or name.startswith(f"{self._device}.") for name in running):
            raise RuntimeUnavailableError(f"OpenVINO replaced {self._device} with {', '.join(running)}")
        self.input_names: list[str] = [_name(tensor) for tensor in self._general.model.inputs]
        self.provider = f"OpenVINO {running[0]}"
        self._lock = threading.Lock()
        self._compiling: threading.Thread | None = None
        self._latest: Shapes = {}
        self._streak, self._enough = 0, RUNS_ALIKE
        self._steady = options.steady

    @property
    def compiled_for(self) -> Shapes | None:
        """The shapes that the model is compiled for besides dynamic ones, or None."""
        return self._fixed.shapes if self._fixed else None

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`."""
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        shapes = _shapes(arrays)
        outputs = self._compiled_for(shapes).run(arrays)
        with self._lock:
            self._streak = self._streak + 1 if shapes == self._latest else 1
            self._latest = shapes
            enough = self._streak >= self._enough
        if enough and self._start_compiling(arrays, outputs):
            self._enough *= 2  # Makes recompilation rarer if shapes keep changing.
        return outputs

    def warm_up(self, inputs: Mapping[str, Any]) -> None:
        """See `Session.warm_up`."""
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        self._finish_compiling()
        if self._start_compiling(arrays, self.run(arrays)):
            self._finish_compiling()
            self.run(arrays)

    def release_memory(self) -> None:
        """See `Session.release_memory`."""
        for compiled in (self._general, self._fixed):
            if compiled is not None:
                compiled.release_memory()

    def nodes(self) -> list[Any]:
        """Return OpenVINO's profile of each node of the last run. Needs the property PERF_COUNT."""
        return list(self._compiled_for(self._latest).idle[-1].get_profiling_info())

    def _compiled_for(self, shapes: Shapes) -> _Compiled:
        fixed = self._fixed
        return fixed if fixed and fixed.shapes == shapes else self._general

    def _start_compiling(self, inputs: Mapping[str, NDArray[Any]], outputs: Tensors) -> bool:
        """Start a thread that compiles for the shapes of a run. False if there is no need or one is running."""
        with self._lock:
            if not self._steady or self._compiling or self.compiled_for == _shapes(inputs):
                return False
            if not all(np.isfinite(array).all() for array in outputs.values()):
                return False  # Without finite outputs there is nothing to compare with.
            try:
                # Copies, because the caller may overwrite its arrays. Not a daemon thread, because the interpreter must
                # not exit in the middle of native code.
                kept = [{name: array.copy() for name, array in each.items()} for each in (inputs, outputs)]
                self._compiling = threading.Thread(target=self._compile_for, args=kept)
                self._compiling.start()
            except (MemoryError, RuntimeError) as error:  # Out of memory or threads, or the interpreter exits.
                self._stay_dynamic(error)
                return False
        return True

    def _finish_compiling(self) -> None:
        if (compiling := self._compiling) is not None:
            compiling.join()

    def _compile_for(self, inputs: Mapping[str, NDArray[Any]], expected: Tensors) -> None:
        """Switch to a model for these shapes if its outputs match those of the checked model."""
        try:
            fixed = self._compile(_shapes(inputs))
            computed = fixed.run(inputs)
            same = all(_agree(computed[name], array) for name, array in expected.items())
        except Exception as error:  # Other kernels run for fixed shapes; they may be missing or need too much memory.
            self._stay_dynamic(error)
            return
        if not same:
            _log.warning("OpenVINO computes different results when compiled for one size; using the model for any size")
            self._stay_dynamic("the results differ")
            return
        self._fixed, self._compiling = fixed, None
        self._general.release_memory()

    def _stay_dynamic(self, reason: object) -> None:
        """Use only the dynamic-shape model from now on."""
        self._steady, self._compiling = False, None
        _log.info("OpenVINO keeps using the model for any size: %s", reason)

    def _compile(self, shapes: Shapes | None) -> _Compiled:
        try:
            if shapes is None:
                compiled = _core().compile_model(str(self._file), self._device, self._settings | self._kept)
            else:
                model = _core().read_model(str(self._file))
                if file_identity(self._file, self._file.with_suffix(".bin")) != self._read:
                    raise RuntimeError("the file was replaced since it was loaded")
                model.reshape({name: list(shape) for name, shape in shapes.items()})
                compiled = _core().compile_model(model, self._device, self._settings)
        except RuntimeError as error:
            raise RuntimeUnavailableError(f"OpenVINO could not compile {self._file.name}: {error}") from error
        return _Compiled(compiled, shapes)


def _shapes(arrays: Mapping[str, NDArray[Any]]) -> Shapes:
    return {name: array.shape for name, array in arrays.items()}


def _agree(ours: NDArray[Any], expected: NDArray[Any]) -> bool:
    return bool(np.abs(ours - expected).max() <= _MAX_DIFFERENCE * np.abs(expected).max())


def read_ports(model: Path) -> tuple[list[Port], list[Port]]:
    """Return the inputs and outputs of a model file. Raises `RuntimeError` if OpenVINO cannot read it."""
    read = _core().read_model(str(model))
    inputs, outputs = ([_port(port) for port in ports] for ports in (read.inputs, read.outputs))
    return inputs, outputs


def _name(port: Any) -> str:
    """Return the name that a port has in the file. OpenVINO may give it those of nodes that it left out as well."""
    name: str = port.get_node().get_friendly_name().removesuffix("/sink_port_0")  # The suffix is that of an output.
    return name if name in port.get_names() else port.get_any_name()


def _port(port: Any) -> Port:
    sizes = [size.get_length() if size.is_static else "?" for size in port.get_partial_shape()]
    return _name(port), np.dtype(port.get_element_type().to_dtype()).name, sizes


def open_session(model: Path, options: SessionOptions) -> OpenVinoSession:
    """Compile a model for a device; see `Backend.open_session`."""
    return OpenVinoSession(model, options)


def profile(model: Path, options: SessionOptions, inputs: Mapping[str, NDArray[Any]], runs: int) -> list[Event]:
    """See `edge_sam.runtimes.session.Profile`."""
    counting = replace(options, cache=None, extra={**options.extra, "PERF_COUNT": "YES"})
    session = OpenVinoSession(model, counting)
    session.warm_up(inputs)
    events: list[Event] = []
    clock = 0.0
    for _ in range(runs):
        session.run(inputs)
        for node in session.nodes():
            if (microseconds := node.real_time.total_seconds() * 1e6) > 0:
                # OpenVINO reports durations without start times, so nodes are placed one after the other.
                args = {"op_name": node.node_type, "node": node.node_name, "kernel": node.exec_type}
                times = {"name": node.node_name, "ts": clock, "dur": microseconds}
                events.append({"cat": "Node", "ph": "X", "pid": 0, "tid": 0, **times, "args": args})
                clock += microseconds
    return events
