"""Compare two reports: what became slower, bigger or less accurate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from edge_sam.benchmark.report import SCHEMA, BenchReport, BenchRow
from edge_sam.errors import InputError
from edge_sam.files.serialization import from_json

_MEASURED_ONCE = {"load ms", "compile ms"}
"""Measured once in each report, so noise would count as a regression."""


class Change(msgspec.Struct, frozen=True):
    """One figure of one variant, before and after."""

    combination: str
    figure: str
    old: float | None
    new: float | None
    """None if the variant is missing there."""
    change: float | None
    """In per cent; positive is worse."""
    regressed: bool


class Comparison(msgspec.Struct, frozen=True):
    """`edge-sam bench --compare --json`."""

    old: str
    new: str
    threshold: float
    changes: list[Change]
    notes: list[str]

    @property
    def regressed(self) -> bool:
        """Whether any figure became worse by more than the threshold, or is missing."""
        return any(change.regressed for change in self.changes)


def read_report(path: Path) -> BenchReport:
    """Read a `bench.json`.

    Raises
    ------
    InputError
        The file cannot be read, is of another version, or is not a report.
    """
    try:
        data = path.read_bytes()
        version = from_json(data, _Versioned).schema
        if version != SCHEMA:
            raise InputError(
                f"{path} was written by another version of edge_sam (its report has version {version}, this one reads"
                f" {SCHEMA}); measure again"
            )
        report: BenchReport = from_json(data, BenchReport)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{path} is not a report of edge-sam bench: {error}") from error
    return report


class _Versioned(msgspec.Struct):
    """The one field that every version of a report has."""

    schema: int


def compare(old_path: Path, new_path: Path, threshold: float) -> Comparison:
    """Compare two reports variant by variant.

    Parameters
    ----------
    old_path, new_path : Path
        The reports.
    threshold : float
        How much worse a figure may become, in per cent.

    Raises
    ------
    InputError
        A report cannot be used.
    """
    old, new = read_report(old_path), read_report(new_path)
    before, after = ({row.name: row for row in report.rows} for report in (old, new))
    changes = []
    for key, row in before.items():
        other = after.get(key)
        figures = dict(_figures(other)) if other is not None else {}
        for figure, value in _figures(row):
            now = figures.get(figure)
            change = None if now is None else _per_cent(value, now)
            worse = change is None or (change > threshold and figure not in _MEASURED_ONCE)
            changes.append(Change(key, figure, value, now, change, worse))
    for key, row in after.items():
        if key not in before:
            changes += [Change(key, figure, None, value, None, False) for figure, value in _figures(row)]
    return Comparison(str(old_path), str(new_path), threshold, changes, list(_notes(old, new)))


def _per_cent(old: float, new: float) -> float:
    if old == 0:  # Only "masks disagree" can be 0; if it becomes 1, that is 100 %.
        return 100 * new
    return 100 * (new / old - 1)


def _figures(row: BenchRow) -> Iterator[tuple[str, float]]:
    """Yield the figures that are worse when they are larger."""
    yield "total p50 ms", row.total.p50
    yield "encode p50 ms", row.stages["encode"].p50
    yield "decode p50 ms", row.stages["decode"].p50
    yield "load ms", row.load_ms
    yield "compile ms", row.compile_ms
    yield "peak RSS MiB", row.peak_rss_mb
    yield "masks disagree", float(not row.agrees)
    for protocol, estimate in (row.miou or {}).items():
        yield f"error of {protocol} (1 - mIoU)", 1 - estimate.mean


def _notes(old: BenchReport, new: BenchReport) -> Iterator[str]:
    if old.machine.processor != new.machine.processor or old.machine.cores != new.machine.cores:
        yield f"different machines: {old.machine.processor}, then {new.machine.processor}"
    if old.images != new.images:
        yield "different photographs"
    for name in sorted(old.machine.versions.keys() | new.machine.versions.keys()):
        versions = [report.machine.versions.get(name, "absent") for report in (old, new)]
        if versions[0] != versions[1]:
            yield f"{name} {versions[0]}, then {versions[1]}"
