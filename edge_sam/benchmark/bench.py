"""Run a benchmark."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

from edge_sam.benchmark.machine import Clock, describe_machine, read_clock
from edge_sam.benchmark.measure import measure, reference_masks
from edge_sam.benchmark.nvml import open_nvml
from edge_sam.benchmark.report import SCHEMA, BenchReport
from edge_sam.benchmark.summary import drift, summarise
from edge_sam.benchmark.variants import BenchConfig
from edge_sam.bundles.bundle import open_bundle
from edge_sam.errors import EdgeSamError
from edge_sam.evaluation.variant import Variant
from edge_sam.runtimes import REFERENCE, why_unusable
from edge_sam.version import __version__


def run_benchmark(config: BenchConfig, progress: Callable[[], None]) -> tuple[BenchReport, list[Variant]]:
    """Measure variants and compare their masks with the reference's.

    Parameters
    ----------
    config : BenchConfig
        What to measure.
    progress : callable
        Called `BenchConfig.steps` times.

    Returns
    -------
    report : BenchReport
    measured : list of Variant
        The variant of each row.

    Raises
    ------
    EdgeSamError
        No variant works.
    """
    reference = _reference(config.variants[0])
    references = {
        long_side: reference_masks(dataclasses.replace(reference, long_side=long_side), config.images)
        for long_side in sorted({variant.long_side for variant in config.variants})
    }
    nvml, clocks = open_nvml(), list[Clock]()

    def step() -> None:
        clocks.append(read_clock(nvml))
        progress()

    measurements, failed = measure(config, step, nvml)
    if not measurements:
        raise EdgeSamError("no variant works: " + "; ".join(f"{s.combination}: {s.reason}" for s in failed))
    report = BenchReport(
        schema=SCHEMA,
        version=__version__,
        time=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        images=[str(image) for image in config.images],
        rounds=config.settings.rounds,
        reference=f"{reference.runtime} {reference.precision} at the same long side",
        min_agreement=config.settings.min_agreement,
        machine=describe_machine(clocks[len(config.variants) - 1 :], drift(measurements[0])),
        rows=summarise(measurements, references, config.settings.min_agreement),
        skipped=[*config.skipped, *failed],
    )
    return report, [measurement.variant for measurement in measurements]


def _reference(variant: Variant) -> Variant:
    """Return the most exact precision in the reference runtime, or else in the first variant's."""
    runtime = REFERENCE if why_unusable(REFERENCE) is None else variant.runtime
    return Variant(variant.bundle, runtime=runtime, precision=open_bundle(variant.bundle).precisions[0])
