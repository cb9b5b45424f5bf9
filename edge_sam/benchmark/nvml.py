"""GPU memory, energy and slowdowns from NVIDIA's management library (NVML). Not run on hardware yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SLOWDOWNS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake slowdown",
}
"""Bits of nvmlClocksEventReasons for which the GPU runs below its full clock."""


class Nvml:
    """All NVIDIA devices of this machine together.

    Figures that no device reports, as on Jetson boards and old GPUs, are None.

    Parameters
    ----------
    library : module
        `pynvml`, already initialised.
    """

    name = "NVIDIA GPUs (NVML)"

    def __init__(self, library: Any) -> None:
        self._library = library
        self._devices = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]

    def used_mb(self) -> float | None:
        """Return the memory in use by all processes, in MiB."""
        return _total(self._each(lambda device: self._library.nvmlDeviceGetMemoryInfo(device).used / 2**20))

    def joules(self) -> float | None:
        """Return the energy used since the driver was loaded. Volta and later GPUs count it."""
        return _total(self._each(lambda device: self._library.nvmlDeviceGetTotalEnergyConsumption(device) / 1000))

    def slowed_by(self) -> set[str]:
        """Return what currently keeps the GPUs below their full clock."""
        reasons = self._each(self._library.nvmlDeviceGetCurrentClocksThrottleReasons)
        return {what for bit, what in _SLOWDOWNS.items() if any(bits is not None and bits & bit for bits in reasons)}

    def _each(self, ask: Callable[[Any], Any]) -> list[Any]:
        answers = []
        for device in self._devices:
            try:
                answers.append(ask(device))
            except self._library.NVMLError:
                answers.append(None)
        return answers


def open_nvml() -> Nvml | None:
    """Open NVML. None without the package `nvidia-ml-py`, the NVIDIA driver or a device."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
        nvml = Nvml(pynvml)
    except pynvml.NVMLError:
        return None
    return nvml if nvml._devices else None


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
