"""What an NVIDIA Jetson says of itself, and where the wheels for it are."""

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
"""Index with an ``onnxruntime-gpu`` by JetPack: PyPI has none for ARM. JetPack 7 has no folder of its own there, it
takes the wheels for ARM servers; they have been seen to run on an Orin with L4T R39.2.1."""


@dataclass(frozen=True)
class Jetson:
    """A Jetson board.

    Attributes
    ----------
    model : str
        As the firmware has it.
    l4t : str, optional
        Release of L4T, such as ``36.4.3``; None where its file is missing, as in many containers.
    """

    model: str
    l4t: str | None

    @property
    def jetpack(self) -> int | None:
        """Major version of JetPack; None where that is not known."""
        return _JETPACK.get(int(self.l4t.split(".")[0])) if self.l4t else None

    @property
    def wheels(self) -> str | None:
        """Address of the index that has ``onnxruntime-gpu`` for this JetPack; None where none is known."""
        return _WHEELS.get(self.jetpack or 0)


def board_model(root: Path = Path("/")) -> str | None:
    """Name the board as its firmware does; None on machines whose firmware has no device tree."""
    try:
        text = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.strip("\0\n ") or None  # The kernel ends it with a zero byte.


def find_jetson(root: Path = Path("/")) -> Jetson | None:
    """Find out whether this machine is a Jetson, and of which release.

    Parameters
    ----------
    root : Path
        Folder that stands for the root of the file system.
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
