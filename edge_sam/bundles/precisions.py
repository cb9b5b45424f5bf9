"""What is known of each precision: how exact it is, and how far from the model's own numbers it may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Precision:
    """How a bundle's weights are stored and computed with.

    Attributes
    ----------
    name : str
        In manifests and on the command line.
    exact : bool
        Whether the arithmetic is fp32: ``auto`` takes no other unless it was measured here (`edge-sam tune`).
    probe_bound : float
        Largest relative difference (of Euclidean norms) from the probe's stored values (`edge_sam.inference.guard`).
    min_iou : float
        Mean IoU with the reference's masks that `edge-sam tune` wants.
    """

    name: str
    exact: bool
    probe_bound: float
    min_iou: float


PRECISIONS = (
    Precision("fp32", exact=True, probe_bound=1e-3, min_iou=0.98),
    Precision("w16", exact=True, probe_bound=1e-3, min_iou=0.98),
    Precision("fp16", exact=False, probe_bound=5e-2, min_iou=0.98),
    # On a grid of points, most of which could mean several things, int8 that loses no accuracy still chooses another
    # object here and there (docs/lab/quantization.md). What its masks are worth was measured when it was made; this
    # bound is there to find a runtime that computes something else.
    Precision("int8", exact=False, probe_bound=3e-1, min_iou=0.90),
)
"""The most exact first."""


def find_precision(name: str) -> Precision:
    """Return what is known of a precision; an unknown one is not exact and has the strictest bounds."""
    known = {precision.name: precision for precision in PRECISIONS}
    return known.get(name) or replace(PRECISIONS[0], name=name, exact=False)


def most_exact_first(names: Iterable[str]) -> list[str]:
    """Sort names of precisions; unknown ones come last."""
    order = [precision.name for precision in PRECISIONS]
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
