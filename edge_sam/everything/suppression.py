"""Non-maximum suppression: of duplicate masks, the best stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    remaining = np.argsort(-scores, kind="stable")
    kept = []
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        kept.append(int(best))
        sides = np.minimum(boxes[remaining, 2:], boxes[best, 2:]) - np.maximum(boxes[remaining, :2], boxes[best, :2])
        common = sides.clip(min=0).prod(axis=1)
        remaining = remaining[common <= threshold * (areas[remaining] + areas[best] - common)]
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
