"""Which runtime packages are installed, and which of them are in each other's way."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sam.runtimes import BACKENDS, backend
from edge_sam.runtimes.cuda_driver import cuda_devices
from edge_sam.runtimes.gpu_package import gpu_requirements
from edge_sam.system.machine import installed_versions

ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)
"""Distributions that own the same folder: `onnxruntime/`, `cv2/`."""


@dataclass(frozen=True)
class Conflict:
    """Packages in each other's way, what that does, and the command that mends it."""

    packages: list[str]
    problem: str
    mend: str


def installed() -> dict[str, str]:
    """Return the version of each installed distribution that decides what runs here, by name."""
    names = ["numpy", *ONNXRUNTIME, *OPENCV]
    names += [package for name in BACKENDS for package in backend(name).PACKAGES]
    return installed_versions(names)


def conflicts(packages: dict[str, str]) -> list[Conflict]:
    """Find distributions that overwrite each other: the last installed one wins, without a word."""
    found = []
    runtimes = [name for name in ONNXRUNTIME if name in packages]
    if len(runtimes) > 1:
        has_device = isinstance(cuda_devices(), list)
        wanted = gpu_requirements() if has_device and "onnxruntime-gpu" in runtimes else None
        found.append(
            Conflict(
                runtimes,
                "they own the same folder, and the one installed last decides: a GPU may go unused without a word",
                f"pip uninstall -y {' '.join(runtimes)} && pip install {wanted or 'onnxruntime'}",
            )
        )
    opencv = [name for name in OPENCV if name in packages]
    if len(opencv) > 1:
        found.append(
            Conflict(
                opencv,
                "they own the same folder: the one installed last decides, and removing one breaks the other",
                f"pip uninstall -y {' '.join(opencv)} && pip install opencv-python-headless",
            )
        )
    return found
