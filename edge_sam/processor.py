"""What the processor is, for keys of caches and for reports."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

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
"""Flag of Linux by instruction set. The first three make fp32 fast, the others int8 and bf16."""
ARM = {"NEON": ("asimd", "neon"), "dotprod": ("asimddp",), "i8mm": ("i8mm",), "BF16": ("bf16",), "SVE": ("sve",)}
"""Flags of Linux by instruction set, of 64-bit and 32-bit kernels."""
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
"""Core by implementer and part, which is all that Linux says of ARM processors (arch/arm64/include/asm/cputype.h)."""


@dataclass(frozen=True)
class Processor:
    """The processor.

    Attributes
    ----------
    name : str
        Of each kind of core, where there are several.
    cores : int, optional
        Logical ones.
    instruction_sets : dict of str to bool, optional
        Those of `X86` or `ARM`, and whether it has them; None where the system does not say.
    """

    name: str
    cores: int | None
    instruction_sets: dict[str, bool] | None


def find_processor(root: Path = Path("/")) -> Processor:
    """Name the processor and what it can.

    Parameters
    ----------
    root : Path
        Folder that stands for the root of the file system.
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
    return Processor(" + ".join(names) or platform.processor() or "unknown", os.cpu_count(), sets)


def _facts(path: Path) -> dict[str, list[str]]:
    """Values by key of all cores, each once, in order; none where there is no such file, as on other systems."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    facts: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if value and value not in facts.setdefault(key, []):
            facts[key].append(value)
    return facts
