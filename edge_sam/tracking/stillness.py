"""Telling that a frame hardly differs from the one that was encoded last."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.imaging.geometry import TOKEN, Geometry

_LEVELS = 4.0
"""Grey levels of 255 by which a patch may differ. A patch averages the camera's noise away, an object's edge not."""
_PATCH = TOKEN // 2
"""Pixels of the encoder's input along one side of a patch."""


class Stillness:
    """Remembers a frame, patch by patch.

    Later frames are compared with the one that was encoded, not with each other, so a slow drift adds up.
    """

    def __init__(self) -> None:
        self._kept: tuple[int, tuple[int, ...], NDArray[np.float32]] | None = None

    def keep(self, image: NDArray[np.uint8], long_side: int) -> None:
        """Remember an RGB frame that is encoded with this long side."""
        self._kept = (long_side, image.shape, _patches(image, long_side))

    def still(self, image: NDArray[np.uint8], long_side: int) -> bool:
        """Tell whether an RGB frame would give about the embedding of the one that is remembered."""
        if self._kept is None or self._kept[:2] != (long_side, image.shape):
            return False
        return float(np.abs(_patches(image, long_side) - self._kept[2]).max()) <= _LEVELS


def _patches(image: NDArray[np.uint8], long_side: int) -> NDArray[np.float32]:
    """Mean colour of each patch, in 1/256 of a level by way of float32."""
    height, width = Geometry((image.shape[0], image.shape[1]), long_side).scaled_size
    size = max(1, round(width / _PATCH)), max(1, round(height / _PATCH))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
