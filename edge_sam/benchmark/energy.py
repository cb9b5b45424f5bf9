"""Energy counters of the processor."""

from __future__ import annotations

from pathlib import Path


class EnergyMeter:
    """RAPL, the energy counters of x86 processors, as Linux has them (Documentation/power/powercap).

    Most systems let only root read them.

    Parameters
    ----------
    folder : Path
        Where Linux lists power zones.
    """

    def __init__(self, folder: Path = Path("/sys/class/powercap")) -> None:
        packages = [zone for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._zones = [zone for zone in packages if _number(zone / "energy_uj") is not None]
        self._last = self._read()

    def joules_since_last(self) -> float | None:
        """Return the energy of all processor packages since the call before, or None where it cannot be told."""
        if not self._zones:
            return None
        now, last = self._read(), self._last
        self._last = now
        total = 0
        for zone, new, old in zip(self._zones, now, last, strict=True):
            # The counter starts again at 0 when it is full.
            total += new - old if new >= old else new - old + (_number(zone / "max_energy_range_uj") or 0)
        return total / 1e6

    def _read(self) -> list[int]:
        return [_number(zone / "energy_uj") or 0 for zone in self._zones]


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
