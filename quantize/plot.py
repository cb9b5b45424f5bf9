"""Plot of the sensitivity analysis."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sam.imaging.plotting import Figure, to_png
from edge_sam.quantize.ranking import BlockSensitivity

_INTEGER, _STORED, _FLOAT = "#1f4e79", "#5b8db8", "#c9ced4"


def ranking_plot(rows: Sequence[BlockSensitivity]) -> bytes:
    """Draw cost and saving of each block as PNG, with the most sensitive block on top."""
    figure = Figure(figsize=(11, 1.2 + 0.21 * len(rows)), layout="constrained")
    cost, saved = figure.subplots(ncols=2, sharey=True, width_ratios=(3, 2))
    places = range(len(rows))
    colours = [(_INTEGER if row.computes else _STORED) if row.chosen else _FLOAT for row in rows]
    cost.barh(places, [row.cost for row in rows], color=colours)
    cost.set_yticks(places, [f"{row.role} {row.block}" for row in rows], fontsize="x-small")
    cost.set_xlabel("points of mIoU lost against the float model, this block alone")
    cost.invert_yaxis()
    saved.barh(places, [row.saved_ms or 0 for row in rows], color=colours)
    saved.set_xlabel("milliseconds saved by int8 products")
    for colour, label in ((_INTEGER, "computes in int8"), (_STORED, "stored as int8"), (_FLOAT, "float")):
        saved.barh(0, 0, color=colour, label=label)
    saved.legend(loc="lower right", fontsize="small", frameon=False)
    for axes in (cost, saved):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.01)
    return to_png(figure, dpi=120)
