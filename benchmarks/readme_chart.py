"""README's chart of accuracy against milliseconds, from a `bench.json` made with ``--dataset``.

edge-sam bench mobile-sam --runtime onnxruntime,openvino --long-side 1024,768,512 --dataset FOLDER --report DIR
python readme_chart.py DIR/bench.json --output speed.png

Prints what it was measured on, for the caption.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from edge_sam import InputError
from edge_sam.benchmark.compare import read_report
from edge_sam.benchmark.report import BenchReport
from edge_sam.files.atomic import write_files
from edge_sam.imaging.plotting import Figure, to_png

_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "cuda": "CUDA", "tensorrt": "TensorRT"}
_COLOURS = ("#1f4e79", "#b35806", "#1b7837", "#762a83")
_ROOM = 2
"""Points of mIoU above and below: closer, differences within the error look large."""
_DPI = 150


def chart(report: BenchReport) -> bytes:
    """Draw box mIoU against median milliseconds as PNG: one line a runtime and precision, one point a long side.

    Rows whose masks disagree with the reference are left out.

    Raises
    ------
    InputError
        The report has no mIoU of boxes.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    lines = series(report)
    for i, (name, points) in enumerate(lines.items()):
        colour, up = _COLOURS[i % len(_COLOURS)], 1 - 2 * (i % 2)
        axes.plot(*zip(*((x, y) for x, y, _ in points), strict=True), "o-", color=colour, label=name, linewidth=1)
        for x, y, side in points:
            axes.annotate(
                "\n".join([f"{side} px", f"{x:.0f} ms"][::up]),
                (x, y),
                xytext=(0, 9 * up),
                textcoords="offset points",
                ha="center",
                va="bottom" if up > 0 else "top",
                color=colour,
                fontsize=9,
            )
    drawn = [point for points in lines.values() for point in points]
    axes.set_xlim(0, 1.1 * max(x for x, _, _ in drawn))
    axes.set_ylim(min(y for _, y, _ in drawn) - _ROOM, max(y for _, y, _ in drawn) + _ROOM)
    axes.set_xlabel("milliseconds from file to masks: one image, one click (median)")
    axes.set_ylabel("box mIoU × 100")
    axes.set_title(f"{report.rows[0].combination.model} on {machine(report)}", loc="left", fontsize=11)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure, _DPI)


def series(report: BenchReport) -> dict[str, list[tuple[float, float, int]]]:
    """Points of each line by its name: milliseconds, mIoU × 100, long side; the fastest first."""
    lines: dict[str, list[tuple[float, float, int]]] = {}
    for row in report.rows:
        if "box" not in (row.miou or {}):
            raise InputError("the report has no mIoU; measure again with --dataset")
        if row.agrees and row.miou:
            runtime = _NAMES.get(row.combination.runtime, row.combination.runtime)
            name = f"{runtime}, {row.combination.precision}" + (f", {row.threads} threads" if row.threads else "")
            point = (row.total.p50, 100 * row.miou["box"].mean, row.combination.long_side)
            lines.setdefault(name, []).append(point)
    return {name: sorted(points) for name, points in lines.items()}


def caption(report: BenchReport) -> Iterator[str]:
    """Yield lines that say what was measured, on what and when."""
    yield f"{', '.join(report.images)}; {report.rounds} rounds on {report.time[:10]}"
    yield machine(report)
    yield ", ".join(f"{name} {version}" for name, version in report.machine.versions.items())
    yield from (f"note: {note}" for note in report.machine.notes)


def machine(report: BenchReport) -> str:
    """Name the processor that was measured on."""
    return f"{report.machine.cores} cores of {report.machine.processor} ({', '.join(report.machine.features)})"


def main() -> None:
    """Draw the chart of the report given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, metavar="BENCH.JSON")
    parser.add_argument("--output", type=Path, required=True, metavar="PNG")
    arguments = parser.parse_args()
    try:
        report = read_report(arguments.report)
        write_files({arguments.output: chart(report)})
        print("\n".join(caption(report)))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
