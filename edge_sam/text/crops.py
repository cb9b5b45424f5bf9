"""Pictures of single objects, for models that compare whole pictures with words."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_sam.errors import InputError
from edge_sam.imaging.masks import box_of

MARGIN = 0.15
"""Margin around an object on each side, as a fraction of its longer side."""
RESAMPLE = Image.Resampling.BICUBIC
"""Filter that CLIP was trained with."""
_BLUR = 0.08
"""Deviation of the blur outside the mask, as a fraction of the crop's side."""


def crop_object(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], side: int, resample: Image.Resampling = RESAMPLE
) -> NDArray[np.uint8]:
    """Return a square picture of an object, with everything around it blurred.

    Lingfeng Yang et al., "Fine-Grained Visual Prompting", arXiv 2306.04356: of all ways to show CLIP which object is
    meant, the blurred surroundings told it best.

    Parameters
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB.
    mask : ndarray of bool, (height, width)
        The object.
    side : int
        Height and width of the result in pixels.
    resample : Image.Resampling
        Filter for resizing.

    Returns
    -------
    ndarray of uint8, (side, side, 3)

    Raises
    ------
    InputError
        The mask is empty.
    """
    box = box_of(mask)
    if box is None:
        raise InputError("an empty mask cannot be compared with words; leave it out")
    longest = (box[2:] - box[:2]).max()
    length = max(1, round(longest * (1 + 2 * MARGIN)))
    left, top = (int(value) for value in np.rint((box[:2] + box[2:] - length) / 2))
    picture = Image.fromarray(_window(image, left, top, length)).resize((side, side), resample)
    inside = _window(mask.view(np.uint8), left, top, length, cv2.BORDER_CONSTANT)
    inside = np.asarray(cv2.resize(inside * np.uint8(255), (side, side), interpolation=cv2.INTER_AREA))
    shown = np.asarray(picture)
    blurred = cv2.GaussianBlur(shown, (0, 0), _BLUR * side)
    return np.where(inside[..., None] > 127, shown, blurred).astype(np.uint8)


def _window(
    image: NDArray[np.uint8], left: int, top: int, length: int, border: int = cv2.BORDER_REPLICATE
) -> NDArray[np.uint8]:
    """Cut out a square that may reach beyond the image, which is continued there."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + length, width), min(top + length, height)
    inner = image[y0:y1, x0:x1]
    edges = (y0 - top, top + length - y1, x0 - left, left + length - x1)
    return np.asarray(cv2.copyMakeBorder(inner, *edges, border), np.uint8)
