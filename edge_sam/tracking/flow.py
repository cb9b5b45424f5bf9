"""Sparse optical flow: moves masks from one frame to the next, without the model."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.imaging.masks import box_of
from edge_sam.tracking.tracked import Tracked

_LONG_SIDE = 640
"""Long side to which frames are reduced first. Motion needs no detail, and the time is proportional to the pixels."""
_CORNERS = 60
"""Corners tracked for each object."""
_ENOUGH = 6
"""Fewest corners that determine a motion."""
_MAX_ROUND_TRIP = 1.0
"""Largest forward-backward error of a corner in pixels (Kalal et al., ICPR 2010)."""
_UNSEEN = 0.5
"""Factor of the confidence if the motion is unknown and the mask stays in place."""

Grey = NDArray[np.uint8]
Motion = NDArray[np.float64]
"""(2, 3) similarity: a point (x, y) moves to motion @ (x, y, 1)."""


class Flow:
    """Moves masks from frame to frame."""

    def __init__(self) -> None:
        self._before: Grey | None = None

    def see(self, image: NDArray[np.uint8]) -> None:
        """Keep an RGB frame, (height, width, 3), as the start of the next motion."""
        self._before = _small(image)

    def move(self, objects: Sequence[Tracked], image: NDArray[np.uint8]) -> list[Tracked]:
        """Move objects into an RGB frame of their masks' size. An object that leaves the frame is lost."""
        after = _small(image)
        before = after if self._before is None else self._before
        if before.shape != after.shape:
            before = np.asarray(cv2.resize(before, after.shape[::-1]), dtype=np.uint8)
        self._before = after
        scale = image.shape[1] / after.shape[1]
        return [_moved(tracked, before, after, scale) for tracked in objects]


def find_motion(before: Grey, after: Grey, mask: NDArray[np.uint8]) -> tuple[Motion, float] | None:
    """Find the similarity that moves a mask's pixels from one frame to the next.

    Parameters
    ----------
    before, after : ndarray of uint8, (height, width)
        Grey frames.
    mask : ndarray of uint8, (height, width)
        The object in `before`, not 0 inside.

    Returns
    -------
    motion : ndarray of float64, (2, 3)
    share : float
        Fraction of the object's corners that agree with the motion.

    None if too few corners could be tracked.
    """
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, 5, mask=mask)
    if corners is None or len(corners) < _ENOUGH:
        return None
    ahead, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners))
    back, again, _ = cv2.calcOpticalFlowPyrLK(after, before, ahead, np.empty_like(corners))
    missed = np.abs(corners - back).max(axis=(1, 2))
    good = (found.ravel() == 1) & (again.ravel() == 1) & (missed < _MAX_ROUND_TRIP)
    if np.count_nonzero(good) < _ENOUGH:
        return None
    motion, agreed = cv2.estimateAffinePartial2D(corners[good], ahead[good], ransacReprojThreshold=3.0)
    if motion is None:
        return None
    return np.asarray(motion, dtype=np.float64), float(np.count_nonzero(agreed)) / len(corners)


def _moved(tracked: Tracked, before: Grey, after: Grey, scale: float) -> Tracked:
    """Move one object. `scale` is the ratio of a frame's size to the grey frame's size."""
    if tracked.box is None:
        return tracked
    height, width = tracked.mask.shape
    pixels = tracked.mask.view(np.uint8)
    small = cv2.resize(pixels, before.shape[::-1], interpolation=cv2.INTER_NEAREST)
    found = find_motion(before, after, np.asarray(small, dtype=np.uint8))
    if found is None:
        return Tracked("carried", tracked.mask, tracked.box, tracked.score * _UNSEEN)
    motion, share = found
    motion[:, 2] *= scale
    mask = cv2.warpAffine(pixels, motion, (width, height), flags=cv2.INTER_NEAREST).astype(np.bool_)
    box = box_of(mask)
    return Tracked("lost", mask, None, 0.0) if box is None else Tracked("carried", mask, box, tracked.score * share)


def _small(image: NDArray[np.uint8]) -> Grey:
    height, width = image.shape[:2]
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
