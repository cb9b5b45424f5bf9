"""`edge-sam doctor`: what is on this machine, what works, and how to fix the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_sam.cli.options import Json
from edge_sam.cli.output import plain_console, print_json, table
from edge_sam.cli.progress import status

if TYPE_CHECKING:
    from rich.table import Table

    from edge_sam.doctor import Diagnosis


def doctor(*, json: Json = False) -> int:
    """Say what this machine has, which runtimes work on it, and how to fix those that do not.

    Every runtime is tried with a real inference, except those that build engines. The exit code is 0 if at least one
    works, else 1.
    """
    from edge_sam.doctor import diagnose

    with status("trying the runtimes"):
        report = diagnose()
    if json:
        print_json(report)
    else:
        _show(report)
    return 0 if report.works else 1


def _show(report: Diagnosis) -> None:
    from rich.table import Table

    console = plain_console(soft_wrap=True)  # A command that is cut into lines cannot be copied.
    facts = Table.grid(padding=(0, 2))
    for name, fact in _facts(report):
        facts.add_row(name, fact)
    console.print(facts)
    console.print()
    console.print(_runtimes(report))
    for conflict in report.conflicts or []:
        console.print()
        console.print(f"conflict: {' and '.join(conflict.packages)}: {conflict.problem}")
        console.print(f"  fix: {conflict.fix}")
    if any(check.fix for check in report.runtimes):
        console.print()
    for check in report.runtimes:
        if check.fix:
            console.print(f"for {check.runtime}: {check.fix}")


def _facts(report: Diagnosis) -> Iterator[tuple[str, str]]:
    yield "edge_sam", f"{report.edge_sam}, Python {report.python}"
    if report.system:
        yield "system", f"{report.system.name}, kernel {report.system.kernel}, {report.system.architecture}"
    if report.board:
        yield "board", report.board
    if report.jetson:
        jetpack = report.jetson.jetpack or "of unknown version"
        yield "Jetson", f"{report.jetson.model}, L4T {report.jetson.l4t or 'unknown'}, JetPack {jetpack}"
    if report.processor:
        cores = f"{report.processor.cores or 'unknown number of'} logical cores"
        yield "processor", f"{report.processor.name}, {cores}, {report.processor.usable_cores} to use here"
        sets = report.processor.instruction_sets
        words = [f"{name} {'yes' if has else 'no'}" for name, has in (sets or {}).items()]
        yield "instructions", ", ".join(words) or "unknown"
    if report.memory:
        free = "" if report.memory.available is None else f", {report.memory.available / 2**30:.1f} GiB available"
        yield "memory", f"{report.memory.total / 2**30:.1f} GiB{free}"
    if report.nvidia:
        driver = f"; driver {report.nvidia.driver}" if report.nvidia.driver else ""
        devices = "; ".join(map(str, report.nvidia.devices)) or report.nvidia.none_because or "no device"
        yield "NVIDIA", devices + driver
    if report.packages is not None:
        yield "packages", ", ".join(f"{name} {version}" for name, version in report.packages.items())
    if report.cache:
        yield "cache", f"{report.cache.folder}, {'writable' if report.cache.writable else 'NOT writable'}"
        for model, best in report.cache.tuned.items():
            yield f"tuned, {model}", ", ".join(f"{k} {v}" for k, v in best.items()) if best else "nothing measured here"
    yield from report.unknown.items()


def _runtimes(report: Diagnosis) -> Table:
    tried = table("runtime", "state", "ran", "on", "why not")
    states = {True: "works", False: "does not work", None: "not run"}
    for check in report.runtimes:
        cells = (check.provider, check.hardware, check.why)
        tried.add_row(check.runtime, states[check.usable], *(cell or "" for cell in cells))
    return tried
