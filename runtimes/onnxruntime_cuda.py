"""ONNX Runtime on NVIDIA devices with the CUDA provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.runtimes.cuda_driver import cuda_devices, missing_cuda_device
from edge_sam.runtimes.gpu_package import install_gpu
from edge_sam.runtimes.onnxruntime_session import CPU, missing_provider, open_inference_session, preload_cuda
from edge_sam.runtimes.onnxruntime_session import PACKAGES as PACKAGES
from edge_sam.runtimes.onnxruntime_session import load_package as load_package
from edge_sam.runtimes.session import Session, SessionOptions, Tensors

MODEL_FORMATS = ("onnx",)
BUILDS_ENGINES = False
PROVIDER = "CUDAExecutionProvider"


def why_unusable(device: str) -> str | None:
    """Return None if the device, its driver and an ONNX Runtime for it exist, else what is missing."""
    return missing_cuda_device(device) or missing_provider(PROVIDER, install_command())


def install_command() -> str | None:
    """See `Backend.install_command`."""
    return install_gpu()


def runs_on_cpu(_device: str) -> bool:
    """See `Backend.runs_on_cpu`."""
    return False


def hardware(device: str) -> str:
    """Return the device's name and driver version."""
    devices = cuda_devices()
    return devices if isinstance(devices, str) else str(devices[int(device or 0)])


class DeviceSession(Session):
    """A model component whose inputs may stay in device memory between runs.

    Parameters
    ----------
    model : Path
        An ONNX file.
    options : SessionOptions
        How to open it.
    providers : sequence of (name, options)
        ONNX Runtime's providers. The first one must run.
    """

    def __init__(
        self, model: Path, options: SessionOptions, providers: Sequence[tuple[str, Mapping[str, str]]]
    ) -> None:
        preload_cuda()
        self._session = open_inference_session(model, options, providers)
        self._device = int(options.device or 0)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.input_names: list[str] = [tensor.name for tensor in self._session.get_inputs()]
        self.provider: str = self._session.get_providers()[0]

    def upload(self, array: NDArray[Any]) -> Any:
        """See `Session.upload`. Returns an ``OrtValue`` in device memory."""
        value = load_package().OrtValue
        return value.ortvalue_from_numpy(np.ascontiguousarray(array), "cuda", self._device)

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`."""
        binding = self._session.io_binding()  # One for each run, because a binding is not thread-safe.
        for name, value in inputs.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
            else:
                binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, "cuda", self._device)  # The shape is unknown before the run.
        self._session.run_with_iobinding(binding)
        return dict(zip(self._outputs, binding.copy_outputs_to_cpu(), strict=True))


def cuda_options(options: SessionOptions) -> dict[str, str]:
    """Return the options of the CUDA provider.

    The arena grows only as requested, because a board shares its memory with the system. Convolution algorithms are
    chosen by heuristic, because benchmarking them takes seconds for every new shape of photograph.
    """
    return {
        "device_id": options.device or "0",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        **options.extra,
    }


def open_session(model: Path, options: SessionOptions) -> DeviceSession:
    """Load an ONNX file on a CUDA device; see `Backend.open_session`."""
    return DeviceSession(model, options, [(PROVIDER, cuda_options(options)), (CPU, {})])
