"""The figures that the project holds itself to, from the reports of the other benchmarks; `make bench` ends with it.

    python benchmarks/targets.py [build/bench]

The folder has ``speed.json`` of speed.py, ``everything/*.json`` of everything.py, ``track.json`` of track.py and
``annotate.json`` of annotate.py. A row whose report is missing says which command writes it. A row that falls short of
its target is marked.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SHORT = "**falls short**"
OURS = ("edge_sam onnxruntime", "edge_sam openvino")
OURS_INT8 = ("edge_sam int8 onnxruntime", "edge_sam int8 openvino")
"""Contenders of speed.py on the CPU."""
RECALL, MEAN_J = 0.93, 0.89
START_MS, PEAK_MB = 540.0, 326.0
"""Start to the first mask without the encoder, and peak memory, as they were before (docs/lab/performance.md)."""


class Row(NamedTuple):
    """One line of the table."""

    what: str
    target: str
    measured: str
    met: bool | None
    """None: not measured."""


def speed_rows(folder: Path) -> Iterator[Row]:
    """Yield the rows of speed.py: times as fast as the plain export in ONNX Runtime."""
    report = _read(folder / "speed.json")
    for what, stage, least in (
        ("click, 16:9, long side 1024", "click", 5),
        ("click, 16:9, long side 512", "click, long side 512", 12),
        ("each of 64 prompts, 16:9, 1024", "64 prompts, each", 6),
        ("encode, 16:9, float", "encode", 2.5),
    ):
        yield _fastest(what, report, OURS, stage, least, "speed.py")
    yield _fastest("encode, 16:9, int8 with VNNI", report, OURS_INT8, "encode", 3.5, "speed.py --int8 BUNDLE")
    if report is None:
        yield _missing("start to the first mask", "not worse", "speed.py")
        return
    process = report["process"]
    rest, peak = process["wall_ms"] - process["encode_ms"], process["peak_rss_mb"]
    met = rest <= START_MS and peak <= PEAK_MB
    target = f"encode + {START_MS / 1000:.2f} s, {PEAK_MB:.0f} MB"
    yield Row("start to the first mask, peak memory", target, f"encode + {rest / 1000:.2f} s, {peak:.0f} MB", met)


def _fastest(
    what: str, report: dict[str, Any] | None, ours: tuple[str, ...], stage: str, target: float, command: str
) -> Row:
    rows = [
        row
        for row in (report["rows"] if report else ())
        if row["who"] in ours and row["stage"] == stage and row["photograph"] == "16:9"
    ]
    if not rows:
        return _missing(what, f"≥ {target}", command)
    best = max(rows, key=lambda row: float(row["times_faster_than_plain"]))
    times = best["times_faster_than_plain"]
    return Row(what, f"≥ {target}", f"{times:.2f} ({best['who'].removeprefix('edge_sam ')})", times >= target)


def everything_row(folder: Path) -> Row:
    """Return the row of everything mode: times as fast as the reference generator, and the masks found."""
    what, target = "everything mode, default settings", f"≥ 45 × torch, recall ≥ {RECALL}"
    rows = [json.loads(file.read_text()) for file in sorted((folder / "everything").glob("*.json"))]
    timed = [row for row in rows if row["seconds"]]
    if not timed:
        return _missing(what, target, "everything.py")
    times = sum(row["seconds"] for row in timed) / sum(row["adaptive"]["seconds"] for row in timed)
    recall = sum(row["adaptive"]["found"] for row in rows) / sum(row["masks"] for row in rows)
    return Row(what, target, f"{times:.1f} × torch, recall {recall:.3f}", times >= 45 and recall >= RECALL)


def track_row(folder: Path) -> Row:
    """Return the row of tracking."""
    what, target = "tracking, long side 512", f"≥ 28 frames/s, mean J ≥ {MEAN_J}"
    report = _read(folder / "track.json")
    if report is None or "512" not in report:
        return _missing(what, target, "track.py FOLDER --long-side 512 --output build/bench/track.json")
    rate, j = report["512"]["frames_per_second"], report["512"]["j"]
    return Row(what, target, f"{rate:.1f} frames/s, mean J {j:.3f}", rate >= 28 and j >= MEAN_J)


def annotate_row(folder: Path) -> Row:
    """Return the row of `annotate` by grid."""
    what, target = "annotate by grid, 2 cores", "≥ 20 photographs a minute"
    report = _read(folder / "annotate.json")
    if report is None:
        return _missing(what, target, "annotate.py FOLDER --prompts grid --output build/bench/annotate.json")
    rate = 60 * report["per_second"]
    return Row(what, target, f"{rate:.1f} photographs a minute", rate >= 20)


def table(folder: Path) -> str:
    """Format the table."""
    lines = ["| | target | measured | |", "| --- | --- | --- | --- |"]
    for row in (*speed_rows(folder), everything_row(folder), track_row(folder), annotate_row(folder)):
        verdict = {None: "", True: "met", False: SHORT}[row.met]
        lines.append(f"| {row.what} | {row.target} | {row.measured} | {verdict} |")
    return "\n".join(lines)


def _missing(what: str, target: str, command: str) -> Row:
    return Row(what, target, f"not measured: `python benchmarks/{command}`", None)


def _read(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    report: dict[str, Any] = json.loads(file.read_text())
    return report


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/bench"))
    print(table(parser.parse_args().folder))


if __name__ == "__main__":
    main()
