"""Similarity of the outlines of two masks: boundary IoU, and the boundary F-measure of DAVIS."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.imaging.masks import iou

Mask = NDArray[np.bool_]
BOUNDARY_WIDTH = 0.02
"""Width of the band of boundary IoU, as a fraction of the image's diagonal (Cheng et al. 2021, section 4)."""
F_TOLERANCE = 0.008
"""Largest distance of matching boundary pixels, as a fraction of the diagonal (Perazzi et al. 2016; DAVIS's code)."""


def boundary_iou(a: Mask, b: Mask, valid: Mask | None = None) -> float:
    """Return the IoU of the inner bands along two masks' boundaries.

    It is sensitive to the outline of a large object, which plain IoU is not. Bowen Cheng et al., "Boundary IoU:
    Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, arXiv 2103.16562.

    Parameters
    ----------
    a, b : ndarray of bool, (height, width)
        Masks.
    valid : ndarray of bool, (height, width), optional
        Pixels that count. Default: all.

    Returns
    -------
    float
        0 to 1. It is 1 if both masks are empty.
    """
    width = max(1, round(BOUNDARY_WIDTH * math.hypot(*a.shape)))
    return iou(_inner_band(a, width), _inner_band(b, width), valid)


def boundary_f(mask: Mask, truth: Mask, valid: Mask | None = None) -> float:
    """Return the F-measure of a mask's boundary: the F of J&F.

    A boundary pixel matches if the other boundary has a pixel within `F_TOLERANCE` of the image's diagonal, rounded
    up to whole pixels. Federico Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
    Segmentation", CVPR 2016.

    Parameters
    ----------
    mask, truth : ndarray of bool, (height, width)
        Masks.
    valid : ndarray of bool, (height, width), optional
        Pixels that count. The masks are cut to them first. Default: all.

    Returns
    -------
    float
        0 to 1. It is 1 if neither mask has a boundary, and 0 if only one has.
    """
    if valid is not None:
        mask, truth = mask & valid, truth & valid
    ours, theirs = _boundary(mask), _boundary(truth)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    reach = math.ceil(F_TOLERANCE * math.hypot(*mask.shape))
    precision = np.mean(_distance_to(theirs)[ours] <= reach)
    recall = np.mean(_distance_to(ours)[theirs] <= reach)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _inner_band(mask: Mask, width: int) -> Mask:
    """Return the mask's pixels within `width` (chessboard distance) of its outside or of the image's edge."""
    eroded = cv2.erode(
        mask.view(np.uint8), np.ones((3, 3), np.uint8), iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(mask & ~eroded.astype(bool))


def _boundary(mask: Mask) -> Mask:
    """Return the pixels that differ from their neighbour on the right, below, or diagonally below right."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    inner = padded[:-1, :-1]
    return np.asarray((inner != padded[:-1, 1:]) | (inner != padded[1:, :-1]) | (inner != padded[1:, 1:]))


def _distance_to(pixels: Mask) -> NDArray[np.float32]:
    """Return each pixel's distance in pixels to the nearest set pixel."""
    distance = cv2.distanceTransform((~pixels).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, dtype=np.float32)
