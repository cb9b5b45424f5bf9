"""README's chart of accuracy against milliseconds, from the figures that `edge-sam models` prints.

python readme_chart.py --output speed.png

`model_figures.py` makes the figures. Prints what they were measured on, for the caption.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from edge_sam import InputError
from edge_sam.bundles.figures import FIGURES, Figure, Figures, read_figures
from edge_sam.files.atomic import write_files
from edge_sam.imaging import plotting

_STYLES = {"w16": "-", "int8": "--"}
_COLOURS = ("#1f4e79", "#b35806", "#1b7837", "#762a83")
_ROOM = 2
"""Points of mIoU above and below: closer, differences within the error look large."""
_DPI = 150


def chart(figures: Figures) -> bytes:
    """Draw box mIoU against median milliseconds as PNG: one line a model and precision, one point a long side.

    Raises
    ------
    InputError
        There are no figures.
    """
    lines = series(figures)
    if not lines:
        raise InputError("no figures were measured")
    canvas = plotting.Figure(figsize=(8, 4.5), layout="constrained")
    axes = canvas.subplots()
    models = list(dict.fromkeys(model for model, _ in lines))
    for (model, precision), points in lines.items():
        colour, left = _COLOURS[models.index(model) % len(_COLOURS)], precision == "int8"
        xs, ys = [row.total_ms for row in points], [row.box for row in points]
        axes.plot(xs, ys, "o", linestyle=_STYLES.get(precision, ":"), color=colour, label=f"{model}, {precision}")
        for row in points:
            axes.annotate(
                f"{row.long_side}",
                (row.total_ms, row.box),
                xytext=(-6, 6) if left else (6, -6),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                color=colour,
                fontsize=9,
            )
    drawn = [row for points in lines.values() for row in points]
    axes.set_xscale("log")
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(min(row.box for row in drawn) - _ROOM, max(row.box for row in drawn) + _ROOM)
    axes.set_xlabel("milliseconds from file to masks: one image, one click (median, log scale)")
    axes.set_ylabel("box mIoU × 100")
    axes.set_title(f"Long side in pixels, on {figures.machine}", loc="left", fontsize=11)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return plotting.to_png(canvas, _DPI)


def series(figures: Figures) -> dict[tuple[str, str], list[Figure]]:
    """Points of each line by model and precision, in the fastest runtime of each long side; the fastest first."""
    lines: dict[tuple[str, str], list[Figure]] = {}
    for model, precision in dict.fromkeys((row.model, row.precision) for row in figures.rows):
        sides = {row.long_side for row in figures.rows if (row.model, row.precision) == (model, precision)}
        points = [row for side in sides if (row := figures.fastest(model, precision, side))]
        lines[model, precision] = sorted(points, key=lambda row: row.total_ms)
    return lines


def main() -> None:
    """Draw the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path, nargs="?", default=FIGURES, metavar="FIGURES.JSON")
    parser.add_argument("--output", type=Path, required=True, metavar="PNG")
    arguments = parser.parse_args()
    try:
        figures = read_figures(arguments.figures)
        write_files({arguments.output: chart(figures)})
    except InputError as error:
        sys.exit(f"error: {error}")
    print(f"{figures.photograph}; {figures.dataset}; {figures.measured}; {figures.machine}")
    for (model, precision), points in series(figures).items():
        print(f"{model} {precision}: " + ", ".join(f"{x.long_side} px {x.total_ms:.0f} ms {x.box:.1f}" for x in points))


if __name__ == "__main__":
    main()
