"""Non-maximum suppression: of duplicate masks, the best stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def box_ious(boxes: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU of each of (N, 4) XYXY boxes with another box, (4,)."""
    sides = np.minimum(boxes[:, 2:], other[2:]) - np.maximum(boxes[:, :2], other[:2])
    common = sides.clip(min=0).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (other[2:] - other[:2]).prod() - common
    ious: NDArray[np.float64] = common / np.maximum(union, 1e-9)
    return ious


def suppress(boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float) -> list[int]:
    """Choose boxes greedily, best score first, so that no two of them overlap more than `threshold`.

    Parameters
    ----------
    boxes : ndarray of float64, (N, 4)
        XYXY.
    scores : ndarray of float64, (N,)
        Higher is better. Of equal scores, the earlier wins.
    threshold : float
        IoU of two boxes above which the worse one is dropped.

    Returns
    -------
    list of int
        Indices of the kept boxes, best first.
    """
    remaining = np.argsort(-scores, kind="stable")
    kept = []
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        kept.append(int(best))
        remaining = remaining[box_ious(boxes[remaining], boxes[best]) <= threshold]
    return kept


def suppress_by_overlap(ious: NDArray[np.float64], threshold: float) -> list[int]:
    """Choose masks greedily in the given order, so that no two of them overlap more than `threshold`.

    Parameters
    ----------
    ious : ndarray of float64, (N, N)
        IoU of each mask with each other mask, best mask first.
    threshold : float
        IoU above which the later mask is dropped.

    Returns
    -------
    list of int
        Indices of the kept masks, in order.
    """
    kept: list[int] = []
    for i, row in enumerate(ious):
        if not (row[kept] > threshold).any():
            kept.append(i)
    return kept
