"""Properties and error bounds of each precision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Precision:
    """How weights are stored and computed with.

    Attributes
    ----------
    name : str
        Name in manifests and on the command line.
    exact : bool
        Whether the arithmetic is fp32. ``auto`` uses other precisions only if `edge-sam tune` measured them here.
    probe_bound : float
        Largest relative difference (Euclidean norm) from the reference outputs; see `edge_sam.inference.guard`.
    min_iou : float
        Smallest mean IoU with the reference masks that `edge-sam tune` accepts.
    weights : str
        Precision of the files to compute with, if it has none of its own: then it is the runtime's arithmetic.
    """

    name: str
    exact: bool
    probe_bound: float
    min_iou: float
    weights: str = ""


PRECISIONS = (
    Precision("fp32", exact=True, probe_bound=1e-3, min_iou=0.98),
    Precision("w16", exact=True, probe_bound=1e-3, min_iou=0.98),
    Precision("fp16", exact=False, probe_bound=5e-2, min_iou=0.98),
    Precision("bf16", exact=False, probe_bound=5e-2, min_iou=0.98, weights="w16"),
    # Most points of a grid are ambiguous, so int8 sometimes chooses another object without losing accuracy
    # (docs/lab/quantization.md). Its accuracy was measured when it was made; this bound only detects runtimes that
    # compute wrong results.
    Precision("int8", exact=False, probe_bound=3e-1, min_iou=0.90),
)
"""All precisions, the most exact first."""


def find_precision(name: str) -> Precision:
    """Return a precision by name. An unknown one is not exact and has the strictest bounds."""
    known = {precision.name: precision for precision in PRECISIONS}
    return known.get(name) or replace(PRECISIONS[0], name=name, exact=False)


def stored_as(name: str) -> str:
    """Return the precision of the files that a precision computes with: mostly its own."""
    return find_precision(name).weights or name


def most_exact_first(names: Iterable[str]) -> list[str]:
    """Sort names of precisions, unknown ones last."""
    order = [precision.name for precision in PRECISIONS]
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
