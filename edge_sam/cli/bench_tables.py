"""Tables of `edge-sam bench` for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from edge_sam.benchmark.columns import added_columns, columns
from edge_sam.benchmark.compare import Comparison
from edge_sam.benchmark.report import STAGES, BenchReport, OperatorProfile
from edge_sam.cli.output import plain_console

_VIEWS = {
    "milliseconds, p50": ("total", "p95", *STAGES),
    "": ("× first (quartiles)", "images/s", "clicks/s", "agreement", "rank"),
    "ms, MiB, MB": ("start", "load", "compile", "first run", "RSS", "GPU", "files"),
}
"""Columns of each table by its title."""
_SHORT = {"preprocess": "prep"}
"""The table is to fit 80 columns."""
_LARGEST = 8
"""Operators and blocks that are listed."""


def print_report(report: BenchReport) -> None:
    """Print what was measured on standard output."""
    console = plain_console()
    for title, names in _VIEWS.items():
        table = _table(title, *(_SHORT.get(name, name) for name in names))
        for row in report.rows:
            table.add_row(row.name, *(cell(row) for cell in columns(*names).values()))
        console.print(table)
        console.print()
    for row in report.rows:
        if not row.agrees:
            console.print(f"MASKS DISAGREE, not ranked: {row.name}, mean IoU {row.agreement.mean:.4f}", soft_wrap=True)
    for row in report.rows:
        for title, cell in added_columns([row]).items():
            console.print(f"{row.name}: {title} {cell(row)}", soft_wrap=True)
        if row.operators == []:
            console.print(f"{row.name}: its runtime has no operator profile", soft_wrap=True)
        for profile in row.operators or ():
            _print_operators(console, row.name, profile)
    for skip in report.skipped:
        console.print(f"not measured: {skip.combination}: {skip.reason}", soft_wrap=True)
    _print_machine(console, report)


def _print_machine(console: Console, report: BenchReport) -> None:
    machine, providers = report.machine, sorted({row.combination.provider for row in report.rows})
    console.print(
        f"{machine.processor}, {machine.cores} cores, {', '.join(machine.features)}; ran on {', '.join(providers)};"
        f" {report.rounds} rounds; masks compared with {report.reference}",
        soft_wrap=True,
    )
    for note in machine.notes:
        console.print(f"note: {note}", soft_wrap=True)


def print_comparison(comparison: Comparison) -> None:
    """Print what changed on standard output."""
    console = plain_console()
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
