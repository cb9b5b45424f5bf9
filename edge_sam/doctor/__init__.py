"""Diagnose the machine: what is installed, what works, and how to fix the rest. Nothing here raises."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge_sam.bundles.bundle import bundled_models, open_bundle
from edge_sam.doctor.check import RuntimeCheck, check_isolated
from edge_sam.doctor.packages import Conflict, conflicts, installed
from edge_sam.files.cache_home import cache_home, is_writable
from edge_sam.inference.cache import Tuned, read_record, tuning_key
from edge_sam.runtimes import BACKENDS
from edge_sam.runtimes.jetson import Jetson, board_model, find_jetson
from edge_sam.system import machine

__all__ = ["Cache", "Diagnosis", "diagnose"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Cache:
    """The cache folder, whether it is writable, and the fastest choice that `edge-sam tune` stored for each model."""

    folder: str
    writable: bool
    tuned: dict[str, dict[str, Any] | None]


@dataclass(frozen=True)
class Diagnosis:
    """Result of `diagnose`. A fact that cannot be determined is None, and `unknown` gives the reason.

    Attributes
    ----------
    edge_sam, python : str
        Versions.
    board : str, optional
        Board model from the device tree; None on machines without one.
    jetson : Jetson, optional
        None on other machines.
    packages : dict of str to str, optional
        Version of each installed distribution that affects inference.
    runtimes : list of RuntimeCheck
        One for each backend.
    unknown : dict of str to str
        Why a fact is missing, by field name.
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
    runtimes: list[RuntimeCheck]
    unknown: dict[str, str]

    @property
    def works(self) -> bool:
        """Whether at least one runtime works."""
        return any(each.usable for each in self.runtimes)


def diagnose(root: Path = Path("/"), check: Callable[[str], RuntimeCheck] = check_isolated) -> Diagnosis:
    """Collect facts about the machine and check every runtime.

    Parameters
    ----------
    root : Path
        Root of the file system; tests pass another folder.
    check : callable
        How to check a runtime.
    """
    from edge_sam.version import __version__

    unknown: dict[str, str] = {}

    def find(name: str, collect: Callable[[], _T]) -> _T | None:
        try:
            return collect()
        except Exception as error:  # Broken machines are the purpose of this command.
            unknown[name] = f"could not find out: {type(error).__name__}: {error}"
            return None

    def check_or_report(name: str) -> RuntimeCheck:
        return find(name, lambda: check(name)) or RuntimeCheck(name, usable=False, why=unknown.pop(name))

    packages = find("packages", installed)
    return Diagnosis(
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
        runtimes=[check_or_report(name) for name in BACKENDS],
        unknown=unknown,
    )


def _cache() -> Cache:
    folder = cache_home()
    return Cache(str(folder), is_writable(folder), {name: _tuned(name) for name in bundled_models()})


def _tuned(model: str) -> dict[str, Any] | None:
    record = read_record(tuning_key(open_bundle(model)), Tuned)
    return {**msgspec.to_builtins(record.best), "date": record.date} if record else None
