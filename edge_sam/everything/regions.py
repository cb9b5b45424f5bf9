"""Removal of small islands and holes from a mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def remove_small_regions(
    mask: NDArray[np.bool_], min_area: int, region: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], bool]:
    """Fill holes and drop islands of fewer than `min_area` pixels. The largest island always stays.

    Parameters
    ----------
    mask : ndarray of bool, (height, width)
        It is not changed.
    min_area : int
        In pixels. Pixels that touch at a corner are connected.
    region : ndarray of bool, (height, width), optional
        Region of interest. Nothing outside it is filled.

    Returns
    -------
    cleaned : ndarray of bool, (height, width)
    changed : bool
    """
    holes = _small(~mask, min_area, keep_largest=False)
    filled = mask | (holes if region is None else holes & region)
    cleaned = filled & ~_small(filled, min_area, keep_largest=True)
    return cleaned, not np.array_equal(cleaned, mask)


def _small(pixels: NDArray[np.bool_], min_area: int, *, keep_largest: bool) -> NDArray[np.bool_]:
    """Return the pixels of connected regions smaller than `min_area`."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(pixels.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas < min_area
    small[0] = False  # The background.
    if keep_largest and len(areas) > 1:
        small[1 + areas[1:].argmax()] = False
    return np.asarray(small[labels])
