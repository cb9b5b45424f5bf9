"""A whole benchmark: combinations to a report."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

from edge_sam.benchmark.machine import Clock, describe_machine, read_clock
from edge_sam.benchmark.measure import measure, reference_masks
from edge_sam.benchmark.nvml import open_nvml
from edge_sam.benchmark.plan import Plan
from edge_sam.benchmark.report import SCHEMA, BenchReport
from edge_sam.benchmark.summary import drift, summarise
from edge_sam.bundles.bundle import open_bundle
from edge_sam.errors import EdgeSamError
from edge_sam.evaluation.variant import Variant
from edge_sam.runtimes import why_unusable
from edge_sam.version import __version__


def run_benchmark(plan: Plan, progress: Callable[[], None]) -> tuple[BenchReport, list[Variant]]:
    """Measure combinations and compare their masks with the reference's.

    Parameters
    ----------
    plan : Plan
        What to measure.
    progress : callable
        Called `Plan.steps` times.

    Returns
    -------
    report : BenchReport
    measured : list of Variant
        One for each row of the report.

    Raises
    ------
    EdgeSamError
        No combination works.
    """
    reference = _reference(plan.variants[0])
    references = {
        long_side: reference_masks(dataclasses.replace(reference, long_side=long_side), plan.images)
        for long_side in sorted({variant.long_side for variant in plan.variants})
    }
    nvml, clocks = open_nvml(), list[Clock]()

    def step() -> None:
        clocks.append(read_clock(nvml))
        progress()

    measurements, failed = measure(plan, step, nvml)
    if not measurements:
        raise EdgeSamError("no combination works: " + "; ".join(f"{s.combination}: {s.reason}" for s in failed))
    report = BenchReport(
        schema=SCHEMA,
        version=__version__,
        time=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        images=[str(image) for image in plan.images],
        rounds=plan.rounds,
        reference=f"{reference.runtime} {reference.precision} at the same long side",
        min_agreement=plan.min_agreement,
        machine=describe_machine(clocks[len(plan.variants) - 1 :], drift(measurements[0])),
        rows=summarise(measurements, references, plan.min_agreement),
        skipped=[*plan.skipped, *failed],
    )
    return report, [measurement.variant for measurement in measurements]


def _reference(variant: Variant) -> Variant:
    """Take the bundle's most exact precision in ONNX Runtime, or else in the first row's runtime."""
    runtime = "onnxruntime" if why_unusable("onnxruntime") is None else variant.runtime
    return Variant(variant.bundle, runtime=runtime, precision=open_bundle(variant.bundle).precisions[0])
