"""What this machine is, as far as it decides what runs how."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from edge_sam.runtimes.cuda_driver import CudaDevice, cuda_devices


@dataclass(frozen=True)
class System:
    """Operating system."""

    name: str
    kernel: str
    architecture: str


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes; on boards the GPU shares it."""

    total: int
    available: int | None


@dataclass(frozen=True)
class Nvidia:
    """Devices as the driver lists them, its version, and why there is no device."""

    devices: list[CudaDevice]
    driver: str | None
    none_because: str | None


def system(root: Path) -> System:
    """Name the operating system; `root` stands for the root of the file system, as in all functions here."""
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(root / "etc/os-release"), re.MULTILINE)
    name = release[1] if release else f"{platform.system()} {platform.version()}"
    return System(name, platform.release(), platform.machine())


def memory(root: Path) -> Memory:
    """Say how much memory there is."""
    lines = re.findall(r"^(\w+):\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    sizes = {name: int(kibibytes) * 1024 for name, kibibytes in lines}
    total = sizes.get("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Memory(total, sizes.get("MemAvailable"))


def nvidia(root: Path) -> Nvidia:
    """List NVIDIA's devices."""
    version = re.search(r"Kernel Module\D*?(?:for \S+)?\s+(\d[\d.]*)", _text(root / "proc/driver/nvidia/version"))
    found = cuda_devices()
    devices, reason = ([], found) if isinstance(found, str) else (found, None)
    return Nvidia(devices, version[1] if version else None, reason)


def _text(path: Path) -> str:
    """Read a file of the system; empty where there is none, as on other systems than Linux."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
