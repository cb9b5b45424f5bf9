"""A task for each photograph, with a key that changes when its input changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import cv2
import msgspec

from edge_sam.annotate.functions import find_function, source_hash
from edge_sam.annotate.prompt_files import PromptTable
from edge_sam.annotate.records import Task
from edge_sam.annotate.sources import Item
from edge_sam.annotate.worker import Job
from edge_sam.bundles.bundle import Bundle
from edge_sam.errors import InputError
from edge_sam.files.names import Names, canonical
from edge_sam.files.serialization import to_json
from edge_sam.imaging.images import pictures
from edge_sam.runtimes import backend, runs_on_cpu
from edge_sam.runtimes.cores import check_threads, usable_cores
from edge_sam.system.machine import installed_versions


def make_tasks(items: Sequence[Item], table: PromptTable | None, valid_mask: Path | None) -> list[Task]:
    """Make the tasks.

    Parameters
    ----------
    items : sequence of Item
        The photographs.
    table : PromptTable or None
        Prompts from a file.
    valid_mask : Path or None
        Picture of the valid region of all photographs, or a folder with one picture for each photograph, of the same
        stem. Photographs without a picture are valid everywhere.

    Returns
    -------
    list of Task
        In the order of `items`.

    Raises
    ------
    InputError
        No photograph has a prompt, a prompt may belong to either of two photographs, the valid region does not exist,
        or no photograph has one.
    """
    regions = _Regions(valid_mask)
    names = {canonical(item.name) for item in items}
    tasks, meant = [], dict[str, str]()
    for item in items:
        known = table.find(item.name) if table is not None else None
        if known != canonical(item.name) and known in names:
            known = None  # It names another photograph by its full name.
        prompts = table[known] if table is not None and known is not None else None
        if known is not None and meant.setdefault(known, item.name) != item.name:
            raise InputError(f"the prompts on {known} may belong to {meant[known]} or {item.name}; give the full name")
        region = regions.find(item.name)
        facts = [item.name, item.frame, _state(item.path), prompts, _state(region)]
        key = hashlib.sha256(to_json(facts)).hexdigest()[:32]
        tasks.append(Task(key, item, prompts or (), region))
    if table is not None and not any(task.prompts for task in tasks):
        raise InputError(
            f"no photograph has a prompt; the first photograph is {items[0].name}, but the first prompt is on"
            f" {next((name for name in table if table[name]), 'none')}"
        )
    if valid_mask is not None and all(task.region is None for task in tasks):
        raise InputError(f"no picture in {valid_mask} is named after a photograph, such as {items[0].name}")
    return tasks


def job_settings(job: Job, bundle: Bundle) -> dict[str, Any]:
    """Return everything except the photograph that affects its masks: the job, the model's files, the versions.

    The number of threads is not included, because up to three of them change no byte on ONNX Runtime, and a worker
    rarely has more. The machine is not included either, although another processor may round differently.
    """
    from edge_sam.version import __version__

    files = [file.sha256 for file in bundle.manifest.files(job.run.precision)]
    function = source_hash(find_function(job.function)[1])[:16] if job.function else None
    facts = {
        **msgspec.to_builtins(job),
        "function": job.function and PurePath(job.function).name,  # Without the folder of its file.
        "model": bundle.manifest.name,
        "model_files": hashlib.sha256("".join(sorted(files)).encode()).hexdigest()[:16],
        "function_source": function,
        "versions": {
            "edge-sam": __version__,
            "opencv": cv2.__version__,
            **installed_versions(backend(job.run.runtime).PACKAGES),
        },
    }
    del facts["frames"], facts["run"]["threads"], facts["text"]
    if job.text is not None:
        facts["text"] = msgspec.to_builtins(job.text.facts())
    return facts


def share_cores(workers: int | None, threads: int | None, runtime: str) -> tuple[int, int]:
    """Split the usable cores between workers. A device other than the CPU gets one worker.

    Parameters
    ----------
    workers, threads : int or None
        Number of processes and threads of each, or None to choose.
    runtime : str
        With its device after a colon, if any.

    Returns
    -------
    workers, threads : int
    """
    for name, given in (("workers", workers), ("threads", threads)):
        if given is not None:
            check_threads(given, name)
    cores = usable_cores()
    if workers is None:
        workers = max(1, cores // (threads or 1)) if runs_on_cpu(runtime) else 1
    return workers, threads or max(1, cores // workers)


def _state(path: str | None) -> tuple[int, int] | None:
    """Return the size and time of a file, which show a change without reading it. None if it does not exist."""
    try:
        status = Path(path).stat() if path is not None else None
    except (OSError, ValueError):
        return None
    return None if status is None else (status.st_size, status.st_mtime_ns)


class _Regions:
    """Finds the picture of a photograph's valid region: a single one, or the one of the same stem in a folder."""

    def __init__(self, given: Path | None) -> None:
        if given is not None and not given.exists():
            raise InputError(f"no such valid region: {given}")
        self._single = str(given) if given is not None and given.is_file() else None
        self._names = Names(given) if given is not None and given.is_dir() else None
        self._by_stem: dict[str, dict[str, Path]] = {}

    def find(self, name: str) -> str | None:
        if self._names is None:
            return self._single
        place = PurePosixPath(canonical(name))
        folder = str(place.parent)
        if folder not in self._by_stem:
            there = self._names.find(folder)
            files = pictures(there) if there is not None and there.is_dir() else []
            files.sort(key=lambda file: file.suffix.lower() == ".png")  # Prefer PNG: the last one counts.
            self._by_stem[folder] = {canonical(file.stem): file for file in files}
        file = self._by_stem[folder].get(place.stem)
        return None if file is None else str(file)
