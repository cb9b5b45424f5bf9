"""Where a simulated user clicks."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.evaluation.metrics import Mask

Point = tuple[int, int]
_WELL_INSIDE = 0.3
"""Part of the object's greatest depth."""


def most_interior(truth: Mask) -> Point:
    """Return the XY of the object's pixel that lies farthest from everything that is not the object.

    Alexander Kirillov et al., "Segment Anything", arXiv 2304.02643, appendix D.1: the point where the mask's
    interior distance transform is largest. The image's edge counts as outside.

    Parameters
    ----------
    truth : ndarray of bool, (height, width)
        The object; at least one pixel.
    """
    return _farthest(_depth(truth))[0]


def random_interior(truth: Mask) -> Point:
    """Return the XY of a random pixel well inside the object: at 30 % of its greatest depth or deeper.

    The object itself seeds the choice, so that every model is asked the same.

    Parameters
    ----------
    truth : ndarray of bool, (height, width)
        The object; at least one pixel.
    """
    depth = _depth(truth)
    inside = np.argwhere(depth >= _WELL_INSIDE * depth.max())
    y, x = inside[np.random.default_rng(zlib.crc32(np.packbits(truth).tobytes())).integers(len(inside))]
    return int(x), int(y)


def tight_box(truth: Mask) -> tuple[int, int, int, int]:
    """Return the XYXY of the object's first and last pixels, as the reference implementation's tools have it.

    Parameters
    ----------
    truth : ndarray of bool, (height, width)
        The object; at least one pixel.
    """
    x, y, width, height = cv2.boundingRect(truth.view(np.uint8))
    return x, y, x + width - 1, y + height - 1


def next_click(mask: Mask, truth: Mask, valid: Mask, clicked: Sequence[Point]) -> tuple[Point, int] | None:
    """Click where the mask is most wrong.

    The pixel deepest inside either kind of error, what is missing or what is too much, whichever goes deeper. Ning Xu
    et al., "Deep Interactive Object Selection", CVPR 2016, section 4, in the form of Konstantin Sofiiuk et al.,
    "Reviving Iterative Training with Mask Guidance for Interactive Segmentation", arXiv 2102.06583.

    Parameters
    ----------
    mask, truth : ndarray of bool, (height, width)
        What the model answered and what it should have.
    valid : ndarray of bool, (height, width)
        Pixels that count.
    clicked : sequence of (x, y)
        Earlier clicks; none of them is made again.

    Returns
    -------
    ((x, y), label) or None
        The label is 1 for what is missing, 0 for what is too much. None where no error is left to click on.
    """
    missing, excess = truth & ~mask & valid, mask & ~truth & valid
    depths = [_depth(missing), _depth(excess)]
    for depth in depths:
        for x, y in clicked:
            depth[y, x] = 0
    (missing_at, missing_depth), (excess_at, excess_depth) = map(_farthest, depths)
    if max(missing_depth, excess_depth) == 0:
        return None
    return (missing_at, 1) if missing_depth > excess_depth else (excess_at, 0)


def _depth(region: Mask) -> NDArray[np.float32]:
    """Distance in pixels to the outside of the region; the image's edge counts as outside."""
    padded = np.pad(region, 1).view(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(depth[1:-1, 1:-1], dtype=np.float32)


def _farthest(depth: NDArray[np.float32]) -> tuple[Point, float]:
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (int(x), int(y)), float(depth[y, x])
