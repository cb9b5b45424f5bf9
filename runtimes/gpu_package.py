"""Which ONNX Runtime package for NVIDIA devices suits this machine."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from edge_sam.runtimes.cuda_driver import cuda_devices
from edge_sam.runtimes.jetson import find_jetson


def gpu_requirements(tensorrt: bool = False, root: Path = Path("/")) -> str | None:
    """Return the arguments of ``pip install`` for the NVIDIA devices of this machine.

    Parameters
    ----------
    tensorrt : bool
        Whether to include TensorRT. On a Jetson it comes with JetPack.
    root : Path
        Root of the file system; tests pass another folder.

    Returns
    -------
    str or None
        None on an ARM machine without known wheels.
    """
    jetson = find_jetson(root)
    if jetson is not None:
        return f"onnxruntime-gpu --index-url {jetson.wheels}" if jetson.wheels else None
    if platform.machine() in ("aarch64", "arm64"):
        return None  # PyPI has wheels for x86-64 only.
    devices = cuda_devices()
    driver = devices[0].driver if isinstance(devices, list) and devices else 0
    # ONNX Runtime needs CUDA 13 since 1.27, and has no wheels for Python 3.10 since 1.24.
    cuda = 13 if driver >= 13000 and sys.version_info >= (3, 11) else 12
    packages = '"onnxruntime-gpu[cuda,cudnn]"' if cuda == 13 else '"onnxruntime-gpu[cuda,cudnn]<1.27"'
    # Its provider needs TensorRT 10 and does not load with 11.
    return f'{packages} "tensorrt-cu{cuda}<11"' if tensorrt else packages


def install_gpu(tensorrt: bool = False) -> str | None:
    """Return the command that installs ONNX Runtime for NVIDIA devices; see `gpu_requirements`.

    The packages `onnxruntime` and `onnxruntime-gpu` install the same folder, so both must be removed first.
    """
    wanted = gpu_requirements(tensorrt)
    return f"pip uninstall -y onnxruntime onnxruntime-gpu && pip install {wanted}" if wanted else None
