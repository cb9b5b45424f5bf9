"""Measuring combinations, interleaved round by round."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_sam.benchmark.energy import EnergyMeter
from edge_sam.benchmark.nvml import Nvml
from edge_sam.benchmark.plan import Plan
from edge_sam.benchmark.process import WorkerError, WorkerProcess
from edge_sam.benchmark.report import Skipped
from edge_sam.benchmark.worker import Answer, Ready
from edge_sam.evaluation.variant import Variant

_SETTLE = 0.05
"""Seconds between two combinations, for the threads of the one before to come to rest."""
Rle = dict[str, object]


@dataclass
class Measurement:
    """Raw figures of one combination.

    Attributes
    ----------
    variant : Variant
        What was measured.
    ready : Ready
        What was loaded.
    start_ms, first_run_ms, peak_rss_mb : float
        See `edge_sam.benchmark.report.Row`.
    warm_up_ms : list of float
        Runs that are not counted.
    rounds : list of list of Answer
        For each round the answer for each photograph.
    wall_ms : list of list of float
        The same runs seen from outside the process.
    joules : list of dict of str to float
        Energy of each run, by what the system tells of.
    gpu_memory_mb : float or None
        GPU memory in use after the warm-up less that before the process was started.
    masks : list of list of dict
        For each photograph its masks as COCO RLE.
    """

    variant: Variant
    ready: Ready
    start_ms: float
    first_run_ms: float = 0.0
    peak_rss_mb: float = 0.0
    warm_up_ms: list[float] = field(default_factory=list)
    rounds: list[list[Answer]] = field(default_factory=list)
    wall_ms: list[list[float]] = field(default_factory=list)
    joules: list[dict[str, float]] = field(default_factory=list)
    gpu_memory_mb: float | None = None
    masks: list[list[Rle]] = field(default_factory=list)


def measure(
    plan: Plan, progress: Callable[[], None], nvml: Nvml | None = None
) -> tuple[list[Measurement], list[Skipped]]:
    """Measure every combination in a process of its own, all of them once in every round.

    Parameters
    ----------
    plan : Plan
        What to measure.
    progress : callable
        Called `Plan.steps` times.
    nvml : Nvml, optional
        Where to read the GPUs' memory and energy.

    Returns
    -------
    measurements : list of Measurement
    skipped : list of Skipped
        Combinations that failed.
    """
    skipped: list[Skipped] = []
    running: dict[Variant, tuple[WorkerProcess, Measurement]] = {}

    @contextlib.contextmanager
    def skipping(variant: Variant) -> Iterator[None]:
        """Leave a combination out that fails, and go on with the others."""
        try:
            yield
        except WorkerError as error:
            running.pop(variant, None)
            skipped.append(Skipped(variant.label, str(error)))

    with contextlib.ExitStack() as stack:
        for variant in plan.variants:
            with skipping(variant):
                running[variant] = _begin(variant, plan, stack, nvml)
            progress()
        meter = stack.enter_context(EnergyMeter(nvml))
        for _ in range(plan.rounds):
            for variant, (worker, measurement) in list(running.items()):
                with skipping(variant):
                    _round(worker, measurement, len(plan.images), meter)
            progress()
        for variant, (worker, measurement) in list(running.items()):
            with skipping(variant):
                measurement.peak_rss_mb = worker.finish()
    return [measurement for _, measurement in running.values()], skipped


def reference_masks(variant: Variant, images: Sequence[Path]) -> list[list[Rle]]:
    """Return the masks of one combination, for each photograph, as COCO RLE; raises `WorkerError`."""
    worker = WorkerProcess(variant, images)
    with contextlib.closing(worker):
        return [worker.run(image, with_masks=True)[0].masks for image in range(len(images))]


def _start(variant: Variant, images: Sequence[Path], stack: contextlib.ExitStack) -> WorkerProcess:
    """Start a combination; twice, where it was judged and compiled for the first time on this machine.

    The second start takes both from the cache, as every later one will, and its first run really is one.
    """
    worker = WorkerProcess(variant, images)
    stack.callback(worker.close)
    if worker.ready.guard_ms:
        worker.close()
        worker = WorkerProcess(variant, images)
        stack.callback(worker.close)
    return worker


def _begin(
    variant: Variant, plan: Plan, stack: contextlib.ExitStack, nvml: Nvml | None
) -> tuple[WorkerProcess, Measurement]:
    """Start, first run, masks, warm-up."""
    images = range(len(plan.images))
    before = nvml.used_mb() if nvml else None
    worker = _start(variant, plan.images, stack)
    measurement = Measurement(variant, worker.ready, worker.ready_wall_ms - worker.ready.load_ms)
    measurement.first_run_ms = worker.run(0)[0].total_ms
    measurement.masks = [worker.run(image, with_masks=True)[0].masks for image in images]
    measurement.warm_up_ms = [worker.run(i % len(images))[0].total_ms for i in range(plan.warm_up)]
    after = nvml.used_mb() if nvml else None
    if before is not None and after is not None:
        measurement.gpu_memory_mb = after - before
    return worker, measurement


def _round(worker: WorkerProcess, measurement: Measurement, images: int, meter: EnergyMeter) -> None:
    time.sleep(_SETTLE)
    answers, walls = [], []
    for image in range(images):
        meter.joules_since_last()
        answer, wall = worker.run(image)
        measurement.joules.append(meter.joules_since_last())
        answers.append(answer)
        walls.append(wall)
    measurement.rounds.append(answers)
    measurement.wall_ms.append(walls)
