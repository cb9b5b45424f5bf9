"""Annotation on one machine: a pool of processes, each with its own model."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from edge_sam.annotate.records import Outcome, Task
from edge_sam.annotate.worker import Annotator, Job
from edge_sam.system.processes import outside_working_folder

_AHEAD = 2
"""Pending tasks per worker: one in work and one queued, so that no worker waits."""
_annotator: Annotator | None = None


def run_pool(
    job: Job, tasks: Sequence[Task], workers: int, stopped: Callable[[], bool]
) -> Generator[Outcome, None, None]:
    """Run tasks in processes. Outcomes arrive in any order.

    A process that dies breaks the pool. Then the pending tasks run again, each in a process of its own. A task whose
    process dies again is given up.

    Parameters
    ----------
    job : Job
        The work to do for each task.
    tasks : sequence of Task
    workers : int
        Number of processes.
    stopped : callable
        Called before each task is submitted. Once it returns True, only the pending tasks are finished.

    Yields
    ------
    Outcome
    """
    waiting = iter(tasks)
    while True:
        suspects = yield from _together(job, waiting, workers, stopped)
        if not suspects:
            return
        for task in suspects:
            if stopped():
                return
            if (yield from _together(job, iter([task]), 1, stopped)):
                yield Outcome(task, None, "the worker process died twice; out of memory?")


def _together(
    job: Job, tasks: Iterator[Task], workers: int, stopped: Callable[[], bool]
) -> Generator[Outcome, None, list[Task]]:
    """Run tasks until none is left or a process dies. Returns the tasks that were pending when it died."""
    spawn = multiprocessing.get_context("spawn")  # A fork does not copy the threads of native libraries.
    pending: dict[Future[Outcome], Task] = {}
    lost: list[Task] = []
    with outside_working_folder() as folder:
        executor = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=(folder,))
    with executor as pool:
        try:
            while True:
                while not lost and not stopped() and len(pending) < _AHEAD * workers:
                    task = next(tasks, None)
                    if task is None:
                        break
                    try:
                        with _without_interrupts(), outside_working_folder():
                            pending[pool.submit(_work, job, task)] = task
                    except BrokenProcessPool:
                        lost.append(task)
                if not pending:
                    return lost
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    task = pending.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        lost.append(task)
                    except Exception as error:  # The model cannot be loaded, or the outcome cannot be pickled.
                        yield Outcome(task, None, f"{type(error).__name__}: {error}")
        except BaseException:  # Stopped at once, here or in the consumer. The pool would wait for its processes.
            for process in multiprocessing.active_children():
                process.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in processes that start here. It goes to the whole group, but the parent ends the workers."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(folder: str) -> None:
    """Set up a worker: end with the parent, and discard what libraries and users' functions print."""
    os.chdir(folder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if not os.environ.get("EDGE_SAM_DEBUG"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # A killed parent leaves the queue open, so a worker would wait forever.


def _work(job: Job, task: Task) -> Outcome:
    global _annotator
    if _annotator is None:
        _annotator = Annotator(job)
    return _annotator(task)
