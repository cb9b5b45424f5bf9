"""Bilinear resizing as SAM was trained with it: Pillow's, antialiased where it reduces.

The reference implementation resizes 8-bit images with Pillow: first along the rows, rounded to 8 bits, then along
the columns, with a triangle filter as wide as the reduction. Other resizers move pixels by a level or, where they
reduce, by dozens, and the masks of ambiguous prompts follow (docs/accuracy.md has the figures).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_BLOCK = 16
"""Output rows in one matrix product: enough for the product to be fast, few enough for its band to stay narrow."""


def resize_bilinear(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize as Pillow's bilinear filter does, to within one level.

    Parameters
    ----------
    image : ndarray of uint8, (height, width, 3)
        Pixels.
    size : tuple of int
        (height, width) to make.

    Returns
    -------
    ndarray of uint8, (*size, 3)
        Pixels.
    """
    height, width = size
    if width < image.shape[1]:
        image = _transpose(_reduce_rows(_transpose(image), width))
    elif width > image.shape[1]:
        image = _enlarge(image, (width, image.shape[0]))
    if height < image.shape[0]:
        image = _reduce_rows(image, height)
    elif height > image.shape[0]:
        image = _enlarge(image, (width, height))
    return image


def _transpose(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.transpose(image), dtype=np.uint8)


def _enlarge(image: NDArray[np.uint8], width_height: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, width_height, interpolation=cv2.INTER_LINEAR_EXACT), dtype=np.uint8)


def _reduce_rows(image: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """Reduce the number of rows with a triangle filter, as a banded matrix product."""
    scale = image.shape[0] / rows
    centre = (np.arange(rows) + 0.5) * scale
    first = np.maximum(np.floor(centre - scale + 0.5), 0).astype(np.intp)
    last = np.minimum(np.floor(centre + scale + 0.5), image.shape[0]).astype(np.intp)
    taps = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(1 - np.abs((taps + 0.5 - centre[:, None]) / scale), 0)
    weights[taps >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)

    flat = image.reshape(image.shape[0], -1)
    reduced = np.empty((rows, flat.shape[1]), dtype=np.uint8)
    for start in range(0, rows, _BLOCK):
        block = slice(start, min(rows, start + _BLOCK))
        lowest, highest = first[start], last[block][-1]
        band = np.zeros((block.stop - start, highest - lowest), dtype=np.float32)
        row, tap = np.nonzero(weights[block])
        band[row, taps[block][row, tap] - lowest] = weights[block][row, tap]
        mixed = band @ flat[lowest:highest].astype(np.float32)
        mixed += 0.5
        # A convex mix of 0..255 plus a half: the cast rounds down and cannot overflow.
        reduced[block] = mixed
    return reduced.reshape(rows, *image.shape[1:])
