"""Rounding the weights of a matrix product so that later ones make up for what earlier ones lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DAMPING = 0.01
"""Share of the mean of the diagonal that is added to it, so that rarely seen inputs do not blow up."""


def round_weights(
    weight: NDArray[np.float32], scale: NDArray[np.float32], limit: int, gram: NDArray[np.float64]
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
    limit : int
        Largest magnitude of an integer.
    gram : ndarray of float64, (inputs, inputs)
        Sum over what was seen of the products of each pair of inputs, in any unit.

    Returns
    -------
    ndarray of int8, (inputs, outputs)
    """
    left = weight.astype(np.float64)
    damped = gram + np.eye(len(gram)) * (_DAMPING * np.trace(gram) / len(gram) or 1.0)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    integers = np.empty(weight.shape, np.int8)
    for i, row in enumerate(left):
        integers[i] = np.clip(np.rint(row / scale[0]), -limit, limit)
        error = (row - integers[i] * scale[0]) / upper[i, i]
        left[i + 1 :] -= upper[i, i + 1 :, None] * error
    return integers
