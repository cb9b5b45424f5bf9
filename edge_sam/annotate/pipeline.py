"""A whole run: an engine turns the remaining tasks into records in the store, which become the data set."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from edge_sam.annotate.records import Outcome, Record, Task
from edge_sam.annotate.store import Store
from edge_sam.annotate.writers import write_coco, write_sa1b
from edge_sam.errors import EdgeSamError
from edge_sam.files.atomic import write_files
from edge_sam.files.serialization import to_json
from edge_sam.imaging.coco import Id

Engine = Callable[[Sequence[Task]], Generator[Outcome, None, None]]
"""Runs tasks in any order; see `edge_sam.annotate.pool` and `edge_sam.annotate.ray_data`."""
_HOPELESS = 10
"""Failures before the first success after which a run stops: the photographs are not the cause."""


class Absent(msgspec.Struct, frozen=True):
    """A photograph that is not in the data set."""

    name: str
    reason: str


class AnnotateReport(msgspec.Struct, frozen=True):
    """The report of a run.

    Attributes
    ----------
    photographs : int
        In the source.
    done_before, done_now : int
        Photographs done by earlier runs and by this one, including skipped ones.
    skipped, failed : list of Absent
        Damaged photographs, which stay skipped until the file changes; and failures, which the next run retries.
    prompts, annotations : int
        Prompts, and masks in the data set, of all runs.
    rejected : dict of str to int
        Rejected masks and prompts of all runs, by reason.
    seconds : float
        Duration of this run, without writing the data set.
    work_seconds : float
        Total time of this run's workers on photographs.
    photographs_per_second : float
        Of this run.
    output : str or None
        The data set. None if the run was stopped early.
    """

    photographs: int
    done_before: int
    done_now: int
    skipped: list[Absent]
    failed: list[Absent]
    prompts: int
    annotations: int
    rejected: dict[str, int]
    seconds: float
    work_seconds: float
    photographs_per_second: float
    output: str | None


def annotate(
    tasks: Sequence[Task],
    engine: Engine,
    store: Store,
    output: Path,
    *,
    sa1b: bool,
    categories: Mapping[str, Id] | None,
    stopped: Callable[[], bool],
    show: Callable[[int], Callable[[], None]],
) -> AnnotateReport:
    """Run the remaining tasks and write the data set.

    Parameters
    ----------
    tasks : sequence of Task
        In the order of the data set.
    engine : callable
        See `Engine`.
    store : Store
        Opened by this run.
    output : Path
        File (COCO) or folder (SA-1B).
    sa1b : bool
        Write the layout of SA-1B.
    categories : mapping of str to int, float or str, optional
        Ids of the categories by name.
    stopped : callable
        Returns True to stop early. Then no data set is written.
    show : callable
        Takes the number of remaining photographs and returns a function to call after each one.

    Returns
    -------
    AnnotateReport
        Also written to the store's folder.

    Raises
    ------
    EdgeSamError
        The first photographs all failed. The message gives the reason.
    """
    start = time.perf_counter()
    todo = [task for task in tasks if not store.has(task.key)]
    patience = _HOPELESS if len(todo) < len(tasks) else min(_HOPELESS, len(todo))
    done, failed, work = _work(engine(todo), store, show(len(todo)), patience)
    seconds = time.perf_counter() - start
    records = partial(_records, tasks, store)
    complete = not stopped() or done + len(failed) == len(todo)
    if complete:
        if sa1b:
            write_sa1b(records, output, store.folder)
        else:
            write_coco(records, output, store.folder, categories)
    report = AnnotateReport(
        photographs=len(tasks),
        done_before=len(tasks) - len(todo),
        done_now=done,
        failed=failed,
        **_summary(records()),
        seconds=round(seconds, 2),
        work_seconds=round(work, 2),
        photographs_per_second=round(done / seconds, 3),
        output=str(output) if complete else None,
    )
    write_files({store.folder / "report.json": to_json(report, indent=1)})
    return report


def _work(
    outcomes: Generator[Outcome, None, None], store: Store, step: Callable[[], None], patience: int
) -> tuple[int, list[Absent], float]:
    """Store the outcomes. Returns the number of records, the failures, and the workers' seconds."""
    done, failed, seconds = 0, list[Absent](), 0.0
    with contextlib.closing(outcomes):  # An interrupt here also ends the engine at once.
        for outcome in outcomes:
            seconds += outcome.seconds
            if outcome.record is not None:
                store.put(outcome.task.key, outcome.record)
                done += 1
            else:
                failed.append(Absent(outcome.task.item.name, outcome.failure or "unknown"))
                if not done and len(failed) >= patience:
                    raise EdgeSamError(f"{len(failed)} photographs failed and none was done: {failed[0].reason}")
            step()
    return done, sorted(failed, key=lambda absent: absent.name), seconds


def _records(tasks: Sequence[Task], store: Store) -> Iterator[Record]:
    for task in tasks:
        if store.has(task.key):
            yield store.get(task)


def _summary(records: Iterable[Record]) -> dict[str, Any]:
    skipped, rejected, prompts, annotations = [], Counter[str](), 0, 0
    for record in records:
        if record.skipped is not None:
            skipped.append(Absent(record.name, record.skipped))
        rejected.update(record.rejected)
        prompts += record.prompts
        annotations += len(record.masks)
    return {
        "skipped": skipped,
        "prompts": prompts,
        "annotations": annotations,
        "rejected": dict(sorted(rejected.items())),
    }
