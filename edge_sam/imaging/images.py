"""Find photographs in folders, and read them from files, bytes and standard input."""

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
from edge_sam.imaging.decoding import MAX_PIXELS, Picture, open_picture, read_bytes, upright

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Lower-case suffixes of the image files in a folder."""
_STRIP_PIXELS = 1 << 15
"""Pixels converted to RGB at a time, few enough to stay in the processor's cache."""
_T = TypeVar("_T")


def is_picture(name: str) -> bool:
    """Tell whether a file name is that of an image. Hidden files are not (macOS leaves ``._photo.jpg``)."""
    return PurePath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def pictures(folder: Path) -> list[Path]:
    """List the images in a folder in natural order: ``frame2`` before ``frame10``.

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
    """Choose at most `count` evenly spaced items, including the first and the last."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[i] for i in chosen]


def read_image(source: str | Path) -> NDArray[np.uint8]:
    """Read a photograph as RGB, upright.

    Pillow identifies and decodes the file (docs/photographs.md). The orientation in EXIF or XMP is applied. Grey,
    palettes and CMYK are converted to RGB. 16-bit channels keep their high 8 bits, and an alpha channel is dropped.
    Only the first frame or page is read.

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
        The file is missing, not an image, truncated or empty, or has more than `MAX_PIXELS` or 32-bit pixels.
    """
    data = read_bytes(source, "image")
    return decode_image(data, "standard input" if str(source) == "-" else str(source))


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an encoded photograph with at most so many pixels; see `read_image`. Errors contain `name`."""
    with open_picture(data, name, max_pixels) as picture:
        pixels = _still_webp(data, picture.image)
        if pixels is None:
            picture.load()
            pixels = _rgb(picture)
        orientation = picture.orientation
    return upright(pixels, orientation)


def _still_webp(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    """Decode a still WebP with OpenCV. None for other formats and damaged files.

    Pillow uses the decoder for animations, which takes 1.6 times as long and 2.5 times the memory.
    """
    if image.format != "WEBP" or getattr(image, "is_animated", False):
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _rgb(picture: Picture) -> NDArray[np.uint8]:
    """Convert a decoded image to RGB in strips, because one `asarray` takes as long as decoding a JPEG."""
    image = picture.image
    deep = image.mode.startswith("I;16") or (image.mode == "I" and picture.maximum is not None)
    if image.mode in ("I", "F") and not deep:
        kind = "floating-point" if image.mode == "F" else "16-bit signed" if ";16" in picture.samples else "32-bit"
        raise InputError(f"{picture.name} has {kind} pixels; convert it to 8 bits or unsigned 16 bits first")
    image.info.pop("transparency", None)  # Otherwise `convert` searches a palette colour for it.
    width, height = image.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        strip = image.crop((0, top, width, min(top + step, height)))
        pixels[top : top + step] = _high_bits(strip, picture) if deep else _as_rgb(strip)
    return pixels


def _as_rgb(strip: Image.Image) -> NDArray[np.uint8]:
    if strip.mode in ("La", "RGBa"):  # Premultiplied alpha.
        strip = strip.convert(strip.mode.upper())
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def _high_bits(strip: Image.Image, picture: Picture) -> NDArray[np.integer[Any]]:
    """Return the high 8 bits of grey, (rows, width, 1). Pillow's own conversion clips at 255."""
    grey = np.asarray(strip) >> (4 if picture.samples == "I;12" else 8)
    return np.asarray(255 - grey if picture.inverted else grey)[..., None]


def encode_png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode (height, width) grey of 8 or 16 bits, or (height, width, 3) RGB, as PNG."""
    pixels = image[..., ::-1] if image.ndim == 3 else image
    _, data = cv2.imencode(".png", pixels)
    return bytes(data)
