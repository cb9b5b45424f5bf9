"""Columns of the tables of a report: each turns a row into the text of a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

from edge_sam.benchmark.report import STAGES, BenchRow

Column = Callable[[BenchRow], str]


def _figure(path: str, digits: int) -> Column:
    get = attrgetter(path)
    return lambda row: "–" if get(row) is None else f"{get(row):.{digits}f}"


def _stage(name: str) -> Column:
    return lambda row: f"{row.stages[name].p50:.1f}"


COLUMNS: dict[str, Column] = {
    "total": _figure("total.p50", 1),
    **{name: _figure(f"total.{name}", 1) for name in ("p90", "p95", "p99", "min")},
    **{stage: _stage(stage) for stage in STAGES},
    "× first (quartiles)": lambda row: f"{row.speedup.median:.2f} ({row.speedup.low:.2f}–{row.speedup.high:.2f})",
    "images/s": _figure("images_per_second", 1),
    "clicks/s": _figure("clicks_per_second", 1),
    "agreement": _figure("agreement.mean", 4),
    "worst": _figure("agreement.worst", 4),
    "rank": lambda row: str(row.rank or "none"),
    "provider": attrgetter("combination.provider"),
    "start": _figure("start_ms", 0),
    "load": _figure("load_ms", 0),
    "compile": _figure("compile_ms", 0),
    "first run": _figure("first_run_ms", 0),
    "RSS": _figure("peak_rss_mb", 0),
    "GPU": _figure("gpu_memory_mb", 0),
    "files": _figure("files_mb", 1),
}
"""By name: times in ms (stages: median), memory in MiB, files in MB."""


def columns(*names: str) -> dict[str, Column]:
    """Select columns by name."""
    return {name: COLUMNS[name] for name in names}


def added_columns(rows: Sequence[BenchRow]) -> dict[str, Column]:
    """Return the optional columns that these rows have: energy by source and mIoU by protocol."""
    sources = dict.fromkeys(name for row in rows for name in row.energy or ())
    protocols = sorted({name for row in rows for name in row.miou or ()})
    return {
        **{f"{name}, J/image (W)": _energy(name) for name in sources},
        **{f"mIoU × 100 by {name}": _miou(name) for name in protocols},
    }


def _energy(source: str) -> Column:
    def cell(row: BenchRow) -> str:
        energy = (row.energy or {}).get(source)
        return "–" if energy is None else f"{energy.joules_per_image:.2f} ({energy.watts:.1f})"

    return cell


def _miou(protocol: str) -> Column:
    def cell(row: BenchRow) -> str:
        miou = (row.miou or {}).get(protocol)
        return "–" if miou is None else f"{100 * miou.mean:.1f} ({100 * miou.low:.1f}–{100 * miou.high:.1f})"

    return cell
