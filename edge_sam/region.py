"""Region of interest: where masks may be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.errors import InputError
from edge_sam.geometry import Geometry


class Region(NamedTuple):
    """Where masks may be: at the photograph's size, and on the grid of low-res logits."""

    pixels: NDArray[np.bool_]
    cells: NDArray[np.bool_]


def valid_region(valid_mask: ArrayLike | None, geometry: Geometry) -> Region | None:
    """Check a caller's region of interest; None stays None. Raises `InputError`."""
    if valid_mask is None:
        return None
    try:
        region = np.asarray(valid_mask)
    except ValueError as error:
        raise InputError(f"valid_mask is not an array: {error}") from error
    if region.shape != geometry.image_size:
        raise InputError(f"valid_mask has shape {region.shape}; the image is {geometry.image_size} (height, width)")
    if region.dtype != np.bool_ and not np.issubdtype(region.dtype, np.integer):
        raise InputError(f"valid_mask is {region.dtype}; expected bool, or integers that are 0 outside")
    pixels = region.astype(np.bool_)
    return Region(pixels, geometry.cells_touching(pixels))
