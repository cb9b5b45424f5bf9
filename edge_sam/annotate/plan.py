"""What is to be done: a task for each photograph, under a key that changes when anything about it does."""

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


def plan(items: Sequence[Item], table: PromptTable | None, valid_mask: Path | None) -> list[Task]:
    """Make the tasks.

    Parameters
    ----------
    items : sequence of Item
        The photographs.
    table : PromptTable or None
        Prompts from a file.
    valid_mask : Path or None
        Picture of the valid region of all photographs, or a folder with one for each, of the same name but for the
        suffix; a photograph without one is all valid.

    Returns
    -------
    list of Task
        In the order of `items`.

    Raises
    ------
    InputError
        No photograph has a prompt, or one may be meant for either of two; or there is no such valid region, or none
        for any of the photographs.
    """
    regions = _Regions(valid_mask)
    names = {canonical(item.name) for item in items}
    tasks, meant = [], dict[str, str]()
    for item in items:
        known = table.find(item.name) if table is not None else None
        if known != canonical(item.name) and known in names:
            known = None  # Said of another photograph, by its whole name.
        prompts = table[known] if table is not None and known is not None else None
        if known is not None and meant.setdefault(known, item.name) != item.name:
            raise InputError(f"the prompts on {known} may be for {meant[known]} or {item.name}; say the whole name")
        region = regions.find(item.name)
        facts = [item.name, item.frame, _state(item.path), prompts, _state(region)]
        key = hashlib.sha256(to_json(facts)).hexdigest()[:32]
        tasks.append(Task(key, item, prompts or (), region))
    if table is not None and not any(task.prompts for task in tasks):
        raise InputError(
            f"the prompts are on none of the photographs; the first photograph is called {items[0].name},"
            f" the prompts are on {next((name for name in table if table[name]), 'none')}"
        )
    if valid_mask is not None and all(task.region is None for task in tasks):
        raise InputError(f"no picture in {valid_mask} has the name of a photograph, such as {items[0].name}")
    return tasks


def settings(job: Job, bundle: Bundle) -> dict[str, Any]:
    """Everything but the photograph that decides its masks, by name: the job, the model's files, the versions.

    Threads are not in it: on ONNX Runtime they change no bit. Nor is the machine, though another processor may round
    otherwise.
    """
    from edge_sam.version import __version__

    files = [c.sha256 for c in bundle.manifest.components if c.precision == job.run.precision]
    function = source_hash(find_function(job.function)[1])[:16] if job.function else None
    facts = {
        **msgspec.to_builtins(job),
        "function": job.function and PurePath(job.function).name,  # Wherever its file lies.
        "model": bundle.manifest.name,
        "model_files": hashlib.sha256("".join(sorted(files)).encode()).hexdigest()[:16],
        "function_source": function,
        "versions": {
            "edge-sam": __version__,
            "opencv": cv2.__version__,
            **installed_versions(backend(job.run.runtime).PACKAGES),
        },
    }
    del facts["frames"], facts["run"]["threads"]
    return facts


def share_cores(workers: int | None, threads: int | None, runtime: str) -> tuple[int, int]:
    """Split the cores that this process may use; a device other than the processor gets one worker.

    Parameters
    ----------
    workers, threads : int or None
        Processes, and threads of each, as far as they were asked for.
    runtime : str
        With its device after a colon, if it has one.

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
    """Size and time of a file, which tell whether it changed without reading it; None where it is not there."""
    try:
        status = Path(path).stat() if path is not None else None
    except (OSError, ValueError):
        return None
    return None if status is None else (status.st_size, status.st_mtime_ns)


class _Regions:
    """Finds the picture of a photograph's valid region: the one given, or of a folder the one of the same name."""

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
            files.sort(key=lambda file: file.suffix.lower() == ".png")  # The last one counts.
            self._by_stem[folder] = {canonical(file.stem): file for file in files}
        file = self._by_stem[folder].get(place.stem)
        return None if file is None else str(file)
