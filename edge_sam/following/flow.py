"""Sparse optical flow: how the pixels of a mask moved from one frame to the next."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_POINTS = 60
"""Corners followed for each object."""
_ENOUGH = 6
"""Fewer points than this say nothing about a motion."""
_FORTH_AND_BACK = 1.0
"""Pixels by which a point followed forth and back may miss itself (Kalal et al., ICPR 2010)."""

Motion = NDArray[np.float64]
"""(2, 3) similarity: a point (x, y) moves to motion @ (x, y, 1)."""


def find_motion(before: NDArray[np.uint8], after: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Motion | None:
    """Find the similarity that moves a mask's pixels from one grey frame to the next.

    Parameters
    ----------
    before, after : ndarray of uint8, (height, width)
        Grey frames.
    mask : ndarray of bool, (height, width)
        The object in `before`.

    Returns
    -------
    ndarray of float64, (2, 3), or None
        None where too few points could be followed.
    """
    corners = cv2.goodFeaturesToTrack(before, _POINTS, 0.01, 5, mask=mask.view(np.uint8))
    if corners is None or len(corners) < _ENOUGH:
        return None
    ahead, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners))
    back, again, _ = cv2.calcOpticalFlowPyrLK(after, before, ahead, np.empty_like(corners))
    missed = np.abs(corners - back).max(axis=(1, 2))
    good = (found.ravel() == 1) & (again.ravel() == 1) & (missed < _FORTH_AND_BACK)
    if np.count_nonzero(good) < _ENOUGH:
        return None
    motion, _ = cv2.estimateAffinePartial2D(corners[good], ahead[good], ransacReprojThreshold=3.0)
    return None if motion is None else np.asarray(motion, dtype=np.float64)


def move_mask(mask: NDArray[np.bool_], motion: Motion) -> NDArray[np.bool_]:
    """Move a mask; what leaves the frame is gone."""
    height, width = mask.shape
    moved = cv2.warpAffine(mask.view(np.uint8), motion, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(moved, dtype=np.bool_)
