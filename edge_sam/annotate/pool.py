"""One machine: a pool of processes, each with a model of its own."""

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
"""Tasks for each worker that are handed out but not back: one in work, one waiting, so that no worker ever does."""
_annotator: Annotator | None = None


def run_pool(
    job: Job, tasks: Sequence[Task], workers: int, stopped: Callable[[], bool]
) -> Generator[Outcome, None, None]:
    """Do tasks in processes; what is done comes in no certain order.

    A process that dies takes the pool with it. Then what was in work is done again, one task at a time in a process
    of its own, and a task whose process dies again is given up.

    Parameters
    ----------
    job : Job
        What is done with each.
    tasks : sequence of Task
    workers : int
        Processes.
    stopped : callable
        Asked before a task is handed out; once it says yes, only what is in work is finished.

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
                yield Outcome(task, None, "the worker process died over it twice; out of memory?")


def _together(
    job: Job, tasks: Iterator[Task], workers: int, stopped: Callable[[], bool]
) -> Generator[Outcome, None, list[Task]]:
    """Do tasks until there are none, or until a process dies: then return those that were in work."""
    spawn = multiprocessing.get_context("spawn")  # A fork would copy the threads of native libraries half.
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
                    except Exception as error:  # The worker's model cannot be loaded, or what it gave cannot be sent.
                        yield Outcome(task, None, f"{type(error).__name__}: {error}")
        except (
            BaseException
        ):  # Asked to stop at once, here or in who takes the outcomes: the pool by itself would wait.
            for process in multiprocessing.active_children():
                process.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that start here never see Ctrl-C: it goes to the whole group, but ending is the parent's job."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(folder: str) -> None:
    """Begin a worker: end with the parent; what libraries and users' functions print is no output of the command."""
    os.chdir(folder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if not os.environ.get("EDGE_SAM_DEBUG"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # A killed parent leaves the queue open; waiting for it would last for ever.


def _work(job: Job, task: Task) -> Outcome:
    global _annotator
    if _annotator is None:
        _annotator = Annotator(job)
    return _annotator(task)
