"""Regions of interest, outside of which masks are empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.errors import InputError
from edge_sam.imaging.labels import read_labels


def read_region(path: str | Path | None) -> NDArray[np.bool_] | None:
    """Read a region, (height, width), from an image: all pixels that are neither 0 nor black. None stays None.

    Raises `InputError` as `read_labels` does, except for colours.
    """
    if path is None:
        return None
    pixels = read_labels(path, colours=True)
    return np.asarray(pixels.any(axis=2) if pixels.ndim == 3 else pixels != 0)


def check_region(
    valid_mask: ArrayLike | None, image_size: tuple[int, int], name: str = "valid_mask"
) -> NDArray[np.bool_] | None:
    """Check a caller's region for a photograph of (height, width). None stays None. Raises `InputError`."""
    if valid_mask is None:
        return None
    try:
        region = np.asarray(valid_mask)
    except ValueError as error:
        raise InputError(f"{name} is not an array: {error}") from error
    if region.shape != image_size:
        raise InputError(f"{name} has shape {region.shape}; the image is {image_size} (height, width)")
    if region.dtype != np.bool_ and not np.issubdtype(region.dtype, np.integer):
        raise InputError(f"{name} is {region.dtype}; expected bool, or integers that are 0 outside")
    return region.astype(np.bool_)
