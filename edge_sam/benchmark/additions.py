"""Optional parts of a report: accuracy and operator profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from edge_sam.benchmark.operators import profile
from edge_sam.benchmark.report import BenchReport
from edge_sam.evaluation.evaluate import Evaluation
from edge_sam.evaluation.variant import Variant


def add_accuracy(
    report: BenchReport, measured: Sequence[Variant], evaluation: Evaluation, progress: Callable[[], None]
) -> BenchReport:
    """Add the mIoU of each protocol to each row. `measured` holds the variant of each row."""
    rows = []
    for row, variant in zip(report.rows, measured, strict=True):
        protocols, _ = evaluation.run([variant.open()], seed=0, worst=0, progress=progress)
        rows.append(replace(row, miou={protocol.name: protocol.scores["iou"] for protocol in protocols}))
    return replace(report, rows=rows)


def add_operators(
    report: BenchReport, measured: Sequence[Variant], image: Path, folder: Path, progress: Callable[[], None]
) -> tuple[BenchReport, dict[Path, bytes]]:
    """Add an operator profile to each row. Also returns the trace files to write into `folder`."""
    rows = []
    traces: dict[Path, bytes] = {}
    for number, (row, variant) in enumerate(zip(report.rows, measured, strict=True)):

        def save_trace(component: str, trace: bytes, number: int = number) -> str:
            path = folder / f"trace-{number}-{component}.json"
            traces[path] = trace
            return str(path)

        rows.append(replace(row, operators=profile(variant, image, save_trace)))
        progress()
    return replace(report, rows=rows), traces
