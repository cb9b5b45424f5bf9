"""Tables of `edge-sam bench` for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from edge_sam.benchmark.compare import Comparison
from edge_sam.benchmark.report import STAGES, BenchReport, OperatorProfile

_SHORT = {"preprocess": "prep"}
"""The table is to fit 80 columns."""
_LARGEST = 8
"""Operators and blocks that are listed."""


def print_report(report: BenchReport) -> None:
    """Print what was measured on standard output."""
    console = Console(highlight=False)
    times = _table("milliseconds, p50", "total", "p95", *(_SHORT.get(stage, stage) for stage in STAGES))
    speed = _table("", "× first (quartiles)", "images/s", "clicks/s", "agreement", "rank")
    start = _table("ms, MiB, MB", "start", "load", "compile", "first run", "RSS", "GPU", "files")
    for row in report.rows:
        times.add_row(
            row.name,
            *(f"{value:.1f}" for value in (row.total.p50, row.total.p95)),
            *(f"{row.stages[stage].p50:.1f}" for stage in STAGES),
        )
        speed.add_row(
            row.name,
            f"{row.speedup.median:.2f} ({row.speedup.low:.2f}–{row.speedup.high:.2f})",
            *(f"{value:.1f}" for value in (row.images_per_second, row.clicks_per_second)),
            f"{row.agreement.mean:.4f}",
            str(row.rank or "none"),
        )
        start.add_row(
            row.name,
            *(
                f"{value:.0f}"
                for value in (row.start_ms, row.load_ms, row.compile_ms, row.first_run_ms, row.peak_rss_mb)
            ),
            "–" if row.gpu_memory_mb is None else f"{row.gpu_memory_mb:.0f}",
            f"{row.files_mb:.1f}",
        )
    for table in (times, speed, start):
        console.print(table)
        console.print()
    for row in report.rows:
        if not row.agrees:
            console.print(f"MASKS DISAGREE, not ranked: {row.name}, mean IoU {row.agreement.mean:.4f}", soft_wrap=True)
    for row in report.rows:
        for protocol, estimate in (row.miou or {}).items():
            mean, low, high = (100 * value for value in (estimate.mean, estimate.low, estimate.high))
            console.print(f"{row.name}: mIoU × 100 by {protocol} {mean:.1f} ({low:.1f} to {high:.1f})", soft_wrap=True)
        for source, energy in (row.energy or {}).items():
            joules, watts = energy.joules_per_image, energy.watts
            console.print(f"{row.name}: {joules:.2f} J a photograph, {watts:.1f} W by {source}", soft_wrap=True)
        if row.operators == []:
            console.print(f"{row.name}: its runtime has no operator profile", soft_wrap=True)
        for profile in row.operators or ():
            _print_operators(console, row.name, profile)
    for skip in report.skipped:
        console.print(f"not measured: {skip.combination}: {skip.reason}", soft_wrap=True)
    providers = sorted({row.combination.provider for row in report.rows})
    machine = report.machine
    console.print(
        f"{machine.processor}, {machine.cores} cores, {', '.join(machine.features)}; ran on {', '.join(providers)};"
        f" {report.rounds} rounds; masks compared with {report.reference}",
        soft_wrap=True,
    )
    for note in machine.notes:
        console.print(f"note: {note}", soft_wrap=True)


def print_comparison(comparison: Comparison) -> None:
    """Print what changed on standard output."""
    console = Console(highlight=False)
    for combination in dict.fromkeys(change.combination for change in comparison.changes):
        table = _table(combination, "old", "new", "change", "")
        for change in comparison.changes:
            if change.combination == combination:
                table.add_row(
                    change.figure,
                    *("absent" if value is None else f"{value:.2f}" for value in (change.old, change.new)),
                    "–" if change.change is None else f"{change.change:+.1f} %",
                    "REGRESSION" if change.regressed else "",
                )
        console.print(table)
        console.print()
    for note in comparison.notes:
        console.print(f"note: {note}", soft_wrap=True)


def _print_operators(console: Console, name: str, profile: OperatorProfile) -> None:
    for kind, shares in (("operator", profile.by_operator), ("block", profile.by_block)):
        table = _table(f"{name}: {profile.component}, {profile.ms:.1f} ms by {kind}", "ms", "share", "nodes")
        for share in shares[:_LARGEST]:
            table.add_row(share.name, f"{share.ms:.2f}", f"{100 * share.share:.1f} %", str(share.nodes))
        console.print()
        console.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)
    return table
