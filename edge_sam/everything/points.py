"""Grids of points to ask, and crops that magnify small objects."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Crop(NamedTuple):
    """A part of the photograph that is encoded separately."""

    box: tuple[int, int, int, int]
    """XYXY in pixels of the photograph; x1 and y1 are one past the last pixel."""
    layer: int
    """0: the whole photograph; layer n has 2ⁿ × 2ⁿ crops."""

    @property
    def area(self) -> int:
        """Pixels in the crop."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def point_grid(side: int) -> NDArray[np.float64]:
    """Place points at the centres of side × side equal cells.

    Returns
    -------
    ndarray of float64, (side², 2)
        XY as fractions of the crop's width and height, row by row.
    """
    middle = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)


def cut(image_size: tuple[int, int], layers: int, overlap_ratio: float) -> list[Crop]:
    """Cut a photograph into crops, the photograph itself first.

    Parameters
    ----------
    image_size : tuple of int
        (height, width) in pixels.
    layers : int
        Layers of crops in addition to the photograph itself.
    overlap_ratio : float
        Overlap of neighbours in the first layer, as a fraction of the photograph's shorter side. Each
        further layer halves it.

    Returns
    -------
    list of Crop
    """
    height, width = image_size
    crops = [Crop((0, 0, width, height), 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(image_size) * 2 / count)
        columns, rows = (_spans(length, count, overlap) for length in (width, height))
        crops += [Crop((x0, y0, x1, y1), layer) for (x0, x1), (y0, y1) in itertools.product(columns, rows)]
    return crops


def _spans(length: int, count: int, overlap: int) -> list[tuple[int, int]]:
    """Cut an axis into overlapping parts of equal length. The last part may be shorter or absent."""
    size = math.ceil((length + overlap * (count - 1)) / count)
    starts = (i * (size - overlap) for i in range(count))
    return [(start, min(start + size, length)) for start in starts if start < length]
