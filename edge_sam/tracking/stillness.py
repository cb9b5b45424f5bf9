"""Detection of frames that hardly differ from the last encoded one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.view import TOKEN

_LEVELS = 4.0
"""Largest difference of a patch, in grey levels of 255. A patch averages out noise, but not an object's edge."""
_PATCH = TOKEN // 2
"""Side of a patch in pixels of the encoder's input."""


class Stillness:
    """Compares frames with the last encoded frame, patch by patch.

    Frames are not compared with each other, so a slow drift adds up.
    """

    def __init__(self) -> None:
        self._kept: tuple[int, tuple[int, ...], NDArray[np.float32]] | None = None

    def keep(self, image: NDArray[np.uint8], long_side: int) -> None:
        """Keep an RGB frame that is encoded with this long side."""
        self._kept = (long_side, image.shape, _patches(image, long_side))

    def still(self, image: NDArray[np.uint8], long_side: int) -> bool:
        """Return whether an RGB frame would have about the same embedding as the kept one."""
        if self._kept is None or self._kept[:2] != (long_side, image.shape):
            return False
        return float(np.abs(_patches(image, long_side) - self._kept[2]).max()) <= _LEVELS


def _patches(image: NDArray[np.uint8], long_side: int) -> NDArray[np.float32]:
    """Return the mean colour of each patch."""
    height, width = Geometry((image.shape[0], image.shape[1]), long_side=long_side).scaled_size
    size = max(1, round(width / _PATCH)), max(1, round(height / _PATCH))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
