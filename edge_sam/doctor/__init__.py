"""What is on this machine, what works on it, and what would mend the rest. Nothing here raises."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge_sam.bundles.bundle import bundled_models, open_bundle
from edge_sam.doctor.packages import Conflict, conflicts, installed
from edge_sam.doctor.trial import Trial, try_isolated
from edge_sam.files.cache_home import cache_home, is_writable
from edge_sam.inference.cache import Tuned, recall, tuning_key
from edge_sam.runtimes import BACKENDS
from edge_sam.runtimes.jetson import Jetson, board_model, find_jetson
from edge_sam.system import machine

__all__ = ["Cache", "Report", "diagnose"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Cache:
    """The cache's folder, whether it can be written, and what `edge-sam tune` found fastest here for each model."""

    folder: str
    writable: bool
    tuned: dict[str, dict[str, Any] | None]


@dataclass(frozen=True)
class Report:
    """What was found. A fact that could not be found out is None, and `unknown` says why.

    Attributes
    ----------
    edge_sam, python : str
        Versions.
    board : str, optional
        Model of the board by its device tree; None on machines that have none.
    jetson : Jetson, optional
        None on other machines.
    packages : dict of str to str, optional
        Version of each installed distribution that decides what runs here.
    runtimes : list of Trial
        One for each backend.
    unknown : dict of str to str
        Why a fact is missing, by its name here.
    """

    edge_sam: str
    python: str
    system: machine.System | None
    board: str | None
    jetson: Jetson | None
    processor: machine.Processor | None
    memory: machine.Memory | None
    nvidia: machine.Nvidia | None
    packages: dict[str, str] | None
    conflicts: list[Conflict] | None
    cache: Cache | None
    runtimes: list[Trial]
    unknown: dict[str, str]

    @property
    def works(self) -> bool:
        """Whether at least one runtime was seen to work."""
        return any(trial.usable for trial in self.runtimes)


def diagnose(root: Path = Path("/"), attempt: Callable[[str], Trial] = try_isolated) -> Report:
    """Find out what is here and try every runtime.

    Parameters
    ----------
    root : Path
        Folder that stands for the root of the file system.
    attempt : callable
        How to try a runtime.
    """
    from edge_sam.version import __version__

    unknown: dict[str, str] = {}

    def find(name: str, collect: Callable[[], _T]) -> _T | None:
        try:
            return collect()
        except Exception as error:  # A broken machine is what this is for.
            unknown[name] = f"could not find out: {type(error).__name__}: {error}"
            return None

    def trial(name: str) -> Trial:
        return find(name, lambda: attempt(name)) or Trial(name, usable=False, why=unknown.pop(name))

    packages = find("packages", installed)
    return Report(
        edge_sam=__version__,
        python=platform.python_version(),
        system=find("system", lambda: machine.system(root)),
        board=find("board", lambda: board_model(root)),
        jetson=find("jetson", lambda: find_jetson(root)),
        processor=find("processor", lambda: machine.find_processor(root)),
        memory=find("memory", lambda: machine.memory(root)),
        nvidia=find("nvidia", lambda: machine.nvidia(root)),
        packages=packages,
        conflicts=find("conflicts", lambda: conflicts(packages or {})),
        cache=find("cache", _cache),
        runtimes=[trial(name) for name in BACKENDS],
        unknown=unknown,
    )


def _cache() -> Cache:
    folder = cache_home()
    return Cache(str(folder), is_writable(folder), {name: _tuned(name) for name in bundled_models()})


def _tuned(model: str) -> dict[str, Any] | None:
    record = recall(tuning_key(open_bundle(model)), Tuned)
    return {**msgspec.to_builtins(record.best), "date": record.date} if record else None
