"""TensorRT on NVIDIA devices, through ONNX Runtime's provider: engines are built once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_sam.runtimes.cuda_driver import missing_cuda_device
from edge_sam.runtimes.errors import RuntimeUnavailableError
from edge_sam.runtimes.gpu_package import install_gpu
from edge_sam.runtimes.onnxruntime_cuda import PROVIDER as CUDA
from edge_sam.runtimes.onnxruntime_cuda import DeviceSession, cuda_options
from edge_sam.runtimes.onnxruntime_cuda import hardware as hardware
from edge_sam.runtimes.onnxruntime_cuda import runs_on_cpu as runs_on_cpu
from edge_sam.runtimes.onnxruntime_session import CPU, missing_provider
from edge_sam.runtimes.onnxruntime_session import load_package as load_package
from edge_sam.runtimes.session import SessionOptions, Shapes

MODEL_FORMATS = ("onnx",)
BUILDS_ENGINES = True
PACKAGES = ("onnxruntime-gpu", "tensorrt", "tensorrt-cu12", "tensorrt-cu13")
PROVIDER = "TensorrtExecutionProvider"


def why_unusable(device: str) -> str | None:
    """Return None when a device, its driver and an ONNX Runtime with TensorRT are there, else what is missing."""
    return missing_cuda_device(device) or missing_provider(PROVIDER, install_command())


def install_command() -> str | None:
    """See `Backend.install_command`."""
    return install_gpu(tensorrt=True)


def tensorrt_options(options: SessionOptions) -> dict[str, str]:
    """Options of the TensorRT provider.

    Precision is the file's own: nothing is lowered behind its back. TensorRT 10 has to be allowed the types that a file
    is written in. In an int8 file only what stands between Q/DQ is int8, because no calibration is given.

    Shapes outside the profile would make TensorRT build a new engine in the middle of a run, so the profile covers all
    that the model takes.
    """
    settings = {
        "device_id": options.device or "0",
        "trt_fp16_enable": str(int(options.precision == "fp16")),
        "trt_int8_enable": str(int(options.precision == "int8")),
    }
    if options.cache is not None:
        folder = str(options.cache)
        settings |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": folder,
        }
    for i, which in enumerate(("min", "opt", "max")):
        if options.shapes:
            settings[f"trt_profile_{which}_shapes"] = _profile(options.shapes, i)
    return settings | dict(options.extra)


def _profile(shapes: Mapping[str, Shapes], which: int) -> str:
    """Write one of the three shapes of every input as ONNX Runtime parses it: ``name:1x3x16x16,name:...``."""
    return ",".join(f"{name}:{'x'.join(map(str, choices[which]))}" for name, choices in shapes.items())


def open_session(model: Path, options: SessionOptions) -> DeviceSession:
    """Load an ONNX file in TensorRT; see `Backend.open_session`. It refuses to build engines unasked."""
    if options.cache is not None:
        if not options.build and not any(options.cache.glob("*.engine")):
            raise RuntimeUnavailableError(
                "no TensorRT engines of this model for this device and these versions; make them with: edge-sam build"
            )
        options.cache.mkdir(parents=True, exist_ok=True)
    providers = [(PROVIDER, tensorrt_options(options)), (CUDA, cuda_options(SessionOptions(device=options.device)))]
    return DeviceSession(model, options, [*providers, (CPU, {})])
