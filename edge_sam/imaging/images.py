"""Finding photographs in folders, and reading them from files, bytes and standard input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_sam.errors import InputError
from edge_sam.files.names import natural_key
from edge_sam.imaging.decoding import Picture, open_picture, read_bytes, upright

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Of files in a folder, in small letters, that are taken for pictures."""
_AT_A_TIME = 1 << 15
"""Pixels that are brought to RGB together: few enough to stay in the cache."""
_T = TypeVar("_T")


def is_picture(name: str) -> bool:
    """Tell whether a file of a folder is meant as a picture; a hidden one is not (macOS leaves ``._photo.jpg``)."""
    return PurePath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def pictures(folder: Path) -> list[Path]:
    """List the pictures that lie in a folder, in natural order: ``frame2`` before ``frame10``.

    Raises
    ------
    InputError
        The folder cannot be read.
    """
    try:
        found = [path for path in folder.iterdir() if is_picture(path.name) and not path.is_dir()]
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from error
    return sorted(found, key=lambda path: natural_key(path.name))


def evenly_spaced(items: Sequence[_T], count: int) -> list[_T]:
    """Choose at most `count` of the items, evenly spaced, the first and the last among them."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[i] for i in chosen]


def read_image(source: str | Path) -> NDArray[np.uint8]:
    """Read a photograph as RGB, upright.

    Pillow decides what the file is, and its pixels are taken (docs/photographs.md): the orientation in EXIF or XMP is
    applied, grey, palettes and CMYK become RGB, of 16 bits a channel the higher 8 are kept, and an alpha channel is
    dropped, which leaves the colours below. Of an animation or a file of many pages the first picture is taken.

    Parameters
    ----------
    source : str or Path
        A file, or ``"-"`` for standard input.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
        RGB.

    Raises
    ------
    InputError
        No such file, not an image, a truncated or empty one, more than `MAX_PIXELS`, or pixels of 32 bits.
    """
    data = read_bytes(source, "image")
    return decode_image(data, "standard input" if str(source) == "-" else str(source))


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an encoded photograph; see `read_image`. `name` is what errors call it."""
    with open_picture(data, name) as picture:
        pixels = _still_webp(data, picture.image)
        if pixels is None:
            picture.load()
            pixels = _rgb(picture)
        orientation = picture.orientation
    return upright(pixels, orientation)


def _still_webp(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    """Decode a WebP that is not animated with OpenCV; None where it is something else or damaged.

    Pillow sends every WebP through the decoder for animations, at 1.6 times the time and 2.5 times the memory.
    """
    if image.format != "WEBP" or getattr(image, "is_animated", False):
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _rgb(picture: Picture) -> NDArray[np.uint8]:
    """Bring a decoded picture to RGB, a few rows at a time: `asarray` of all costs as much as decoding a JPEG."""
    image = picture.image
    deep = image.mode.startswith("I;16") or (image.mode == "I" and picture.maximum is not None)
    if image.mode in ("I", "F") and not deep:
        kind = "floating-point" if image.mode == "F" else "16-bit signed" if ";16" in picture.samples else "32-bit"
        raise InputError(f"{picture.name} has {kind} pixels; convert it to 8 bits or to 16 without a sign first")
    image.info.pop("transparency", None)  # Else `convert` looks for a colour to stand for it.
    width, height = image.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    step = max(1, _AT_A_TIME // width)
    for top in range(0, height, step):
        strip = image.crop((0, top, width, min(top + step, height)))
        pixels[top : top + step] = _high_bits(strip, picture) if deep else _as_rgb(strip)
    return pixels


def _as_rgb(strip: Image.Image) -> NDArray[np.uint8]:
    if strip.mode in ("La", "RGBa"):  # Multiplied by alpha.
        strip = strip.convert(strip.mode.upper())
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def _high_bits(strip: Image.Image, picture: Picture) -> NDArray[np.integer[Any]]:
    """Grey of more than 8 bits as one of 8, (rows, width, 1). Pillow's own conversion ends at 255."""
    grey = np.asarray(strip) >> (4 if picture.samples == "I;12" else 8)
    return np.asarray(255 - grey if picture.inverted else grey)[..., None]


def encode_png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode (height, width) grey of 8 or 16 bits, or (height, width, 3) RGB pixels, as PNG."""
    pixels = image[..., ::-1] if image.ndim == 3 else image
    _, data = cv2.imencode(".png", pixels)
    return bytes(data)
