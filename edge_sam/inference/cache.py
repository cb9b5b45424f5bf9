"""Records that the cache keeps about a model on this machine, and the keys that they are found by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from edge_sam.bundles.bundle import Bundle
from edge_sam.files.atomic import write_files
from edge_sam.files.cache_home import cache_home
from edge_sam.runtimes import BACKENDS, backend, split_runtime
from edge_sam.runtimes.cores import MAX_THREADS, usable_cores
from edge_sam.system.machine import installed_versions, machine

_REVISION = 1
"""Part of every key: to be raised when session settings, the guard's bounds or the shape profiles change."""


def runtime_key(bundle: Bundle, runtime: str, precision: str, options: Mapping[str, str] | None = None) -> str:
    """Key of everything that decides what a runtime computes with a model here, as a name for a file.

    Another machine, device, driver, package, weight, precision or option of the runtime gives another key.
    """
    name, device = split_runtime(runtime)
    facts = {
        "machine": machine(),
        "runtime": name,
        "device": device,
        "hardware": backend(runtime).hardware(device),
        "packages": installed_versions(backend(runtime).PACKAGES),
        "precision": precision,
        "options": dict(options or {}),
        "files": _hashes(bundle, precision),
        "revision": _REVISION,
    }
    return _digest(facts)


class Verdict(msgspec.Struct, frozen=True):
    """What the guard found out about a runtime in a precision: why it is rejected, or by how much it differs."""

    runtime: str
    precision: str
    rejected: str | None
    differences: dict[str, float]


class Best(msgspec.Struct, frozen=True):
    """The fastest way of running a model; see `edge_sam.inference.choice.Choice`."""

    runtime: str
    precision: str
    threads: Annotated[int, msgspec.Meta(ge=1, le=MAX_THREADS)] | None


class Tuned(msgspec.Struct, frozen=True):
    """What `edge-sam tune` measured: the fastest, the day, and the table."""

    best: Best
    date: str = "an unknown day"
    rows: tuple[dict[str, str | float | None], ...] = ()


_Record = TypeVar("_Record", Verdict, Tuned)
_FOLDERS: dict[type, str] = {Verdict: "guard", Tuned: "tuned"}


def read_record(key: str, kind: type[_Record]) -> _Record | None:
    """Read what was remembered; None where there is nothing, or nothing that is a record of this kind."""
    try:
        return msgspec.json.decode((cache_home() / _FOLDERS[kind] / f"{key}.json").read_bytes(), type=kind)
    except (OSError, ValueError, RecursionError):
        return None


def write_record(key: str, record: Verdict | Tuned) -> bool:
    """Write a record, whole or not at all; returns False where the cache cannot be written, which is no error."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    try:
        write_files({cache_home() / _FOLDERS[type(record)] / f"{key}.json": data})
    except OSError:
        return False
    return True


def _hashes(bundle: Bundle, precision: str) -> list[str]:
    """Hashes of all files of a precision."""
    return sorted(file.sha256 for file in bundle.manifest.files(precision))


def tuning_key(bundle: Bundle) -> str:
    """Key of everything that decides which way of running a model is the fastest here.

    It names the versions of all packages that a runtime may come in, but no device: asking for those would import
    every backend at each start. A device that has gone makes its runtime unusable, which is noticed anyway.
    """
    facts = {
        "machine": machine(),
        "usable_cores": usable_cores(),
        "packages": {name: installed_versions(backend(name).PACKAGES) for name in BACKENDS},
        "files": {precision: _hashes(bundle, precision) for precision in bundle.precisions},
        "revision": _REVISION,
    }
    return _digest(facts)


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
