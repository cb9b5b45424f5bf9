"""TensorRT on NVIDIA devices with ONNX Runtime's provider. Engines are built once and cached."""

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
from edge_sam.runtimes.session import SessionOptions, ShapeRange

MODEL_FORMATS = ("onnx",)
BUILDS_ENGINES = True
PACKAGES = ("onnxruntime-gpu", "tensorrt", "tensorrt-cu12", "tensorrt-cu13")
PROVIDER = "TensorrtExecutionProvider"


def why_unusable(device: str) -> str | None:
    """Return None if the device, its driver and an ONNX Runtime with TensorRT exist, else what is missing."""
    return missing_cuda_device(device) or missing_provider(PROVIDER, install_command())


def install_command() -> str | None:
    """See `Backend.install_command`."""
    return install_gpu(tensorrt=True)


def tensorrt_options(options: SessionOptions) -> dict[str, str]:
    """Return the options of the TensorRT provider.

    The precision is that of the file; TensorRT 10 only has to be allowed its types. In an int8 file only operators
    between Q/DQ compute in int8, because there is no calibration.

    TensorRT would build a new engine for shapes outside the profile, so the profile covers all inputs of the model.
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


def _profile(shapes: Mapping[str, ShapeRange], which: int) -> str:
    """Format one of the three shapes of every input for ONNX Runtime: ``name:1x3x16x16,name:...``."""
    return ",".join(f"{name}:{'x'.join(map(str, choices[which]))}" for name, choices in shapes.items())


def open_session(model: Path, options: SessionOptions) -> DeviceSession:
    """Load an ONNX file in TensorRT; see `Backend.open_session`. Engines are only built on request."""
    if not options.build and (options.cache is None or not any(options.cache.glob("*.engine"))):
        raise RuntimeUnavailableError(
            "no TensorRT engines of this model for this device and these versions; build them with: edge-sam build"
        )
    if options.cache is not None:
        options.cache.mkdir(parents=True, exist_ok=True)
    providers = [(PROVIDER, tensorrt_options(options)), (CUDA, cuda_options(SessionOptions(device=options.device)))]
    return DeviceSession(model, options, [*providers, (CPU, {})])
