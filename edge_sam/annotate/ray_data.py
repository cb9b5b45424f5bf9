"""Annotation on many machines, as a Ray Data pipeline. Ray handles scheduling, retries and backpressure."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any

from edge_sam.annotate.records import Outcome, Task
from edge_sam.annotate.worker import Annotator, Job
from edge_sam.errors import InputError, MissingExtraError
from edge_sam.files.serialization import from_json, to_json
from edge_sam.system.processes import outside_working_folder

_BLOCK = 16
"""Tasks per block, which Ray schedules and retries as a whole: a few seconds of work."""


class _Actor:
    """A worker for Ray Data, which passes and returns batches of rows."""

    def __init__(self, job: bytes, folder: str) -> None:
        with contextlib.suppress(OSError):  # Another machine may not have this folder.
            os.chdir(folder)
        self._annotate = Annotator(from_json(job, Job))

    def __call__(self, batch: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
        outcomes = [self._annotate(from_json(task, Task)) for task in batch["task"]]
        return {"outcome": [to_json(outcome) for outcome in outcomes]}


def run_ray(
    job: Job, tasks: Sequence[Task], workers: int, stopped: Callable[[], bool], address: str | None
) -> Generator[Outcome, None, None]:
    """Run tasks on a Ray cluster.

    Only this process writes records. The workers need the photographs under the same paths as here. Tasks that are lost
    with a machine, in spite of Ray's retries, fail.

    Parameters
    ----------
    job : Job
        The work to do for each task.
    tasks : sequence of Task
    workers : int
        Number of actors, each with its own model and `job.run.threads` cores.
    stopped : callable
        Called after each task. Once it returns True, the remaining tasks are dropped.
    address : str or None
        The cluster. None starts one that only this machine can reach.

    Yields
    ------
    Outcome

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    InputError
        No cluster answers at the address.
    """
    if not tasks:
        return
    # Ray reads these variables when it is imported. Turn off its usage reports.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address:  # In spite of its name, 0 makes Ray listen only on the loopback interface on every system.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # A token for this cluster only. Otherwise Ray creates one and keeps it in the home folder.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex())
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingExtraError(f'--engine ray needs {error.name}: pip install "edge-sam[ray]"') from error
    if address and ":" in address and "//" not in address:
        _require_answer(address)
    threads = job.run.threads or 1
    here: dict[str, Any] = {"num_cpus": workers * threads, "include_dashboard": False}
    with outside_working_folder() as folder:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **({} if address else here))
    try:
        yield from _outcomes(ray, job, tasks, workers, threads, folder, stopped)
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Check that something listens at the address. Ray would silently retry for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from error


def _outcomes(
    ray: Any, job: Job, tasks: Sequence[Task], workers: int, threads: int, folder: str, stopped: Callable[[], bool]
) -> Generator[Outcome, None, None]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # A failed block must not stop the others.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"task": to_json(task)} for task in tasks]
    blocks = max(min(len(rows), 2 * workers), -(-len(rows) // _BLOCK))
    pipeline = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _Actor,
        fn_constructor_args=(to_json(job), folder),
        batch_size=1,
        concurrency=workers,
        num_cpus=threads,
    )
    left = {task.key: task for task in tasks}
    for row in pipeline.iter_rows():
        outcome: Outcome = from_json(row["outcome"], Outcome)
        del left[outcome.task.key]
        yield outcome
        if stopped():
            return
    for task in left.values():
        yield Outcome(task, None, "lost on the cluster; see Ray's log")
