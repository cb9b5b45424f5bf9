"""Description of the machine, and whether its speed was steady."""

from __future__ import annotations

import platform
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sam.benchmark.nvml import Nvml
from edge_sam.benchmark.report import Machine
from edge_sam.runtimes import packages
from edge_sam.system.machine import find_processor, installed_versions, memory, read_text

_PACKAGES = ("edge-sam", "numpy", "opencv-python-headless")
"""Besides those of the runtimes."""
_SLOWER = 0.9
"""Fraction of the initial clock or speed below which a report notes the drop."""


@dataclass(frozen=True)
class Clock:
    """A reading of clock, throttling and temperature. Fields that the machine does not report are None.

    Attributes
    ----------
    mhz : float or None
        Mean clock of the cores.
    throttled : int or None
        Thermal throttling events since boot.
    celsius : float or None
        Temperature of the warmest sensor.
    limits : frozenset of str or None
        What currently limits the speed of the processor or a GPU.
    """

    mhz: float | None
    throttled: int | None
    celsius: float | None
    limits: frozenset[str] | None


def read_clock(nvml: Nvml | None = None, root: Path = Path("/")) -> Clock:
    """Read clock, throttling and temperature from Linux's files under `root`, and from NVML."""
    cpu, thermal = root / "sys/devices/system/cpu", root / "sys/class/thermal"
    kilohertz = _numbers(cpu.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    reported = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", read_text(root / "proc/cpuinfo"), re.MULTILINE)
    mhz = [value / 1000 for value in kilohertz] or list(map(float, reported))
    throttled = _numbers(cpu.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    celsius = _numbers(thermal.glob("thermal_zone*/temp"))
    coolers = [cooler for cooler in thermal.glob("cooling_device*") if _slows(read_text(cooler / "type"))]
    limits = {f"{read_text(cooler / 'type')} (heat)" for cooler in coolers if any(_numbers([cooler / "cur_state"]))}
    if nvml is not None:
        limits |= {f"GPU {what}" for what in nvml.slowed_by()}
    return Clock(
        statistics.fmean(mhz) if mhz else None,
        int(sum(throttled)) if throttled else None,
        max(celsius) / 1000 if celsius else None,
        frozenset(limits) if coolers or nvml is not None else None,
    )


def _slows(kind: str) -> bool:
    """Tell whether a Linux cooling device works by reducing speed, unlike a fan."""
    return kind == "Processor" or kind.removeprefix("thermal-").startswith(("cpufreq-", "devfreq-"))


def describe_machine(clocks: Sequence[Clock], drift: float | None) -> Machine:
    """Describe this machine and its state during the benchmark.

    Parameters
    ----------
    clocks : sequence of Clock
        Readings before the first round and after each round, when the processor still has its working clock.
    drift : float or None
        Ratio of the first row's time in the second half of the rounds to its time in the first half.
    """
    processor = find_processor()
    governor = read_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) or None
    mhz = [clock.mhz for clock in clocks[1:] if clock.mhz is not None]
    celsius = [clock.celsius for clock in clocks if clock.celsius is not None]
    throttled = None
    if clocks[0].throttled is not None and clocks[-1].throttled is not None:
        throttled = clocks[-1].throttled - clocks[0].throttled
    return Machine(
        processor=processor.name,
        cores=processor.cores or 1,
        features=[name for name, has in (processor.instruction_sets or {}).items() if has],
        system=f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
        memory_mb=memory().total / 2**20,
        versions=installed_versions([*_PACKAGES, *packages()]),
        governor=governor,
        mhz_first=mhz[0] if mhz else None,
        mhz_last=mhz[-1] if mhz else None,
        mhz_min=min(mhz, default=None),
        celsius_max=max(celsius, default=None),
        throttled=throttled,
        notes=[
            *_notes_on_clock(mhz),
            *_notes_on_heat(clocks, throttled),
            *_notes_on_settings(governor),
            *_notes_on_drift(drift),
        ],
    )


def _notes_on_clock(mhz: Sequence[float]) -> Iterator[str]:
    if not mhz:
        yield "the processor's clock cannot be read here"
    elif min(mhz) < _SLOWER * mhz[0]:
        yield f"the clock fell from {mhz[0]:.0f} to {min(mhz):.0f} MHz"


def _notes_on_heat(clocks: Sequence[Clock], throttled: int | None) -> Iterator[str]:
    limits = [clock.limits for clock in clocks if clock.limits is not None]
    if throttled is None and not limits:
        yield "thermal throttling cannot be read here"
    if throttled:
        yield f"the processor throttled {throttled} times because of heat"
    held_back = frozenset[str]().union(*limits)
    if held_back:
        yield f"speed limited by: {', '.join(sorted(held_back))}"


def _notes_on_settings(governor: str | None) -> Iterator[str]:
    if governor not in (None, "performance"):
        yield f"the frequency governor is {governor}; for steady figures set it to performance"


def _notes_on_drift(drift: float | None) -> Iterator[str]:
    if drift is not None and not _SLOWER < drift < 1 / _SLOWER:
        yield f"the first row took {drift:.2f} times as long in the second half of the rounds"


def _numbers(paths: Iterable[Path]) -> list[float]:
    texts = map(read_text, sorted(paths))
    return [float(text) for text in texts if text.lstrip("-").isdigit()]
