"""Round weights to integers with the smallest error of the products and without saturation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIMIT = 127
"""Largest magnitude of an integer."""
PAIR = 128
"""Largest magnitude of the sum of two weights of the same sign that one instruction multiplies.

x86 without VNNI adds the u8 × s8 products of inputs 0 and 1, of 2 and 3, and so on, in 16 bits: 255 · 128 = 32640 fits.
"""
_DAMPING = 0.01
"""Fraction of the diagonal's mean that is added to the diagonal, for inputs that are rarely active."""
_TOGETHER = 64
"""Inputs whose errors are passed on to all later inputs at once, which is several times as fast as one by one."""


def weight_scale(weight: NDArray[np.float32], summed: tuple[int, ...], *, pairs: bool = False) -> NDArray[np.float32]:
    """Choose a scale that is shared by all weights along the `summed` axes.

    With `pairs`, for (inputs, outputs), the weights of two neighbouring inputs sum to `PAIR` at most.
    """
    largest = np.abs(weight).max(axis=summed, keepdims=True) / LIMIT
    if pairs:
        signed = np.stack([weight, -weight]).clip(0)[:, : len(weight) // 2 * 2]
        largest = np.maximum(largest, (signed[:, ::2] + signed[:, 1::2]).max(axis=(0, 1)) / PAIR)
    return np.where(largest > 0, largest, 1).astype(np.float32)


def round_weights(
    weight: NDArray[np.float32], scale: NDArray[np.float32], gram: NDArray[np.float64], *, pairs: bool
) -> NDArray[np.int8]:
    """Round a matrix to integers with the smallest error of its products.

    Inputs are rounded one by one, and the remaining inputs compensate the error as far as they correlate: Elias Frantar
    et al., "GPTQ", ICLR 2023, arXiv 2210.17323.

    Parameters
    ----------
    weight : ndarray of float32, (inputs, outputs)
        The weights.
    scale : ndarray of float32, (1, outputs)
        Scale of each output.
    gram : ndarray of float64, (inputs, inputs)
        Gram matrix of the inputs in any unit.
    pairs : bool
        Whether the sum of neighbouring weights is limited to `PAIR`.

    Returns
    -------
    ndarray of int8, (inputs, outputs)
    """
    left = weight.astype(np.float64)
    damped = gram + np.eye(len(gram)) * (_DAMPING * np.trace(gram) / len(gram) or 1.0)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    integers = np.empty(weight.shape, np.int8)
    errors = np.empty_like(left)
    for start in range(0, len(left), _TOGETHER):
        end = min(start + _TOGETHER, len(left))
        for i in range(start, end):
            before = integers[i - 1].astype(np.int32) if pairs and i % 2 else np.int32(0)
            low, high = -PAIR - np.minimum(before, 0), PAIR - np.maximum(before, 0)
            integers[i] = np.clip(np.rint(left[i] / scale[0]), np.maximum(low, -LIMIT), np.minimum(high, LIMIT))
            errors[i] = (left[i] - integers[i] * scale[0]) / upper[i, i]
            left[i + 1 : end] -= upper[i, i + 1 : end, None] * errors[i]
        # The other inputs are compensated for all of these at once, in one product.
        left[end:] -= upper[start:end, end:].T @ errors[start:end]
    return integers
