"""Measure variants, interleaved round by round."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_sam.benchmark.energy import EnergyMeter
from edge_sam.benchmark.nvml import Nvml
from edge_sam.benchmark.process import WorkerError, WorkerProcess
from edge_sam.benchmark.report import Skipped
from edge_sam.benchmark.variants import BenchConfig
from edge_sam.benchmark.worker import Loaded, RunResult
from edge_sam.evaluation.variant import Variant

_SETTLE = 0.05
"""Seconds between two variants, so that the threads of the previous one stop spinning."""
Rle = dict[str, object]


@dataclass
class Measurement:
    """Raw figures of one variant.

    Attributes
    ----------
    variant : Variant
        What was measured.
    loaded : Loaded
        What was loaded.
    start_ms, first_run_ms, peak_rss_mb : float
        See `edge_sam.benchmark.report.BenchRow`.
    warm_up_ms : list of float
        Warm-up runs, which are not counted.
    rounds : list of list of RunResult
        Results by round and photograph.
    wall_ms : list of list of float
        Times of the same runs measured in the parent process.
    joules : list of dict of str to float
        Energy of each run by counter.
    gpu_memory_mb : float or None
        GPU memory in use after the warm-up, minus that before the process started.
    masks : list of list of dict
        Masks of each photograph as COCO RLE.
    """

    variant: Variant
    loaded: Loaded
    start_ms: float
    first_run_ms: float = 0.0
    peak_rss_mb: float = 0.0
    warm_up_ms: list[float] = field(default_factory=list)
    rounds: list[list[RunResult]] = field(default_factory=list)
    wall_ms: list[list[float]] = field(default_factory=list)
    joules: list[dict[str, float]] = field(default_factory=list)
    gpu_memory_mb: float | None = None
    masks: list[list[Rle]] = field(default_factory=list)


def measure(
    config: BenchConfig, progress: Callable[[], None], nvml: Nvml | None = None
) -> tuple[list[Measurement], list[Skipped]]:
    """Measure every variant in its own process, each once in every round.

    Parameters
    ----------
    config : BenchConfig
        What to measure.
    progress : callable
        Called `BenchConfig.steps` times.
    nvml : Nvml, optional
        Source of the GPUs' memory and energy.

    Returns
    -------
    measurements : list of Measurement
    skipped : list of Skipped
        Variants that failed.
    """
    skipped: list[Skipped] = []
    running: dict[Variant, tuple[WorkerProcess, Measurement]] = {}

    @contextlib.contextmanager
    def skipping(variant: Variant) -> Iterator[None]:
        """Drop a variant that fails and continue with the others."""
        try:
            yield
        except WorkerError as error:
            running.pop(variant, None)
            skipped.append(Skipped(variant.label, str(error)))

    with contextlib.ExitStack() as stack:
        for variant in config.variants:
            with skipping(variant):
                running[variant] = _begin(variant, config, stack, nvml)
            progress()
        meter = stack.enter_context(EnergyMeter(nvml))
        for _ in range(config.settings.rounds):
            for variant, (worker, measurement) in list(running.items()):
                with skipping(variant):
                    _round(worker, measurement, len(config.images), meter)
            progress()
        for variant, (worker, measurement) in list(running.items()):
            with skipping(variant):
                measurement.peak_rss_mb = worker.finish()
    return [measurement for _, measurement in running.values()], skipped


def reference_masks(variant: Variant, images: Sequence[Path]) -> list[list[Rle]]:
    """Return one variant's masks of each photograph as COCO RLE. Raises `WorkerError`."""
    worker = WorkerProcess(variant, images)
    with contextlib.closing(worker):
        return [worker.run(image, with_masks=True)[0].masks for image in range(len(images))]


def _start(variant: Variant, images: Sequence[Path], stack: contextlib.ExitStack) -> WorkerProcess:
    """Start a worker, and restart it if it ran the guard or compiled for the first time on this machine.

    The second start reads both from the cache, as every later start does.
    """
    worker = WorkerProcess(variant, images)
    stack.callback(worker.close)
    if worker.loaded.guard_ms:
        worker.close()
        worker = WorkerProcess(variant, images)
        stack.callback(worker.close)
    return worker


def _begin(
    variant: Variant, config: BenchConfig, stack: contextlib.ExitStack, nvml: Nvml | None
) -> tuple[WorkerProcess, Measurement]:
    """Start a worker and run its first run, the run with masks and the warm-up."""
    images = range(len(config.images))
    before = nvml.used_mb() if nvml else None
    worker = _start(variant, config.images, stack)
    measurement = Measurement(variant, worker.loaded, worker.load_wall_ms - worker.loaded.load_ms)
    measurement.first_run_ms = worker.run(0)[0].total_ms
    measurement.masks = [worker.run(image, with_masks=True)[0].masks for image in images]
    measurement.warm_up_ms = [worker.run(i % len(images))[0].total_ms for i in range(config.settings.warm_up)]
    after = nvml.used_mb() if nvml else None
    if before is not None and after is not None:
        measurement.gpu_memory_mb = after - before
    return worker, measurement


def _round(worker: WorkerProcess, measurement: Measurement, images: int, meter: EnergyMeter) -> None:
    time.sleep(_SETTLE)
    results, walls = [], []
    for image in range(images):
        meter.joules_since_last()
        result, wall = worker.run(image)
        measurement.joules.append(meter.joules_since_last())
        results.append(result)
        walls.append(wall)
    measurement.rounds.append(results)
    measurement.wall_ms.append(walls)
