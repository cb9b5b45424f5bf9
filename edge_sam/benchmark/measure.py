"""Measuring combinations, interleaved round by round."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_sam.benchmark.combinations import label
from edge_sam.benchmark.energy import EnergyMeter
from edge_sam.benchmark.nvml import Nvml
from edge_sam.benchmark.process import WorkerError, WorkerProcess
from edge_sam.benchmark.report import Skipped
from edge_sam.benchmark.worker import Answer, Ready
from edge_sam.evaluation.segmenters import Variant

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
    variants: Sequence[Variant],
    images: Sequence[Path],
    rounds: int,
    warm_up: int,
    progress: Callable[[], None],
    nvml: Nvml | None = None,
) -> tuple[list[Measurement], list[Skipped]]:
    """Measure every combination in a process of its own, all of them once in every round.

    Parameters
    ----------
    variants : sequence of Variant
        What to measure.
    images : sequence of Path
        Photographs; each run reads its file, encodes it and answers one click on its centre with three masks.
    rounds, warm_up : int
        Runs that count, and runs before them that do not.
    progress : callable
        Called once for each combination that is loaded or skipped, and after each round.
    nvml : Nvml, optional
        Where to read the GPUs' memory and energy.

    Returns
    -------
    measurements : list of Measurement
    skipped : list of Skipped
        Combinations that failed.
    """
    skipped: list[Skipped] = []
    with contextlib.ExitStack() as stack:
        running: dict[str, tuple[WorkerProcess, Measurement]] = {}
        for variant in variants:
            try:
                before = nvml.used_mb() if nvml else None
                worker = _start(variant, images, stack)
                measurement = _begin(worker, variant, len(images), warm_up)
                after = nvml.used_mb() if nvml else None
                if before is not None and after is not None:
                    measurement.gpu_memory_mb = after - before
                running[label(variant)] = worker, measurement
            except WorkerError as error:
                skipped.append(Skipped(label(variant), str(error)))
            progress()
        meter = stack.enter_context(EnergyMeter(nvml))
        for _ in range(rounds):
            for name, (worker, measurement) in list(running.items()):
                try:
                    _round(worker, measurement, len(images), meter)
                except WorkerError as error:
                    skipped.append(Skipped(name, str(error)))
                    del running[name]
            progress()
        measurements = []
        for worker, measurement in running.values():
            measurement.peak_rss_mb = worker.finish()
            measurements.append(measurement)
    return measurements, skipped


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


def _begin(worker: WorkerProcess, variant: Variant, images: int, warm_up: int) -> Measurement:
    """First run, masks, warm-up."""
    measurement = Measurement(variant, worker.ready, worker.ready_wall_ms - worker.ready.load_ms)
    measurement.first_run_ms = worker.run(0)[0].total_ms
    measurement.masks = [worker.run(image, with_masks=True)[0].masks for image in range(images)]
    measurement.warm_up_ms = [worker.run(i % images)[0].total_ms for i in range(warm_up)]
    return measurement


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
