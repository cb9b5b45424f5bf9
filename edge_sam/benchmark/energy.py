"""Energy of each run, from the sensors of this machine."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

from edge_sam.benchmark.nvml import Nvml
from edge_sam.system.machine import read_text

_PERIOD = 0.05
"""Seconds between two readings of a power sensor. A reading takes a few milliseconds on the I²C bus."""


class Counter(Protocol):
    """An energy counter."""

    @property
    def name(self) -> str:
        """What it measures, and with which sensor."""

    def joules(self) -> float | None:
        """Return the energy since an arbitrary start; only differences are meaningful."""


class Rapl:
    """The processor's counters (Linux, Documentation/power/powercap). Usually only root can read them.

    Parameters
    ----------
    zones : list of Path
        Folder of each processor package.
    """

    name = "processor (RAPL)"

    def __init__(self, zones: list[Path]) -> None:
        self._zones = zones
        self._last = self._read()
        self._joules = 0.0

    def joules(self) -> float:
        """See `Counter.joules`."""
        now = self._read()
        for zone, new, old in zip(self._zones, now, self._last, strict=True):
            # The counter wraps around.
            full = 0 if new >= old else (_number(zone / "max_energy_range_uj") or 0)
            self._joules += (new - old + full) / 1e6
        self._last = now
        return self._joules

    def _read(self) -> list[int]:
        return [_number(zone / "energy_uj") or 0 for zone in self._zones]


class PowerRail:
    """A power rail measured by an INA3221 sensor, as on Jetsons. Power is integrated here.

    Parameters
    ----------
    sensor : Path
        Folder of the sensor.
    channel : int
        One of its three channels.
    name : str
        The board's name of the rail.
    """

    def __init__(self, sensor: Path, channel: int, name: str) -> None:
        self.name = f"{name} (INA3221)"
        self._millivolts, self._milliamperes = sensor / f"in{channel}_input", sensor / f"curr{channel}_input"
        self._lock = threading.Lock()
        self._joules = 0.0
        self._time, self._watts = time.perf_counter(), self._read()

    def joules(self) -> float:
        """See `Counter.joules`. Call it often: power is interpolated linearly between two calls."""
        with self._lock:
            now, watts = time.perf_counter(), self._read()
            self._joules += (watts + self._watts) / 2 * (now - self._time)
            self._time, self._watts = now, watts
            return self._joules

    def _read(self) -> float:
        return (_number(self._millivolts) or 0) * (_number(self._milliamperes) or 0) / 1e6


class EnergyMeter:
    """All energy counters of this machine. Use it as a context manager.

    Parameters
    ----------
    nvml : Nvml, optional
        The GPUs.
    root : Path
        Root of the file system; tests pass another folder.
    """

    def __init__(self, nvml: Nvml | None = None, root: Path = Path("/")) -> None:
        self._rails = find_power_rails(root)
        counters: list[Counter] = [*find_rapl(root), *self._rails]
        if nvml is not None and nvml.joules() is not None:
            counters.append(nvml)
        self._counters = counters
        self._last = self._read()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> EnergyMeter:
        if self._rails:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._rails:
            self._thread.join()

    def joules_since_last(self) -> dict[str, float]:
        """Return the energy since the last call by counter; empty if there is no counter."""
        now, last = self._read(), self._last
        self._last = now
        return {name: joules - last.get(name, joules) for name, joules in now.items()}

    def _read(self) -> dict[str, float]:
        found = {counter.name: counter.joules() for counter in self._counters}
        return {name: joules for name, joules in found.items() if joules is not None}

    def _watch(self) -> None:
        while not self._stop.wait(_PERIOD):
            for rail in self._rails:
                rail.joules()


def find_rapl(root: Path) -> list[Rapl]:
    """Find the processor's counters, if they are readable."""
    folders = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    zones = [zone for zone in folders if zone.name.count(":") == 1 and _number(zone / "energy_uj") is not None]
    return [Rapl(zones)] if zones else []


def find_power_rails(root: Path) -> list[PowerRail]:
    """Find the INA3221 channels that have a name, a voltage and a current."""
    rails = []
    for sensor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if read_text(sensor / "name") != "ina3221":
            continue
        for channel in (1, 2, 3):
            name = read_text(sensor / f"in{channel}_label")
            parts = (_number(sensor / f"{kind}{channel}_input") for kind in ("in", "curr"))
            if name and name != "NC" and None not in parts:  # NC: not connected.
                rails.append(PowerRail(sensor, channel, name))
    return rails


def _number(path: Path) -> int | None:
    try:
        return int(read_text(path))
    except ValueError:
        return None
