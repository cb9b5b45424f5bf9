"""The folder on this machine that holds what can be made or fetched again, and the keys of what is in it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_sam.atomic import write_files
from edge_sam.bundle import Bundle
from edge_sam.runtimes import BACKENDS, backend, split_runtime


def cache_home() -> Path:
    """Folder for downloads, verdicts and compiled models: ``EDGE_SAM_HOME``, or the user's cache folder."""
    import platformdirs

    given = os.environ.get("EDGE_SAM_HOME")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("edge-sam")


@functools.cache
def machine() -> dict[str, str]:
    """Name this machine as far as it decides what runs how: system, processor, cores, NVIDIA's driver."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "nvidia_driver": _first_line(Path("/proc/driver/nvidia/version")),
    }


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return ""


def _processor() -> str:
    """Model of the processor; on ARM boards the numbers of implementer and part stand for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    facts = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    return facts.get("model name") or " ".join(facts.get(f"CPU {part}", "") for part in ("implementer", "part"))


def package_versions(runtime: str) -> dict[str, str]:
    """Versions of the installed distributions that a runtime may come in."""
    versions = {}
    for package in backend(runtime).PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def runtime_key(bundle: Bundle, runtime: str, precision: str) -> str:
    """Key of everything that decides what a runtime computes with a model here, as a name for a file.

    Another machine, device, driver, package, weight or precision gives another key.
    """
    name, device = split_runtime(runtime)
    facts = {
        "machine": machine(),
        "runtime": name,
        "device": device,
        "hardware": backend(runtime).hardware(device),
        "packages": package_versions(runtime),
        "precision": precision,
        "files": sorted(c.sha256 for c in bundle.manifest.components if c.precision == precision),
    }
    return _digest(facts)


def recall(kind: str, key: str) -> dict[str, Any] | None:
    """Read what was remembered; None where there is nothing, or nothing that can be read."""
    try:
        record = json.loads((cache_home() / kind / f"{key}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def remember(kind: str, key: str, record: Mapping[str, Any]) -> bool:
    """Write a record, whole or not at all; returns False where the cache cannot be written, which is no error."""
    try:
        write_files({cache_home() / kind / f"{key}.json": json.dumps(record, indent=1).encode()})
    except OSError:
        return False
    return True


def tuning_key(bundle: Bundle) -> str:
    """Key of everything that decides which way of running a model is the fastest here.

    It names the versions of all packages that a runtime may come in, but no device: asking for those would import
    every backend at each start. A device that has gone makes its runtime unusable, which is noticed anyway.
    """
    facts = {
        "machine": machine(),
        "packages": {name: package_versions(name) for name in BACKENDS},
        "files": sorted(c.sha256 for c in bundle.manifest.components),
    }
    return _digest(facts)


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
