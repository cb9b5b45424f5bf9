"""Preprocessing: from a photograph to the encoder's input tensor."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_sam.errors import InputError
from edge_sam.imaging.geometry import Geometry

PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Normalisation of R, G and B in SAM and its relatives, which have it from ImageNet: pixel values from 0 to 255."""


def check_image(image: Any) -> NDArray[np.uint8]:
    """Return the image unchanged if it is HxWx3 uint8 RGB with pixels. Raises `InputError` otherwise."""
    if not isinstance(image, np.ndarray):
        raise InputError(f"the image is a {type(image).__name__}; give an HxWx3 uint8 RGB array or a path")
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"the image has shape {image.shape}; expected (height, width, 3) RGB")
    if image.size == 0:
        raise InputError(f"the image has no pixels: its shape is {image.shape}")
    if image.dtype != np.uint8:
        raise InputError(f"the image is {image.dtype}; expected uint8 with values 0..255")
    return image


def resize_bilinear(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize with Pillow, which SAM was trained with.

    Other resizers differ by one grey level when enlarging and by dozens when reducing, which changes the masks of
    ambiguous prompts (docs/lab/accuracy.md).

    Parameters
    ----------
    image : ndarray of uint8, (height, width, 3)
        The image.
    size : tuple of int
        (height, width) of the result.

    Returns
    -------
    ndarray of uint8, (*size, 3)
        The resized image.
    """
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def encoder_input(
    image: NDArray[np.uint8], geometry: Geometry, mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float32]:
    """Resize, normalise and pad a photograph. The padding of its last tokens is zero, the mean colour.

    Parameters
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB of the size `geometry.image_size`.
    geometry : Geometry
        Position of the photograph in the frame.
    mean, std : tuple of float
        Normalisation of the channels R, G, B in pixel values.

    Returns
    -------
    ndarray of float32, (1, 3, H, W)
        H and W are `geometry.input_size`.
    """
    height, width = geometry.resized
    if geometry.fit.antialiased:
        scaled = resize_bilinear(image, (height, width))
    else:  # As torch's interpolate, to half a grey level.
        scaled = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
    tensor = np.zeros((1, 3, *geometry.input_size), dtype=np.float32)
    for channel in range(3):
        plane = tensor[0, channel, :height, :width]
        np.subtract(scaled[..., channel], np.float32(mean[channel]), out=plane)
        plane *= np.float32(1 / std[channel])
    return tensor
