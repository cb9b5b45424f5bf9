"""Detect NVIDIA Jetson boards and find wheels for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_JETPACK = {32: 4, 35: 5, 36: 6, 38: 7, 39: 7}
"""JetPack by the major number of the L4T release (Linux for Tegra)."""
_WHEELS = {
    6: "https://pypi.jetson-ai-lab.io/jp6/cu126",
    7: "https://pypi.jetson-ai-lab.io/sbsa/cu130",
}
"""Package index with ``onnxruntime-gpu`` by JetPack, because PyPI has none for ARM. JetPack 7 uses the wheels for ARM
servers, which ran on an Orin with L4T R39.2.1."""


@dataclass(frozen=True)
class Jetson:
    """A Jetson board.

    Attributes
    ----------
    model : str
        Name from the firmware.
    l4t : str, optional
        L4T release, such as ``36.4.3``; None if the release file is missing, as in many containers.
    """

    model: str
    l4t: str | None

    @property
    def jetpack(self) -> int | None:
        """Major version of JetPack, or None if unknown."""
        return _JETPACK.get(int(self.l4t.split(".")[0])) if self.l4t else None

    @property
    def wheels(self) -> str | None:
        """URL of the index that has ``onnxruntime-gpu`` for this JetPack, or None if unknown."""
        return _WHEELS.get(self.jetpack or 0)


def board_model(root: Path = Path("/")) -> str | None:
    """Return the board's name from the device tree, or None on machines without one."""
    try:
        text = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.strip("\0\n ") or None  # The kernel ends it with a zero byte.


def find_jetson(root: Path = Path("/")) -> Jetson | None:
    """Return the Jetson that this machine is, or None.

    Parameters
    ----------
    root : Path
        Root of the file system; tests pass another folder.
    """
    model = board_model(root)
    try:
        release = (root / "etc/nv_tegra_release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        release = ""
    if not release and "Jetson" not in (model or ""):
        return None
    # "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: ..."
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    return Jetson(model or "unnamed Jetson", ".".join(found.groups()) if found else None)
