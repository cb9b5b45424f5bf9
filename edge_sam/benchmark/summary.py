"""Turn raw figures into the rows of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from edge_sam.benchmark.measure import Measurement, Rle
from edge_sam.benchmark.report import STAGES, BenchRow, Energy, Ratio, ReferenceIou, Spread
from edge_sam.bundles.bundle import open_bundle
from edge_sam.bundles.contract import Role
from edge_sam.imaging.masks import overlaps
from edge_sam.runtimes import backend


def summarise(
    measurements: Sequence[Measurement], references: Mapping[int, Sequence[Sequence[Rle]]], min_agreement: float
) -> list[BenchRow]:
    """Make a row for each variant and rank the rows whose masks agree with the reference.

    Parameters
    ----------
    measurements : sequence of Measurement
        Speedups are relative to the first.
    references : mapping of int to masks
        The reference's masks as COCO RLE, by long side and photograph.
    min_agreement : float
        Mean IoU with the reference's masks below which a row counts as disagreeing.
    """
    rows = []
    for measurement in measurements:
        agreement = _reference_iou(measurement.masks, references[measurement.variant.long_side])
        rows.append(_row(measurement, measurements[0], agreement, agreement.mean >= min_agreement))
    fastest = sorted((row for row in rows if row.agrees), key=lambda row: row.total.p50)
    ranks = {id(row): rank for rank, row in enumerate(fastest, start=1)}
    return [msgspec.structs.replace(row, rank=ranks.get(id(row))) for row in rows]


def drift(measurement: Measurement) -> float | None:
    """Return the ratio of the median times of the second and first half of the rounds; None with too few rounds."""
    totals = _round_totals(measurement)
    half = len(totals) // 2
    return float(np.median(totals[half:]) / np.median(totals[:half])) if half >= 3 else None


def _row(measurement: Measurement, first: Measurement, agreement: ReferenceIou, agrees: bool) -> BenchRow:
    results = [result for results in measurement.rounds for result in results]
    stages = {stage: _spread([result.stages[stage] for result in results]) for stage in STAGES}
    total = _spread([result.total_ms for result in results])
    walls = [wall for walls in measurement.wall_ms for wall in walls]
    inside = [sum(result.stages.values()) for result in results]
    ratios = np.array(_round_totals(first)) / np.array(_round_totals(measurement))
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    loaded = measurement.loaded
    return BenchRow(
        combination=loaded.facts,
        threads=measurement.variant.threads,
        start_ms=measurement.start_ms,
        load_ms=loaded.load_ms - loaded.compile_ms - loaded.guard_ms,
        compile_ms=loaded.compile_ms,
        first_run_ms=measurement.first_run_ms,
        warm_up_ms=measurement.warm_up_ms,
        stages=stages,
        total=total,
        accounted=float(np.median(np.array(inside) / np.array(walls))),
        images_per_second=1000 / total.p50,
        clicks_per_second=1000 / (stages["decode"].p50 + stages["upsample"].p50),
        speedup=Ratio(float(median), float(low), float(high)),
        agreement=agreement,
        agrees=agrees,
        rank=None,
        peak_rss_mb=measurement.peak_rss_mb,
        files_mb=_files_mb(measurement),
        gpu_memory_mb=measurement.gpu_memory_mb,
        energy=_energy(measurement.joules, walls) or None,
    )


def _energy(joules: Sequence[Mapping[str, float]], walls: Sequence[float]) -> dict[str, Energy]:
    """Return the mean energy by counter. Means, because a counter's step may be longer than a run."""
    energy = {}
    for name in joules[0] if joules else ():
        total = sum(run.get(name, 0.0) for run in joules)
        energy[name] = Energy(total / len(joules), total / (sum(walls) / 1000))
    return energy


def _round_totals(measurement: Measurement) -> list[float]:
    return [sum(result.total_ms for result in results) for results in measurement.rounds]


def _spread(values: Sequence[float]) -> Spread:
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, [50, 90, 95, 99]))
    return Spread(p50, p90, p95, p99, float(np.min(values)), len(values))


def _reference_iou(masks: Sequence[Sequence[Rle]], reference: Sequence[Sequence[Rle]]) -> ReferenceIou:
    """Compare each mask with the most similar reference mask: masks of equal predicted IoU may swap."""
    nearest: list[float] = []
    for ours, theirs in zip(masks, reference, strict=True):
        nearest += overlaps(ours, theirs).max(axis=1).tolist()
    return ReferenceIou(float(np.mean(nearest)), float(np.min(nearest)))


def _files_mb(measurement: Measurement) -> float:
    """Return the size of all bundle files that the variant reads, in MB."""
    facts = measurement.loaded.facts
    bundle, formats = open_bundle(measurement.variant.bundle, facts.precision), backend(facts.runtime).MODEL_FORMATS
    roles: tuple[Role, ...] = (*bundle.graphs, "constants", "probe")
    components = [bundle.component(role, facts.precision, *formats, "npz") for role in roles]
    return sum(file.bytes for component in components for file in component.files) / 1e6
