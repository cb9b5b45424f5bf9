"""What was measured of the zoo's models: accuracy, size of the files, and milliseconds on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edge_sam.bundles.costs import Cost
from edge_sam.bundles.manifest import FileName
from edge_sam.bundles.precisions import find_precision
from edge_sam.imaging.view import FRAME

FIGURES = Path(__file__).parent / "figures.json"
"""Written by ``benchmarks/model_figures.py``."""


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures of one model in one precision and runtime.

    Attributes
    ----------
    model : str
        Name in the zoo.
    precision, runtime : str
        What ran.
    long_side : int
        Long side of the encoder's input in pixels.
    square : bool
        Whether photographs were encoded as a square.
    files_mb : float
        Size of the files that were loaded, in MB.
    encode_ms, click_ms : float
        Median milliseconds to encode a photograph, and from a prompt to its masks.
    total_ms : float
        Median milliseconds from file to masks.
    point, box : float
        mIoU × 100 by one point (best of three masks by predicted IoU) and by box.
    objects : int
        Number of objects behind them.
    """

    model: FileName
    precision: str
    runtime: str
    long_side: int
    square: bool
    files_mb: float
    encode_ms: float
    click_ms: float
    total_ms: float
    point: float
    box: float
    objects: int


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All figures, and what they were measured on. Without rows, nothing was measured.

    Attributes
    ----------
    machine : str
        Processor and cores.
    measured : str
        Date, ISO 8601.
    photograph : str
        What was encoded for the milliseconds.
    dataset : str
        Name of the folder that accuracy was measured on.
    rows : tuple of Figure
        One for each model, precision, runtime and long side.
    """

    machine: str = ""
    measured: str = ""
    photograph: str = ""
    dataset: str = ""
    rows: tuple[Figure, ...] = ()

    def fastest(self, model: str, precision: str, long_side: int = FRAME) -> Figure | None:
        """Return the figures in the fastest runtime, if any were measured."""
        rows = (row for row in self.rows if (row.model, row.precision, row.long_side) == (model, precision, long_side))
        return min(rows, key=lambda row: row.total_ms, default=None)

    def estimated_ms(self, costs: Mapping[str, Cost], model: str) -> float | None:
        """Estimate the milliseconds to encode a square of 1024 pixels in w16 on the machine of the figures.

        As many operations in a second as the fastest encoder that was measured on the square which costs are counted
        on. None if none was, or the model's cost is not known.
        """
        rates = [
            costs[row.model].encode_gmac / row.encode_ms
            for row in self.rows
            if row.model in costs and row.square and row.long_side == FRAME and find_precision(row.precision).exact
        ]
        return costs[model].encode_gmac / max(rates) if rates and model in costs else None

    def precisions(self, model: str) -> list[str]:
        """Return the precisions of a model that were measured."""
        return list(dict.fromkeys(row.precision for row in self.rows if row.model == model))


def read_figures(path: Path = FIGURES) -> Figures:
    """Read the figures that `path` holds."""
    return msgspec.json.decode(path.read_bytes(), type=Figures)
