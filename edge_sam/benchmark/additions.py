"""What is added to a report on request: accuracy, and where the time goes inside."""

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
    """Add the mIoU of each protocol to each row, whose combination `measured` has."""
    rows = []
    for row, variant in zip(report.rows, measured, strict=True):
        protocols, _ = evaluation.run([variant.open()], seed=0, worst=0, progress=progress)
        rows.append(replace(row, miou={protocol.name: protocol.scores["iou"] for protocol in protocols}))
    return replace(report, rows=rows)


def add_operators(
    report: BenchReport, measured: Sequence[Variant], image: Path, folder: Path, progress: Callable[[], None]
) -> tuple[BenchReport, dict[Path, bytes]]:
    """Add the profile of its operators to each row; also returned are the traces, files to be written in `folder`."""
    rows = []
    traces: dict[Path, bytes] = {}
    for number, (row, variant) in enumerate(zip(report.rows, measured, strict=True)):

        def keep(component: str, trace: bytes, number: int = number) -> str:
            path = folder / f"trace-{number}-{component}.json"
            traces[path] = trace
            return str(path)

        rows.append(replace(row, operators=profile(variant, image, keep)))
        progress()
    return replace(report, rows=rows), traces
