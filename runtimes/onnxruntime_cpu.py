"""ONNX Runtime on the CPU, or with an execution provider that the device names: ``onnxruntime:CoreML``."""

from __future__ import annotations

import importlib.util
import json
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.runtimes.errors import RuntimeUnavailableError
from edge_sam.runtimes.onnxruntime_providers import (
    computes_on_cpu,
    find_provider,
    provider_that_runs,
    why_no_provider,
)
from edge_sam.runtimes.onnxruntime_session import CPU, open_inference_session
from edge_sam.runtimes.onnxruntime_session import PACKAGES as PACKAGES
from edge_sam.runtimes.onnxruntime_session import load_package as load_package
from edge_sam.runtimes.session import Event, Session, SessionOptions, Tensors

MODEL_FORMATS = ("onnx", "ort")
BUILDS_ENGINES = False


def why_unusable(device: str) -> str | None:
    """Return None if ONNX Runtime is installed with the provider that the device names, else what is missing."""
    if importlib.util.find_spec("onnxruntime") is None:
        return f"onnxruntime is not installed: {install_command()}"
    return why_no_provider(device) if device else None


def install_command() -> str:
    """See `Backend.install_command`."""
    return "pip install --force-reinstall onnxruntime"


def runs_on_cpu(device: str) -> bool:
    """See `Backend.runs_on_cpu`."""
    return not device or computes_on_cpu(device)


def hardware(device: str) -> str:
    """Return the processor's architecture, and the provider."""
    return f"{platform.machine()} {device}".strip()


class OnnxRuntimeSession(Session):
    """A model component in ONNX Runtime."""

    def __init__(self, model: Path, options: SessionOptions) -> None:
        providers = _providers(options)
        self._session = open_inference_session(model, options, providers)
        self.provider: str = provider_that_runs(self._session, providers[0][0], model.name)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.input_names: list[str] = [tensor.name for tensor in self._session.get_inputs()]
        # Only for the encoder, which takes most of the memory and has one image as its input.
        shapes = options.shapes if options.steady else {}
        self._smallest = {name: np.zeros(least, np.float32) for name, (least, _, _) in shapes.items()}

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`."""
        outputs = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, outputs, strict=True))

    def release_memory(self) -> None:
        """See `Session.release_memory`. ONNX Runtime frees memory only after a run, so do a small one."""
        if self._smallest:
            options = load_package().RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
            self._session.run(self._outputs, self._smallest, options)


def _providers(options: SessionOptions) -> list[tuple[str, Mapping[str, str]]]:
    """Return ONNX Runtime's providers for a device. The first one must run."""
    if not options.device:
        return [(CPU, options.extra)]
    reason = why_no_provider(options.device)
    if reason:
        raise RuntimeUnavailableError(reason)
    return [(find_provider(options.device) or CPU, options.extra), (CPU, {})]


def open_session(model: Path, options: SessionOptions) -> OnnxRuntimeSession:
    """Load an ONNX file; see `Backend.open_session`."""
    return OnnxRuntimeSession(model, options)


def profile(model: Path, options: SessionOptions, inputs: Mapping[str, NDArray[Any]], runs: int) -> list[Event]:
    """See `edge_sam.runtimes.session.Profile`."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_inference_session(model, options, _providers(options), Path(folder) / "profile")
        for _ in range(1 + runs):
            session.run(None, dict(inputs))
        events: list[Event] = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    for event in nodes:
        event["args"]["node"] = event["name"].removesuffix("_kernel_time")
    # Drop the warm-up run; every run has the same nodes.
    return nodes[len(nodes) // (1 + runs) :]
