"""Clean-up of a mask: small islands and holes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def remove_small_regions(
    mask: NDArray[np.bool_], min_area: int, region: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], bool]:
    """Fill holes and drop islands of fewer than `min_area` pixels; the largest island always stays.

    Parameters
    ----------
    mask : ndarray of bool, (height, width)
        Left as it is.
    min_area : int
        Pixels; neighbours by a corner count as connected.
    region : ndarray of bool, (height, width), optional
        Where the mask may be: nothing else is filled.

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
    """Pixels that belong to connected regions below `min_area`."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(pixels.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas < min_area
    small[0] = False  # What is not in `pixels`.
    if keep_largest and len(areas) > 1:
        small[1 + areas[1:].argmax()] = False
    return np.asarray(small[labels])
