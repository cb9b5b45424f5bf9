"""Facts about this machine, for cache keys and reports."""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edge_sam.runtimes.cores import usable_cores
from edge_sam.runtimes.cuda_driver import CudaDevice, cuda_devices

X86 = {
    "AVX2": "avx2",
    "FMA": "fma",
    "AVX-512": "avx512f",
    "AVX-512 VNNI": "avx512_vnni",
    "AVX-512 BF16": "avx512_bf16",
    "AVX-VNNI": "avx_vnni",
    "AMX int8": "amx_int8",
    "AMX bf16": "amx_bf16",
}
"""Linux CPU flag of each instruction set. The first three speed up fp32, the others int8 and bf16."""
ARM = {"NEON": ("asimd", "neon"), "dotprod": ("asimddp",), "i8mm": ("i8mm",), "BF16": ("bf16",), "SVE": ("sve",)}
"""Linux CPU flags of each instruction set, for 64-bit and 32-bit kernels."""
_ARM_CORES = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x41", "0xd83"): "Neoverse-V3AE",
    ("0x4e", "0x004"): "Carmel",
}
"""ARM core by implementer and part, which is all that Linux reports (arch/arm64/include/asm/cputype.h)."""
_NVIDIA_DRIVER = "proc/driver/nvidia/version"


@dataclass(frozen=True)
class Processor:
    """The processor.

    Attributes
    ----------
    name : str
        Name of the processor, or of each kind of core.
    cores : int, optional
        Number of logical cores.
    usable_cores : int
        Number of cores that this process may use.
    instruction_sets : dict of str to bool, optional
        Whether it has each set of `X86` or `ARM`; None if the system does not report it.
    """

    name: str
    cores: int | None
    usable_cores: int
    instruction_sets: dict[str, bool] | None


def find_processor(root: Path = Path("/")) -> Processor:
    """Describe the processor.

    Parameters
    ----------
    root : Path
        Root of the file system; tests pass another folder.
    """
    facts = _facts(root / "proc/cpuinfo")
    arm = dict.fromkeys(zip(facts.get("CPU implementer", []) * 9, facts.get("CPU part", []), strict=False))
    names = facts.get("model name") or [_ARM_CORES.get(core, " ".join(core)) for core in arm]
    sets = None
    if "flags" in facts:
        flags = set(facts["flags"][0].split())
        sets = {name: flag in flags for name, flag in X86.items()}
    elif "Features" in facts:
        flags = set(facts["Features"][0].split())
        sets = {name: not flags.isdisjoint(any_of) for name, any_of in ARM.items()}
    name = " + ".join(names) or platform.processor() or "unknown"
    return Processor(name, os.cpu_count(), usable_cores(root), sets)


def _facts(path: Path) -> dict[str, list[str]]:
    """Return the distinct values of each key over all cores, in order; empty if there is no such file."""
    facts: dict[str, list[str]] = {}
    for line in read_text(path).splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if value and value not in facts.setdefault(key, []):
            facts[key].append(value)
    return facts


@dataclass(frozen=True)
class System:
    """Operating system."""

    name: str
    kernel: str
    architecture: str


def system(root: Path = Path("/")) -> System:
    """Describe the operating system. `root` is the root of the file system, as in all functions here."""
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', read_text(root / "etc/os-release"), re.MULTILINE)
    name = release[1] if release else f"{platform.system()} {platform.version()}"
    return System(name, platform.release(), platform.machine())


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes. On boards the GPU shares it."""

    total: int
    available: int | None


def memory(root: Path = Path("/")) -> Memory:
    """Return the size of main memory."""
    lines = re.findall(r"^(\w+):\s+(\d+) kB", read_text(root / "proc/meminfo"), re.MULTILINE)
    sizes = {name: int(kibibytes) * 1024 for name, kibibytes in lines}
    total = sizes.get("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Memory(total, sizes.get("MemAvailable"))


@dataclass(frozen=True)
class Nvidia:
    """The driver's devices and version, and the reason if there are no devices."""

    devices: list[CudaDevice]
    driver: str | None
    none_because: str | None


def nvidia(root: Path = Path("/")) -> Nvidia:
    """Describe the NVIDIA devices and driver."""
    version = re.search(r"Kernel Module\D*?(?:for \S+)?\s+(\d[\d.]*)", read_text(root / _NVIDIA_DRIVER))
    found = cuda_devices()
    devices, reason = ([], found) if isinstance(found, str) else (found, None)
    return Nvidia(devices, version[1] if version else None, reason)


@functools.cache
def machine() -> dict[str, str]:
    """Return the facts that affect inference: system, processor, cores and NVIDIA driver."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": find_processor().name,
        "cores": str(os.cpu_count()),
        "nvidia_driver": read_text(Path("/") / _NVIDIA_DRIVER).partition("\n")[0],
    }


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the installed distributions among these, by name."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def read_text(path: Path) -> str:
    """Read and strip a system file. Empty if it does not exist, as outside Linux."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
