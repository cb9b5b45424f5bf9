"""Number of cores that this process may use. A service or a container may have fewer than the machine."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from edge_sam.runtimes.errors import InputError

MAX_THREADS = 256
"""Runtimes start as many threads as they are told to, so a typo could take the machine down."""
_CGROUPS = (
    ("", "", ("cpu.max",)),
    ("", "unified", ("cpu.max",)),
    ("cpu", "cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")),
)
"""Controller that lists a process's cgroup, mount point below sys/fs/cgroup, and files with the quota and the period in
microseconds: for version 2, version 2 beside 1, and version 1."""


def usable_cores(root: Path = Path("/")) -> int:
    """Count the physical cores that this process may use.

    This is the smaller of the cores in its affinity mask and the CPU quota of its cgroups, rounded up, and at least 1.

    Parameters
    ----------
    root : Path
        Root of the file system; tests pass another folder.
    """
    return max(1, min([_physical(_allowed(), root), *(math.ceil(quota) for quota in _quotas(root))]))


def default_threads(root: Path = Path("/")) -> int | None:
    """Return `usable_cores`, or None if that is the whole machine, where a backend's own default is best."""
    cores, allowed = usable_cores(root), _allowed()
    return None if len(allowed) == os.cpu_count() and cores == _physical(allowed, root) else cores


def crowded(threads: int) -> bool:
    """Tell whether so many threads have to share the logical CPUs that this process may use."""
    return threads > len(_allowed())


def check_threads(given: int | str, name: str = "threads") -> int:
    """Return a number of threads or processes, given as a number or as text.

    Raises
    ------
    InputError
        It is not a whole number from 1 to `MAX_THREADS`.
    """
    text = str(given)
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MAX_THREADS:
        raise InputError(f"{name} is {given!r}; it must be 1 to {MAX_THREADS}")
    return int(text)


def _allowed() -> Collection[int]:
    """List the logical CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _physical(cpus: Collection[int], root: Path) -> int:
    """Count the physical cores that logical CPUs belong to."""
    topology = root / "sys/devices/system/cpu"
    return len({_read(topology / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in cpus})


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas, in CPUs, of this process's cgroups and of their parents."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        for controller, folder, files in _CGROUPS:
            if controller not in controllers.split(","):
                continue
            # A container may see only its own subtree. Then the path is missing, but a folder above it exists.
            own = root / "sys/fs/cgroup" / folder / path.strip("/")
            for cgroup in (own, *own.parents):
                words = " ".join(_read(cgroup / file) for file in files).split()
                if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
                    yield int(words[0]) / int(words[1])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
