"""README's table of speed and accuracy in Markdown, from a `bench.json` made with ``--dataset``.

edge-sam bench mobile-sam --long-side 1024,768,512 --dataset FOLDER --report DIR
python readme_table.py DIR/bench.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from edge_sam import InputError
from edge_sam.benchmark.cells import COLUMNS
from edge_sam.benchmark.compare import read_report
from edge_sam.benchmark.report import BenchReport, Row

_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "cuda": "CUDA", "tensorrt": "TensorRT"}


def markdown(report: BenchReport) -> Iterator[str]:
    """Yield the table's lines and a description of the machine, without rows whose masks differ from the reference.

    Raises
    ------
    InputError
        The report has no mIoU of boxes.
    """
    if not all("box" in (row.miou or {}) for row in report.rows):
        raise InputError("the report has no mIoU; run edge-sam bench with --dataset")
    several = len({row.combination.precision for row in report.rows}) > 1
    header = ("long side", "runtime", "file to masks, ms", "times as fast (quartiles)", "clicks a second")
    yield f"| {' | '.join(header)} | box mIoU × 100 (95 %) |"
    yield f"|{' --- |' * (len(header) + 1)}"
    for i, row in enumerate(report.rows):
        if row.agrees:
            yield f"| {' | '.join(cells(row, first=i == 0, several=several))} |"
    machine = report.machine
    yield ""
    yield f"{', '.join(report.images)}; {report.rounds} rounds on {report.time[:10]}"
    yield f"{machine.cores} cores of {machine.processor}, {', '.join(machine.features)}"
    yield ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    yield from (f"note: {note}" for note in machine.notes)


def cells(row: Row, *, first: bool, several: bool) -> Iterator[str]:
    """Yield the cells of one row. The first row is the reference of the others."""
    assert row.miou is not None
    facts, miou = row.combination, row.miou["box"]
    name = _NAMES.get(facts.runtime, facts.runtime)
    yield str(facts.long_side)
    yield ", ".join([name] + [facts.precision] * several + [f"{row.threads} threads"] * bool(row.threads))
    yield f"{row.total.p50:.0f}"
    yield "1.00" if first else COLUMNS["× first (quartiles)"](row)
    yield f"{row.clicks_per_second:.0f}"
    yield f"{100 * miou.mean:.1f} ({100 * miou.low:.0f}–{100 * miou.high:.0f})"


def main() -> None:
    """Print the table of a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, metavar="BENCH.JSON")
    try:
        print("\n".join(markdown(read_report(parser.parse_args().report))))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
