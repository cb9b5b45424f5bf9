"""How alike the outlines of two masks are: boundary IoU, and the boundary F-measure of DAVIS."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.imaging.masks import iou

Mask = NDArray[np.bool_]
BOUNDARY_WIDTH = 0.02
"""Width of boundary IoU's band, as a fraction of the image's diagonal (Cheng et al. 2021, section 4)."""
F_TOLERANCE = 0.008
"""How far apart boundaries may lie to match, as a fraction of the diagonal (Perazzi et al. 2016; DAVIS's own code)."""


def boundary_iou(a: Mask, b: Mask, valid: Mask | None = None) -> float:
    """Intersection over union of the inner bands along two masks' boundaries.

    Plain IoU hardly sees the outline of a large object; this does. Bowen Cheng et al., "Boundary IoU: Improving
    Object-Centric Image Segmentation Evaluation", CVPR 2021, arXiv 2103.16562.

    Parameters
    ----------
    a, b : ndarray of bool, (height, width)
        Masks.
    valid : ndarray of bool, (height, width), optional
        Pixels that count. Default: all.

    Returns
    -------
    float
        0 to 1; 1 where both masks are empty.
    """
    width = max(1, round(BOUNDARY_WIDTH * math.hypot(*a.shape)))
    return iou(_inner_band(a, width), _inner_band(b, width), valid)


def boundary_f(mask: Mask, truth: Mask, valid: Mask | None = None) -> float:
    """F-measure of a mask's boundary: the F of J&F.

    A boundary pixel matches when the other boundary has one within `F_TOLERANCE` of the image's diagonal, rounded
    up to whole pixels. Federico Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
    Segmentation", CVPR 2016.

    Parameters
    ----------
    mask, truth : ndarray of bool, (height, width)
        Masks.
    valid : ndarray of bool, (height, width), optional
        Pixels that count; the masks are cut to them first. Default: all.

    Returns
    -------
    float
        0 to 1; 1 where neither mask has a boundary, 0 where only one has.
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
    """Pixels of the mask within `width` (in chessboard distance) of its outside, which the image's edge is part of."""
    eroded = cv2.erode(
        mask.view(np.uint8), np.ones((3, 3), np.uint8), iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(mask & ~eroded.astype(bool))


def _boundary(mask: Mask) -> Mask:
    """Pixels that differ from the one to the right, below, or below to the right."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    inner = padded[:-1, :-1]
    return np.asarray((inner != padded[:-1, 1:]) | (inner != padded[1:, :-1]) | (inner != padded[1:, 1:]))


def _distance_to(pixels: Mask) -> NDArray[np.float32]:
    """Distance in pixels of every pixel to the nearest that is set."""
    distance = cv2.distanceTransform((~pixels).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, dtype=np.float32)
