"""Rounding weights to integers, so that products are least wrong and nothing saturates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIMIT = 127
"""Largest magnitude of an integer."""
PAIR = 128
"""Largest sum of two integers of one sign that are multiplied together.

x86 without VNNI adds two products u8 × s8 in 16 bits, those of inputs 0 and 1, of 2 and 3, and so on: 255 · 128 = 32640
fits.
"""
_DAMPING = 0.01
"""Share of the mean of the diagonal that is added to it, so that rarely seen inputs do not blow up."""


def weight_scale(weight: NDArray[np.float32], summed: tuple[int, ...], *, pairs: bool = False) -> NDArray[np.float32]:
    """Choose what an integer is worth, the same for all weights along the `summed` axes.

    With `pairs`, for (inputs, outputs), two neighbouring inputs need no more than `PAIR` together.
    """
    largest = np.abs(weight).max(axis=summed, keepdims=True) / LIMIT
    if pairs:
        signed = np.stack([weight, -weight]).clip(0)[:, : len(weight) // 2 * 2]
        largest = np.maximum(largest, (signed[:, ::2] + signed[:, 1::2]).max(axis=(0, 1)) / PAIR)
    return np.where(largest > 0, largest, 1).astype(np.float32)


def round_weights(
    weight: NDArray[np.float32], scale: NDArray[np.float32], gram: NDArray[np.float64], *, pairs: bool
) -> NDArray[np.int8]:
    """Round a matrix to integers with the least error in its products rather than in itself.

    One input after the other is rounded, and its error is taken back by the inputs that are still to come, as far as
    they go together with it in the data: Elias Frantar et al., "GPTQ", ICLR 2023, arXiv 2210.17323.

    Parameters
    ----------
    weight : ndarray of float32, (inputs, outputs)
        The matrix.
    scale : ndarray of float32, (1, outputs)
        What an integer of each output is worth.
    gram : ndarray of float64, (inputs, inputs)
        Sum over what was seen of the products of each pair of inputs, in any unit.
    pairs : bool
        Whether neighbours stay within `PAIR` together.

    Returns
    -------
    ndarray of int8, (inputs, outputs)
    """
    left = weight.astype(np.float64)
    damped = gram + np.eye(len(gram)) * (_DAMPING * np.trace(gram) / len(gram) or 1.0)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    integers = np.empty(weight.shape, np.int8)
    for i, row in enumerate(left):
        before = integers[i - 1].astype(np.int32) if pairs and i % 2 else np.int32(0)
        low, high = -PAIR - np.minimum(before, 0), PAIR - np.maximum(before, 0)
        integers[i] = np.clip(np.rint(row / scale[0]), np.maximum(low, -LIMIT), np.minimum(high, LIMIT))
        error = (row - integers[i] * scale[0]) / upper[i, i]
        left[i + 1 :] -= upper[i, i + 1 :, None] * error
    return integers
