"""Label images: pictures whose pixels are numbers, read as they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.decoding import Picture, opened, read_bytes, upright
from edge_sam.errors import InputError


def read_labels(path: str | Path, *, colours: bool = False) -> NDArray[np.integer[Any]]:
    """Read the number at each pixel as the file has it: its grey level, or its index in the palette.

    Parameters
    ----------
    path : str or Path
        A picture in grey of 1 to 32 bits, or with a palette as VOC and DAVIS have them.
    colours : bool
        Also take a picture in colour, and one whose palette does not begin with black: its indices do not tell what
        is background.

    Returns
    -------
    ndarray of integers, (height, width)
        A file of 4 bits gives 0 to 15, one of 16 bits 0 to 65535. With `colours` it may be (height, width, 3).

    Raises
    ------
    InputError
        The file cannot be read, is in colour without being asked for it, or its pixels are no whole numbers.
    """
    with opened(read_bytes(path, "mask"), f"mask {path}") as picture:
        picture.load()
        pixels = _stored(picture, colours)
        orientation = picture.orientation
    if pixels.ndim == 3 and not colours:
        if (pixels != pixels[..., :1]).any():
            raise InputError(f"mask {path} is in colour; expected grey, or a palette")
        pixels = np.ascontiguousarray(pixels[..., 0])
    return upright(pixels, orientation)


def _stored(picture: Picture, colours: bool) -> NDArray[np.integer[Any]]:
    """Give (height, width), or (height, width, 3) of a picture in colour."""
    image = picture.image
    if image.mode == "F":
        raise InputError(f"{picture.name} has floating-point pixels; labels are whole numbers")
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        palette = image.getpalette() if colours and image.mode == "P" else None
        pixels = np.asarray(image.convert("RGB") if palette and any(palette[:3]) else image)
    elif ";16" in picture.samples:
        raise InputError(f"{picture.name} has more than one channel of 16 bits; save it as grey of 16 bits")
    else:
        pixels = np.asarray(image.getchannel(0) if image.mode in ("LA", "PA") else image.convert("RGB"))
    pixels = pixels.astype(np.uint8 if pixels.dtype == bool else pixels.dtype.newbyteorder("="))
    if picture.maximum is None:
        return pixels
    full = 255 if pixels.dtype == np.uint8 else 65535
    return ((pixels.astype(np.uint32) * picture.maximum + full // 2) // full).astype(pixels.dtype)
