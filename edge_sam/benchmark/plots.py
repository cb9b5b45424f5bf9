"""Plots of a report as PNG."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sam.benchmark.report import STAGES, BenchRow
from edge_sam.imaging.plotting import Figure, to_png

_DPI = 130
_COLOURS = ("#9aa5b1", "#5b8db8", "#1f4e79", "#e08214", "#fdb863")
"""Colours of the stages, in order."""
_MARKERS = "os^D"
"""One for every ten rows, because matplotlib has ten colours."""


def latency_plot(rows: Sequence[BenchRow]) -> bytes:
    """Draw each row as a stacked bar of its stages' medians, with the 95th percentile of the total."""
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    left = [0.0] * len(rows)
    for stage, colour in zip(STAGES, _COLOURS, strict=True):
        widths = [row.stages[stage].p50 for row in rows]
        axes.barh(places, widths, left=left, color=colour, label=stage)
        left = [sum(pair) for pair in zip(left, widths, strict=True)]
    axes.plot([row.total.p95 for row in rows], places, "k|", markersize=14, label="p95 of the total")
    axes.set_yticks(places, [row.name + ("" if row.agrees else " (masks disagree)") for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds, median of each stage")
    axes.legend(ncols=len(STAGES) + 1, fontsize="small", loc="lower center", bbox_to_anchor=(0.4, 1.0), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure, _DPI)


def accuracy_plot(rows: Sequence[BenchRow], protocol: str) -> bytes:
    """Draw mIoU against the median total, with confidence intervals and the Pareto front.

    Parameters
    ----------
    rows : sequence of BenchRow
        Rows with `BenchRow.miou`. Rows whose masks disagree are hollow and never on the front.
    protocol : str
        Protocol of the mIoU.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    for i, row in enumerate(rows):
        assert row.miou is not None
        estimate = row.miou[protocol]
        mean, low, high = (100 * value for value in (estimate.mean, estimate.low, estimate.high))
        axes.errorbar(
            row.total.p50,
            mean,
            yerr=[[mean - low], [high - mean]],
            fmt=_MARKERS[i // 10 % len(_MARKERS)],
            color=f"C{i % 10}",
            fillstyle="full" if row.agrees else "none",
            elinewidth=0.6,
            label=row.name,
        )
    front = pareto_front([(row.total.p50, row.miou[protocol].mean) for row in rows if row.agrees and row.miou])
    axes.plot(
        [x for x, _ in front],
        [100 * y for _, y in front],
        "k",
        linewidth=0.8,
        drawstyle="steps-post",
        zorder=0,
        label="Pareto front",
    )
    axes.set_xlabel("milliseconds from file to masks, median")
    axes.set_ylabel(f"mIoU × 100, {protocol}, 95 % interval")
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure, _DPI)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (cost, value) points that no other point beats in both, cheapest first."""
    front: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front
