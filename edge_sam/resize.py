"""Bilinear resizing as SAM was trained with it: Pillow's (up to version 12), bit for bit.

The reference implementation resizes 8-bit images with Pillow: a triangle filter, widened where it reduces, first
along the rows and then along the columns, each pass in fixed point and rounded to 8 bits. Other resizers differ by a
level where they enlarge and by dozens where they reduce, and the masks of ambiguous prompts follow
(docs/accuracy.md has the figures). Pillow 13 makes the columns' pass first when it reduces tall images, which differs
by one level.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_FRACTION_BITS = 22
"""Pillow's fixed point for 8-bit pixels."""
_BLOCK = 16
"""Rows made at a time: few enough to stay in the cache and, where it reduces, for the band to stay narrow."""
_ALONE = 1 << 18
"""Multiplications up to which OpenBLAS calls no second thread. Its threads wait for each other in a loop: where other
programs or the runtime's own threads keep the cores busy, a resize of 3 ms took 80 to 1000 ms."""


def resize_bilinear(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize as Pillow's bilinear filter does.

    Parameters
    ----------
    image : ndarray of uint8, (height, width, 3)
        Pixels.
    size : tuple of int
        (height, width) to make.

    Returns
    -------
    ndarray of uint8, (*size, 3)
        Pixels, equal to Pillow's.
    """
    height, width = size
    if width != image.shape[1]:
        image = _transpose(_resample_rows(_transpose(image), width))
    if height != image.shape[0]:
        image = _resample_rows(image, height)
    return image


def _transpose(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.transpose(image), dtype=np.uint8)


def _resample_rows(image: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """Bring an image to another number of rows."""
    scale = image.shape[0] / rows
    support = max(scale, 1.0)
    centre = (np.arange(rows) + 0.5) * scale
    first = np.maximum(centre - support + 0.5, 0).astype(np.intp)
    last = np.minimum(centre + support + 0.5, image.shape[0]).astype(np.intp)
    taps = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(1 - np.abs((taps + 0.5 - centre[:, None]) / support), 0)
    weights[taps >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    fixed = np.floor(weights * (1 << _FRACTION_BITS) + 0.5).astype(np.int32)

    flat = image.reshape(image.shape[0], -1)
    resampled = np.empty((rows, flat.shape[1]), dtype=np.uint8)
    mix = _mix_few if scale < 1 else _mix_many
    for start in range(0, rows, _BLOCK):
        block = slice(start, min(rows, start + _BLOCK))
        resampled[block] = mix(flat, taps[block], fixed[block])
    return resampled.reshape(rows, *image.shape[1:])


def _mix_few(flat: NDArray[np.uint8], taps: NDArray[np.intp], weights: NDArray[np.int32]) -> NDArray[np.int32]:
    """Mix rows where each is made of two or three: in integers, tap by tap."""
    total = np.full((len(taps), flat.shape[1]), 1 << (_FRACTION_BITS - 1), dtype=np.int32)
    for tap in range(taps.shape[1]):
        rows = np.minimum(taps[:, tap], len(flat) - 1)
        total += np.multiply(flat[rows], weights[:, tap, None], dtype=np.int32)
    return total >> _FRACTION_BITS


def _mix_many(flat: NDArray[np.uint8], taps: NDArray[np.intp], weights: NDArray[np.int32]) -> NDArray[np.float64]:
    """Mix rows where each is made of many: as a banded matrix product, exact because all integers are below 2⁵³."""
    lowest = taps[0, 0]
    highest = min(taps[-1, -1] + 1, len(flat))
    band = np.zeros((len(taps), highest - lowest))
    row, tap = np.nonzero(weights)
    band[row, taps[row, tap] - lowest] = weights[row, tap]
    columns = max(1, _ALONE // band.size)
    total = np.empty((len(taps), flat.shape[1]))
    for start in range(0, flat.shape[1], columns):
        part = slice(start, start + columns)
        total[:, part] = band @ flat[lowest:highest, part].astype(np.float64)
    total += 1 << (_FRACTION_BITS - 1)
    total *= 2.0**-_FRACTION_BITS
    return total
