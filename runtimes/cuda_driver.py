"""NVIDIA devices as the driver reports them, without any package."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the CUDA driver API."""


@dataclass(frozen=True)
class CudaDevice:
    """One device.

    Attributes
    ----------
    name : str
        Name from the driver.
    compute_capability : tuple of int
        Major and minor version, which decide which kernels and engines run.
    driver : int
        Newest CUDA version that the driver supports: 12040 is 12.4.
    """

    name: str
    compute_capability: tuple[int, int]
    driver: int

    def __str__(self) -> str:
        major, minor = self.compute_capability
        version = f"{self.driver // 1000}.{self.driver % 1000 // 10}"
        return f"{self.name}, compute capability {major}.{minor}, driver for CUDA {version}"


def cuda_devices() -> list[CudaDevice] | str:
    """List the devices, or return the reason in one line if there are none."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "no NVIDIA driver on this machine"
    status = driver.cuInit(0)
    if status:
        return f"the NVIDIA driver finds no usable device (cuInit returned {status})"
    count, version = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetCount(ctypes.byref(count))
    return [_describe(driver, number, version.value) for number in range(count.value)]


def missing_cuda_device(device: str) -> str | None:
    """Return None if the device with this number (empty: the first) exists, else the reason."""
    if device and not device.isdecimal():
        return f"a CUDA device is a number, not {device!r}"
    devices = cuda_devices()
    if isinstance(devices, str):
        return devices
    if int(device or 0) >= len(devices):
        return f"there is no CUDA device {device or 0}; the driver has {len(devices)}"
    return None


def _describe(driver: ctypes.CDLL, number: int, version: int) -> CudaDevice:
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    driver.cuDeviceGet(ctypes.byref(handle), number)
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, handle)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, handle)
    return CudaDevice(name.value.decode(errors="replace"), (major.value, minor.value), version)
