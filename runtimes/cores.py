"""How many cores this process may use: a service or a container may have fewer than the machine."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator
from pathlib import Path

MAX_THREADS = 256
"""A runtime starts as many as it is told to, and a slip of the keyboard would take the machine down."""
_CGROUPS = (
    ("", "", ("cpu.max",)),
    ("", "unified", ("cpu.max",)),
    ("cpu", "cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")),
)
"""Controller that a process's cgroup is listed under, where cgroups are mounted below sys/fs/cgroup, and the files with
the microseconds that may be used in so many: version 2, version 2 beside 1, and version 1."""


def usable_cores(root: Path = Path("/")) -> int:
    """Count the physical cores that this process may run on, or the CPUs' worth of time that its cgroups grant it.

    The smaller of the two, at least 1; part of a CPU counts as one.

    Parameters
    ----------
    root : Path
        Folder that stands for the root of the file system.
    """
    return max(1, min([_physical(_allowed(), root), *(math.ceil(quota) for quota in _quotas(root))]))


def default_threads(root: Path = Path("/")) -> int | None:
    """Return `usable_cores`, or None where that is the whole machine: a backend knows best how to lay its threads."""
    cores, allowed = usable_cores(root), _allowed()
    return None if len(allowed) == os.cpu_count() and cores == _physical(allowed, root) else cores


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
    """Limits on CPU time, in CPUs, of the cgroups that this process is in and of those above them."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        for controller, folder, files in _CGROUPS:
            if controller not in controllers.split(","):
                continue
            # A container may see its own part only: then the path is not there, but the folder above it is.
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
