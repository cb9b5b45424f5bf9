"""Clicks of a simulated user."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from edge_sam.evaluation.metrics import Mask
from edge_sam.imaging.masks import interior_depth

Point = tuple[int, int]
_WELL_INSIDE = 0.3
"""Fraction of the object's greatest depth."""


def random_interior(truth: Mask) -> Point:
    """Return the XY of a random pixel well inside the object: at 30 % of its greatest depth or deeper.

    The object itself seeds the random choice, so that every model gets the same click.

    Parameters
    ----------
    truth : ndarray of bool, (height, width)
        The object, with at least one pixel.
    """
    depth = interior_depth(truth)
    inside = np.argwhere(depth >= _WELL_INSIDE * depth.max())
    y, x = inside[np.random.default_rng(zlib.crc32(np.packbits(truth).tobytes())).integers(len(inside))]
    return int(x), int(y)


def tight_box(truth: Mask) -> tuple[int, int, int, int]:
    """Return the XYXY of the object's first and last pixels, as in the reference implementation's tools.

    Parameters
    ----------
    truth : ndarray of bool, (height, width)
        The object, with at least one pixel.
    """
    x, y, width, height = cv2.boundingRect(truth.view(np.uint8))
    return x, y, x + width - 1, y + height - 1


def next_click(mask: Mask, truth: Mask, valid: Mask, clicked: Sequence[Point]) -> tuple[Point, int] | None:
    """Click on the pixel deepest inside an error of the mask, missing or excess, whichever is deeper.

    Ning Xu et al., "Deep Interactive Object Selection", CVPR 2016, section 4, in the form of Konstantin Sofiiuk et al.,
    "Reviving Iterative Training with Mask Guidance for Interactive Segmentation", arXiv 2102.06583.

    Parameters
    ----------
    mask, truth : ndarray of bool, (height, width)
        The model's answer and the ground truth.
    valid : ndarray of bool, (height, width)
        Pixels that count.
    clicked : sequence of (x, y)
        Earlier clicks. They are not repeated.

    Returns
    -------
    ((x, y), label) or None
        The label is 1 on a missing part and 0 on an excess part. None if no error is left to click on.
    """
    missing, excess = truth & ~mask & valid, mask & ~truth & valid
    depths = [interior_depth(missing), interior_depth(excess)]
    for depth in depths:
        for x, y in clicked:
            depth[y, x] = 0
    missing_depth, excess_depth = (float(depth.max()) for depth in depths)
    if max(missing_depth, excess_depth) == 0:
        return None
    label = int(missing_depth > excess_depth)
    deepest = depths[0] if label else depths[1]
    row, column = np.unravel_index(int(deepest.argmax()), deepest.shape)
    return (int(column), int(row)), label
