"""The installed runtime packages, and conflicts between them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from edge_sam import runtimes
from edge_sam.runtimes.cuda_driver import cuda_devices
from edge_sam.runtimes.gpu_package import gpu_requirements
from edge_sam.runtimes.onnxruntime_session import PACKAGES
from edge_sam.system.machine import installed_versions

ONNXRUNTIME = PACKAGES
OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)
"""Distributions that install the same folder: `onnxruntime/`, `cv2/`."""

_OWN_FILE = Path("bundles", "zoo.json")
"""A file by which a clone of this project is told, from which everything works too."""


@dataclass(frozen=True)
class Conflict:
    """Packages that conflict, the consequence, and the command that fixes it."""

    packages: list[str]
    problem: str
    fix: str


def installed() -> dict[str, str]:
    """Return the version of each installed distribution that affects inference, by name."""
    return installed_versions(["numpy", *ONNXRUNTIME, *OPENCV, *runtimes.packages()])


def conflicts(packages: dict[str, str]) -> list[Conflict]:
    """Find distributions that overwrite each other: the last installed one silently wins."""
    found = []
    rivals = [name for name in ONNXRUNTIME if name in packages]
    if len(rivals) > 1:
        has_device = isinstance(cuda_devices(), list)
        wanted = gpu_requirements() if has_device and "onnxruntime-gpu" in rivals else None
        found.append(
            Conflict(
                rivals,
                "they install the same folder, and the last one wins: a GPU may silently go unused",
                f"pip uninstall -y {' '.join(rivals)} && pip install {wanted or 'onnxruntime'}",
            )
        )
    opencv = [name for name in OPENCV if name in packages]
    if len(opencv) > 1:
        found.append(
            Conflict(
                opencv,
                "they install the same folder: the last one wins, and removing one breaks the other",
                f"pip uninstall -y {' '.join(opencv)} && pip install opencv-python-headless",
            )
        )
    return found + namesakes()


def namesakes() -> list[Conflict]:
    """Find other code that is imported as `edge_sam`, such as the research code of the model EdgeSAM."""
    ours = Path(__file__).resolve().parents[1]
    found = []
    providers = {
        each.name.replace("_", "-")
        for each in distributions()
        if "edge_sam" in (each.read_text("top_level.txt") or "").split()
    } - {"edge-sam"}
    for name in sorted(providers):
        problem = "they install the same folder edge_sam, and the last one wins"
        fix = f"pip uninstall -y {name} edge-sam && pip install edge-sam"
        found.append(Conflict(["edge-sam", name], problem, fix))
    for place in dict.fromkeys(_search_path() if not providers else ()):
        folder = place / "edge_sam"
        with contextlib.suppress(OSError):  # Not readable, so nothing is imported from there.
            if folder != ours and (folder / "__init__.py").is_file() and not (folder / _OWN_FILE).is_file():
                problem = f"Python started with {place} on its path may import that instead"
                here = place == Path.cwd()
                fix = f"work in another folder than {place}" if here else f"remove {folder}"
                found.append(Conflict(["edge-sam", str(folder)], problem, fix))
    return found


def _search_path() -> Iterator[Path]:
    """Yield the folders where Python looks for packages, the working folder first."""
    for entry in ("", *sys.path):
        with contextlib.suppress(OSError):  # The working folder may be gone.
            yield Path(entry or ".").resolve()
