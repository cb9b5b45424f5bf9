"""Cached records about a model on this machine, and their keys."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.manifest import Sha256
from edge_sam.files.atomic import write_files
from edge_sam.files.cache_home import cache_home, is_trusted, make_private
from edge_sam.runtimes import BACKENDS, backend, split_runtime
from edge_sam.runtimes.cores import MAX_THREADS, usable_cores
from edge_sam.system.machine import installed_versions, machine

_REVISION = 2
"""Part of every key. Increase it when session settings, the guard's bounds or the shape profiles change."""
_LARGEST_RECORD = 1 << 20
_Text = Annotated[str, msgspec.Meta(max_length=1000)]


def runtime_key(bundle: Bundle, runtime: str, precision: str, options: Mapping[str, str] | None = None) -> str:
    """Return a key, usable as a file name, for everything that affects a runtime's results with a model here.

    The key depends on the machine, device, driver, packages, weights, precision and the runtime's options.
    """
    return files_key(_hashes(bundle, precision), runtime, precision, options)


def files_key(hashes: Sequence[str], runtime: str, precision: str, options: Mapping[str, str] | None = None) -> str:
    """Return the key of `runtime_key` for files with these hashes."""
    name, device = split_runtime(runtime)
    facts = {
        "machine": machine(),
        "runtime": name,
        "device": device,
        "hardware": backend(runtime).hardware(device),
        "packages": installed_versions(backend(runtime).PACKAGES),
        "precision": precision,
        "options": dict(options or {}),
        "files": list(hashes),
        "revision": _REVISION,
    }
    return _digest(facts)


class Verdict(msgspec.Struct, frozen=True):
    """Result of the guard for a runtime in a precision: why it is rejected, or its relative differences.

    It holds for the compiled files that it names, by their sha256, and for no others.
    """

    runtime: str
    precision: str
    rejected: _Text | None
    differences: dict[str, Annotated[float, msgspec.Meta(ge=0)]]
    compiled: dict[str, Sha256] = {}

    def answers(self, runtime: str, precision: str, bounds: Mapping[str, float]) -> bool:
        """Tell whether it says of all these outputs that this runtime keeps their bounds, or why it does not."""
        if (self.runtime, self.precision) != (runtime, precision):
            return False
        if self.rejected is not None:
            return True
        named = self.differences.keys() == bounds.keys()
        return named and all(difference <= bounds[name] for name, difference in self.differences.items())


class Best(msgspec.Struct, frozen=True):
    """The fastest choice for a model; see `edge_sam.inference.choice.Choice`."""

    runtime: str
    precision: str
    threads: Annotated[int, msgspec.Meta(ge=1, le=MAX_THREADS)] | None


class Tuned(msgspec.Struct, frozen=True):
    """Result of `edge-sam tune`: the fastest choice, the date and the table."""

    best: Best
    date: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9 -]{1,20}$")] = "an unknown day"
    rows: tuple[dict[str, str | float | None], ...] = ()


_Record = TypeVar("_Record", Verdict, Tuned)
_FOLDERS: dict[type, str] = {Verdict: "guard", Tuned: "tuned"}


def read_record(key: str, kind: type[_Record]) -> _Record | None:
    """Read a record. None if there is none, if it is damaged or of another kind, or if others can write it."""
    try:
        with (cache_home() / _FOLDERS[kind] / f"{key}.json").open("rb") as file:
            status = os.fstat(file.fileno())
            if not (stat.S_ISREG(status.st_mode) and is_trusted(status) and status.st_size <= _LARGEST_RECORD):
                return None
            return msgspec.json.decode(file.read(_LARGEST_RECORD), type=kind)
    except (OSError, ValueError, RecursionError):
        return None


def read_verdict(key: str, runtime: str, precision: str, bounds: Mapping[str, float]) -> Verdict | None:
    """Read the guard's verdict on a runtime. None if there is none, or if it is not about these outputs and bounds."""
    verdict = read_record(key, Verdict)
    return verdict if verdict is not None and verdict.answers(runtime, precision, bounds) else None


def write_record(key: str, record: Verdict | Tuned) -> bool:
    """Write a record atomically. Returns False if the cache is not writable."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    folder = cache_home() / _FOLDERS[type(record)]
    try:
        make_private(folder)
        write_files({folder / f"{key}.json": data}, mode=0o644)
    except OSError:
        return False
    return True


def _hashes(bundle: Bundle, precision: str) -> list[str]:
    """Return the hashes of all files of a precision."""
    return sorted(file.sha256 for file in bundle.manifest.files(precision))


def tuning_key(bundle: Bundle) -> str:
    """Return a key for everything that affects which choice is the fastest for a model here."""
    return files_tuning_key({precision: _hashes(bundle, precision) for precision in bundle.precisions})


def files_tuning_key(hashes: Mapping[str, Sequence[str]]) -> str:
    """Return the key of `tuning_key` for files with these hashes, by precision.

    It contains the versions of the packages of all runtimes, but no devices, because querying devices would import
    every backend at each start. If a device is removed, its runtime becomes unusable, which is detected anyway.
    """
    facts = {
        "machine": machine(),
        "usable_cores": usable_cores(),
        "packages": {name: installed_versions(backend(name).PACKAGES) for name in BACKENDS},
        "files": {precision: list(given) for precision, given in hashes.items()},
        "revision": _REVISION,
    }
    return _digest(facts)


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
