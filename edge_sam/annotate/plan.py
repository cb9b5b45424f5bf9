"""What is to be done: a task for each photograph, under a key that changes when anything about it does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import msgspec

from edge_sam.annotate.functions import find_function, source_hash
from edge_sam.annotate.prompt_files import PromptTable
from edge_sam.annotate.records import Task
from edge_sam.annotate.sources import Item
from edge_sam.annotate.worker import Job
from edge_sam.bundle import Bundle
from edge_sam.errors import InputError
from edge_sam.images import SUFFIXES
from edge_sam.machine import installed_versions
from edge_sam.runtimes import backend, split_runtime
from edge_sam.runtimes.cores import MAX_THREADS, usable_cores
from edge_sam.serialization import to_json


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
        The prompts know none of the photographs, or one that may be either of two; or there is no such valid region.
    """
    if valid_mask is not None and not valid_mask.exists():
        raise InputError(f"no such valid region: {valid_mask}")
    names = {item.name for item in items}
    tasks, meant = [], dict[str, str]()
    for item in items:
        known = table.find(item.name) if table is not None else None
        if known != item.name and known in names:
            known = None  # Said of another photograph, by its whole name.
        prompts = table[known] if table is not None and known is not None else None
        if known is not None and meant.setdefault(known, item.name) != item.name:
            raise InputError(f"the prompts on {known} may be for {meant[known]} or {item.name}; say the whole name")
        region = _region(item.name, valid_mask)
        facts = [item.name, item.frame, _state(item.path), prompts, _state(region)]
        key = hashlib.sha256(to_json(facts)).hexdigest()[:32]
        tasks.append(Task(key, item, prompts or (), region))
    if table is not None and not meant:
        raise InputError(f"the prompts are on none of the photographs; the first photograph is called {items[0].name}")
    return tasks


def settings(job: Job, bundle: Bundle) -> dict[str, Any]:
    """Everything but the photograph that decides its masks, by name: the job, the model's files, the versions.

    Threads are not in it: on ONNX Runtime they change no bit. Nor is the machine, though another processor may round
    otherwise.
    """
    import edge_sam

    files = [c.sha256 for c in bundle.manifest.components if c.precision == job.precision]
    function = source_hash(find_function(job.function)[1])[:16] if job.function else None
    facts = {
        **msgspec.to_builtins(job),
        "model": bundle.manifest.name,
        "model_files": hashlib.sha256("".join(sorted(files)).encode()).hexdigest()[:16],
        "function_source": function,
        "versions": {
            "edge-sam": edge_sam.__version__,
            "opencv": cv2.__version__,
            **installed_versions(backend(job.runtime).PACKAGES),
        },
    }
    for name in ("threads", "frames"):
        del facts[name]
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
        if given is not None and not 1 <= given <= MAX_THREADS:
            raise InputError(f"{name} must be 1 to {MAX_THREADS}, not {given}")
    cores = usable_cores()
    if workers is None:
        name, device = split_runtime(runtime)
        on_processor = name in ("onnxruntime", "openvino") and device in ("", "CPU")
        workers = max(1, cores // (threads or 1)) if on_processor else 1
    return workers, threads or max(1, cores // workers)


def _state(path: str | None) -> tuple[int, int] | None:
    """Size and time of a file, which tell whether it changed without reading it; None where it is not there."""
    try:
        status = Path(path).stat() if path is not None else None
    except (OSError, ValueError):
        return None
    return None if status is None else (status.st_size, status.st_mtime_ns)


def _region(name: str, valid_mask: Path | None) -> str | None:
    if valid_mask is None or valid_mask.is_file():
        return None if valid_mask is None else str(valid_mask)
    beside = valid_mask / PurePosixPath(name)
    found = (beside.with_suffix(suffix) for suffix in (".png", *sorted(SUFFIXES)))
    return next((str(path) for path in found if path.is_file()), None)
