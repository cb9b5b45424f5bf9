"""What the machine is, and whether it kept its speed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_sam.benchmark.report import Machine

_FEATURES = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
_FEATURES_ARM = ("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2")
_PACKAGES = ("edge-sam", "onnxruntime", "onnxruntime-gpu", "openvino", "numpy", "opencv-python-headless")
_SLOWER = 0.9
"""A clock that fell below this fraction of what it was is worth a note."""


@dataclass(frozen=True)
class Clock:
    """What the processor says about itself at one moment; None where it does not.

    Attributes
    ----------
    mhz : float or None
        Mean over the cores.
    throttled : int or None
        Thermal throttling events since the machine started.
    celsius : float or None
        The warmest sensor.
    """

    mhz: float | None
    throttled: int | None
    celsius: float | None


def read_clock(system: Path = Path("/")) -> Clock:
    """Read clock, throttling and temperature from Linux's files under `system`."""
    cpu = system / "sys/devices/system/cpu"
    kilohertz = _numbers(cpu.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    mhz = [value / 1000 for value in kilohertz] or [
        float(value) for value in _fields(system / "proc/cpuinfo", "cpu MHz")
    ]
    throttled = _numbers(cpu.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    celsius = _numbers((system / "sys/class/thermal").glob("thermal_zone*/temp"))
    return Clock(
        statistics.fmean(mhz) if mhz else None,
        int(sum(throttled)) if throttled else None,
        max(celsius) / 1000 if celsius else None,
    )


def describe_machine(before: Clock, after: Clock, drift: float | None) -> Machine:
    """Describe this machine and what happened to it between two moments.

    Parameters
    ----------
    before, after : Clock
        Around the measurement.
    drift : float or None
        Time of the first row in the second half of the rounds over that in the first half.
    """
    flags = " ".join([*_fields(Path("/proc/cpuinfo"), "flags")[:1], *_fields(Path("/proc/cpuinfo"), "Features")[:1]])
    governor = _text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    throttled = None
    if before.throttled is not None and after.throttled is not None:
        throttled = after.throttled - before.throttled
    return Machine(
        processor=(_fields(Path("/proc/cpuinfo"), "model name") or [platform.processor() or platform.machine()])[0],
        cores=os.cpu_count() or 1,
        features=[name for name in (*_FEATURES, *_FEATURES_ARM) if name in flags.split()],
        system=f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
        memory_mb=_memory_mb(),
        versions=_versions(),
        governor=governor,
        mhz_before=before.mhz,
        mhz_after=after.mhz,
        celsius_after=after.celsius,
        throttled=throttled,
        notes=_notes(before, after, throttled, governor, drift),
    )


def _notes(before: Clock, after: Clock, throttled: int | None, governor: str | None, drift: float | None) -> list[str]:
    notes = []
    if before.mhz is None:
        notes.append("the clock of the processor cannot be read here")
    elif after.mhz is not None and after.mhz < _SLOWER * before.mhz:
        notes.append(f"the clock fell from {before.mhz:.0f} to {after.mhz:.0f} MHz")
    if throttled is None:
        notes.append("thermal throttling cannot be read here")
    elif throttled:
        notes.append(f"the processor throttled {throttled} times because it was hot")
    if governor not in (None, "performance"):
        notes.append(f"the frequency governor is {governor}; for steady figures set it to performance")
    if drift is not None and not _SLOWER < drift < 1 / _SLOWER:
        notes.append(f"the first row took {drift:.2f} times as long in the second half of the rounds")
    return notes


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _memory_mb() -> float | None:
    total = _fields(Path("/proc/meminfo"), "MemTotal")
    return int(total[0].split()[0]) / 1024 if total else None


def _fields(path: Path, name: str) -> list[str]:
    """Values of the lines `name: value` in a file of Linux."""
    text = _text(path) or ""
    pairs = (line.partition(":") for line in text.splitlines())
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def _numbers(paths: Iterable[Path]) -> list[float]:
    texts = [_text(path) for path in sorted(paths)]
    return [float(text) for text in texts if text is not None and text.lstrip("-").isdigit()]


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
