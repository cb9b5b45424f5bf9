"""The folder on this machine that holds what can be made or fetched again, and the keys of what is in it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from edge_sam.atomic import write_files
from edge_sam.bundle import Bundle
from edge_sam.errors import InputError
from edge_sam.machine import installed_versions, machine
from edge_sam.runtimes import BACKENDS, backend, split_runtime
from edge_sam.runtimes.cores import MAX_THREADS, usable_cores

_REVISION = 1
"""Part of every key: to be raised when session settings, the guard's bounds or the shape profiles change."""


def cache_home() -> Path:
    """Folder for downloads, verdicts and compiled models: ``EDGE_SAM_HOME``, or the user's cache folder.

    A user without a home folder, as services and containers have, gets one among the temporary files, with a warning.
    """
    import platformdirs

    given = os.environ.get("EDGE_SAM_HOME")
    try:
        folder = Path(given).expanduser() if given else platformdirs.user_cache_path("edge-sam")
    except RuntimeError as error:  # Neither the environment nor the system names a home folder.
        if given:
            raise InputError(f"EDGE_SAM_HOME is {given}, but this user has no home; give a whole path") from error
        folder = Path("~")  # As older platformdirs leave it.
    if given or (folder.is_absolute() and (os.access(folder, os.F_OK) or is_writable(folder))):
        return folder
    try:
        return _temporary_home()
    except OSError:  # Nothing can be written anywhere; then nothing is remembered.
        return folder


def is_writable(folder: Path) -> bool:
    """Whether files can be written into a folder, or into that which it would be made in."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.access(path, os.F_OK))
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


@functools.cache
def _temporary_home() -> Path:
    folder = Path(tempfile.gettempdir(), f"edge-sam-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        folder = Path(tempfile.mkdtemp(prefix="edge-sam-"))  # Somebody else was there first.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    message = f"there is no home folder to keep a cache in, so it is in {folder}; EDGE_SAM_HOME names another place"
    warnings.warn(message, RuntimeWarning, stacklevel=3)
    return folder


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
    """The fastest way of running a model; see `edge_sam.choice.Choice`."""

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


def recall(key: str, kind: type[_Record]) -> _Record | None:
    """Read what was remembered; None where there is nothing, or nothing that is a record of this kind."""
    try:
        return msgspec.json.decode((cache_home() / _FOLDERS[kind] / f"{key}.json").read_bytes(), type=kind)
    except (OSError, ValueError, RecursionError):
        return None


def remember(key: str, record: Verdict | Tuned) -> bool:
    """Write a record, whole or not at all; returns False where the cache cannot be written, which is no error."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    try:
        write_files({cache_home() / _FOLDERS[type(record)] / f"{key}.json": data})
    except OSError:
        return False
    return True


def _hashes(bundle: Bundle, precision: str) -> list[str]:
    """Hashes of all files of a precision."""
    components = [c for c in bundle.manifest.components if c.precision == precision]
    return sorted(part.sha256 for c in components for part in (c, c.companion) if part is not None)


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
