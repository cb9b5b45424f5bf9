"""Read label images: images whose pixels are numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_sam.errors import InputError
from edge_sam.imaging.decoding import Picture, open_picture, read_bytes, upright

_STRIP_PIXELS = 1 << 18
"""Pixels converted at a time."""


def read_labels(path: str | Path, *, colours: bool = False) -> NDArray[np.integer[Any]]:
    """Read the stored number of each pixel: its grey level or palette index.

    Parameters
    ----------
    path : str or Path
        A grey image of 1 to 32 bits, or one with a palette as in VOC and DAVIS.
    colours : bool
        Whether to accept colour images, and to read the colours if the palette does not start with black, because
        then index 0 need not be background.

    Returns
    -------
    ndarray of integers, (height, width)
        4 bits give 0 to 15, and 16 bits give 0 to 65535. With `colours` it may be (height, width, 3).

    Raises
    ------
    InputError
        The file cannot be read, is in colour although `colours` is False, or its pixels are not whole numbers.
    """
    with open_picture(read_bytes(path, "mask"), f"mask {path}") as picture:
        picture.load()
        pixels = _stored(picture, colours)
        orientation = picture.orientation
    return upright(pixels, orientation)


def _stored(picture: Picture, colours: bool) -> NDArray[np.integer[Any]]:
    """Return (height, width) labels, or (height, width, 3) colours.

    The image is converted in strips, because colours and wide integers take several times the memory of labels.
    """
    image = picture.image
    width, height = image.size
    step = max(1, _STRIP_PIXELS // width)
    pixels: NDArray[np.integer[Any]] | None = None
    for top in range(0, height, step):
        values = _numbers(image.crop((0, top, width, min(top + step, height))), picture, colours)
        if pixels is None:
            pixels = np.empty((height, *values.shape[1:]), dtype=values.dtype)
        pixels[top : top + step] = values
    assert pixels is not None  # Every image has rows.
    return pixels


def _numbers(strip: Image.Image, picture: Picture, colours: bool) -> NDArray[np.integer[Any]]:
    if strip.mode == "F":
        raise InputError(f"{picture.name} has floating-point pixels; labels are whole numbers")
    if strip.mode in ("1", "L", "P") or strip.mode.startswith("I"):
        palette = picture.image.getpalette() if colours and strip.mode == "P" else None
        values = np.asarray(strip.convert("RGB") if palette and any(palette[:3]) else strip)
    elif ";16" in picture.samples:
        raise InputError(f"{picture.name} has several 16-bit channels; save it as 16-bit grey")
    else:
        values = np.asarray(strip.getchannel(0) if strip.mode in ("LA", "PA") else strip.convert("RGB"))
    if values.ndim == 3 and not colours:
        if (values != values[..., :1]).any():
            raise InputError(f"{picture.name} is in colour; expected grey or a palette")
        values = values[..., 0]
    values = values.astype(np.uint8 if values.dtype == bool else values.dtype.newbyteorder("="))
    if picture.maximum is None:
        return values
    full = 255 if values.dtype == np.uint8 else 65535
    return ((values.astype(np.uint32) * picture.maximum + full // 2) // full).astype(values.dtype)
