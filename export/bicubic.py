"""Bicubic enlargement as products of matrices, because runtimes differ in what they make of a resize operator.

Cubic interpolation is linear and separable: a matrix of taps for each axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

BORDER = 2
"""Cells beyond each border that taps reach. They have the value at the border."""


def taps(count: int, side: int, ratio: float) -> Tensor:
    """Return (count, side + 4) weights of a map's cells, with `BORDER`, for each of `count` cells along an axis.

    `ratio` is the size of an enlarged cell in cells of the map.
    """
    source = (torch.arange(count, dtype=torch.float32) + 0.5) * ratio - 0.5
    distance = (source[:, None] - (torch.arange(side + 2 * BORDER, dtype=torch.float32) - BORDER)).abs()
    # Keys' cubic kernel with a = -0.75. Each of its two pieces is zero where the other applies.
    near, far = distance.clamp(max=1), distance.clamp(1, 2)
    return (1.25 * near - 2.25) * near * near + 1 + ((3.75 - 0.75 * far) * far - 6) * far + 3


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Enlarge (1, rows, columns, C) tokens as `torch.nn.functional.interpolate` does with half-pixel centres."""
    _, rows, columns, width = x.shape
    x = torch.cat([*[x[:, :1]] * BORDER, x, *[x[:, -1:]] * BORDER], dim=1)
    x = torch.cat([*[x[:, :, :1]] * BORDER, x, *[x[:, :, -1:]] * BORDER], dim=2)
    x = taps(factor * rows, rows, 1 / factor) @ x.view(rows + 2 * BORDER, -1)
    x = taps(factor * columns, columns, 1 / factor) @ x.view(factor * rows, columns + 2 * BORDER, width)
    return x.view(1, factor * rows, factor * columns, width)
